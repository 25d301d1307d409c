"""`kubectl bek status`: objects and their numbers as tables, or as data."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bek_operator.cli.durations import short
from bek_operator.cli.summary import EndpointSummary, NumberSummary, ObjectSummary
from bek_operator.cli.tables import Cell, table
from bek_operator.crd.reasons import Severity
from bek_operator.crd.status import RECONCILING, STALLED, Condition
from bek_operator.keys.public_key import key_id
from bek_operator.times import rfc3339

_COLOURS = {
    Severity.HEALTHY: "green",
    Severity.IN_PROGRESS: "yellow",
    Severity.TRANSIENT: "yellow",
    Severity.USER_ACTION: "red",
}
_HEADINGS = ("NUMBER", "API", "REASON", "KEY", "SIGNATURE", "PUBLISHED", "NEXT", "MESSAGE")
_WIDE_HEADINGS = (*_HEADINGS[:-1], "PUBLISHES", "FINGERPRINT", "MESSAGE")
_WHO_ACTS = {STALLED: "you must act; see Ready", RECONCILING: "the operator is at work, or retries; see Ready"}
"""In place of a message that is the same as that of Ready."""

_EXPLAINED = "* The number holds another key than the Secret."


def as_tables(
    summaries: Sequence[ObjectSummary],
    now: float,
    *,
    namespace: str | None = None,
    wide: bool = False,
    unhealthy: bool = False,
) -> RenderableType:
    """Return for each object a line, its conditions, and its numbers.

    Args:
        summaries: In the order in which they are shown.
        now: Seconds since the epoch.
        namespace: Where the objects are; `None` for all namespaces.
        wide: Whether to show whole fingerprints and the count of publishes, too.
        unhealthy: Whether to leave out what is well.
    """
    shown = [one for one in summaries if not (unhealthy and one.is_healthy)]
    if not shown:
        within = f" in the namespace {namespace}" if namespace else ""
        return Text(f"{len(summaries)} healthy, none unhealthy." if summaries else f"No resources found{within}.")
    parts: list[RenderableType] = []
    for one in shown:
        parts += [Text("")] * bool(parts)
        parts += _object(one, now, wide=wide, unhealthy=unhealthy)
    return Group(*parts)


def as_data(summaries: Iterable[ObjectSummary]) -> list[dict[str, Any]]:
    """Return plain data for JSON and YAML; what is unknown is left out."""
    return [
        _filled(
            namespace=one.namespace,
            name=one.name,
            healthy=one.is_healthy,
            suspended=one.suspended,
            secret=one.secret,
            publicKeyFingerprint=one.fingerprint,
            signedNumbers=one.signed,
            desiredNumbers=one.desired,
            flowsEndpoint=one.endpoint and _endpoint(one.endpoint),
            notes=list(one.notes),
            conditions=[
                _filled(
                    type=condition.type,
                    status="True" if condition.true else "False",
                    reason=condition.reason,
                    message=condition.message,
                    lastTransitionTime=_time(condition.since),
                )
                for condition in one.conditions
            ],
            phoneNumbers=[
                _filled(
                    phoneNumber=number.number,
                    api=number.api,
                    reason=number.reason and str(number.reason),
                    message=number.message,
                    observedFingerprint=number.fingerprint,
                    holdsCurrentKey=number.is_current,
                    signatureStatus=number.signature and str(number.signature),
                    lastPublishTime=_time(number.published_at),
                    publishes=number.publishes,
                    nextPublishTime=_time(number.next_publish),
                )
                for number in one.numbers
            ],
        )
        for one in summaries
    ]


def _endpoint(one: EndpointSummary) -> dict[str, Any]:
    found = one.found
    known = _filled(reason=found.reason, message=found.message, openedFingerprint=found.opened) if found else {}
    return {"url": one.url, "policy": "Gate" if one.gate else "Report", **known}


def _object(one: ObjectSummary, now: float, *, wide: bool, unhealthy: bool) -> Iterable[RenderableType]:
    key = f"key {key_id(one.fingerprint)}" if one.fingerprint else "no usable key seen"
    line = f"{one.namespace}/{one.name}: {one.signed}/{one.desired} signed, {key}, Secret {one.secret}"
    yield Text(line + (", suspended" if one.suspended else ""), style=f"bold {_COLOURS[one.severity]}")
    if one.endpoint:
        yield Text(one.endpoint.line)
    for note in one.notes:
        yield Text(note)
    if one.conditions:
        yield table(
            ("CONDITION", "STATUS", "REASON", "AGE", "MESSAGE"),
            [_condition(condition, one, now) for condition in one.conditions],
        )
    numbers = [number for number in one.numbers if not (unhealthy and number.is_signed)]
    if numbers:
        rows = [_number(number, now, wide=wide) for number in numbers]
        yield table(_WIDE_HEADINGS if wide else _HEADINGS, rows)
    if any(number.held.endswith("*") for number in numbers):
        yield Text(_EXPLAINED)


def _condition(one: Condition, of: ObjectSummary, now: float) -> Sequence[Cell]:
    repeated = one.type in _WHO_ACTS and one.message == of.ready_message
    return (
        one.type,
        "True" if one.true else "False",
        one.reason,
        short(now - one.since) if one.since else "",
        _WHO_ACTS[one.type] if repeated else one.message,
    )


def _number(one: NumberSummary, now: float, *, wide: bool) -> Sequence[Cell]:
    more = (str(one.publishes or ""), one.fingerprint or "") if wide else ()
    return (
        one.number,
        one.api,
        Text(one.reason or "Unseen", style=_COLOURS[one.severity]),
        one.held,
        one.signature or "",
        f"{short(now - one.published_at)} ago" if one.published_at is not None else "",
        f"in {short(one.next_publish - now)}" if one.next_publish is not None else "",
        *more,
        one.message,
    )


def _time(instant: float | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _filled(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}
