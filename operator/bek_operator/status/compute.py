"""The status of an object: a pure function of its spec, its key and the facts about its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import EndpointReason, ObjectReason, Reason
from bek_operator.crd.status import (
    ENDPOINT_READY,
    READY,
    RECONCILING,
    STALLED,
    Condition,
    EndpointStatus,
    Row,
    Rows,
    Status,
)
from bek_operator.crd.types import InvalidSpec, Number, Spec
from bek_operator.endpoint.facts import EndpointFacts
from bek_operator.keys.public_key import PublicKey, key_id
from bek_operator.numbers.facts import NumberFacts

_LONGEST_MESSAGE = 1024
_NUMBERS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why there is no usable key or spec; the numbers are left as they are."""

    reason: ObjectReason
    message: str


@dataclass(frozen=True, slots=True)
class _Summary:
    ready: bool
    reason: str
    message: str
    abnormal: str | None


def status_of(
    resource: BusinessEncryptionKey,
    key: PublicKey | Blocked,
    known: Mapping[str, NumberFacts],
    now: float,
    *,
    endpoint: EndpointFacts | None = None,
    rate_limited_count: int = 0,
) -> Status:
    """Return the whole status; `resource.status` is the last one.

    `rate_limited_count`: how many numbers wait only for the rate limit of their API.
    """
    spec, before = resource.spec, resource.status
    fingerprint, handled, started = before.fingerprint, before.request, before.started
    shown = endpoint.shown if endpoint else None
    if isinstance(spec, InvalidSpec):
        rows, shown = list(before.rows.values()), before.endpoint
        summary = _blocked(Blocked(ObjectReason.INVALID_SPEC, spec.message))
    elif isinstance(key, Blocked):
        rows = [before.rows.get(number.number) or _unknown(number) for number in spec.numbers]
        shown = before.endpoint if spec.flows_endpoint else None
        summary = _suspended(resource, key) if spec.suspend else _blocked(key)
    else:
        found = [known[number.number] for number in spec.numbers if number.number in known]
        rows = [known[one.number].row if one.number in known else _unknown(one) for one in spec.numbers]
        summary = _summary(found, len(rows), key, spec, rate_limited_count)
        summary = _with_endpoint(summary, endpoint, _known_signed(found, len(rows)) if spec.suspend else "")
        fingerprint = key.fingerprint
        done = sum(one.observed for one in found) == len(rows) and not any(one.check_requested for one in found)
        done = done and not (endpoint and endpoint.is_unfinished)
        started = found[0].target.request if found else started
        handled = resource.request if resource.request and done else handled
    return Status(
        generation=resource.generation,
        conditions=_conditions(
            resource, summary, shown, now, known=isinstance(spec, Spec) and isinstance(key, PublicKey)
        ),
        rows=Rows(rows),
        desired=len(rows),
        signed=sum(row.reason is Reason.SIGNED for row in rows),
        fingerprint=fingerprint,
        key_id=key_id(fingerprint) if fingerprint else None,
        request=handled,
        started=started if started != handled else "",
        endpoint=shown,
    )


def _unknown(number: Number) -> Row:
    return Row(number=number.number, api=number.api.name)


def _suspended(resource: BusinessEncryptionKey, blocked: Blocked) -> _Summary:
    """Return the summary of a suspended object without a usable key: what was known of this very spec stays."""
    ready = resource.status.condition(READY)
    if ready and ready.generation == resource.generation:
        return _Summary(ready=ready.true, reason=ready.reason, message=ready.message, abnormal=None)
    message = f"suspended; {blocked.message}"
    return _Summary(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)


def _blocked(blocked: Blocked) -> _Summary:
    abnormal = RECONCILING if blocked.reason is ObjectReason.SECRET_NOT_FOUND else STALLED
    return _Summary(ready=False, reason=blocked.reason, message=blocked.message, abnormal=abnormal)


def _with_endpoint(summary: _Summary, endpoint: EndpointFacts | None, suspended: str) -> _Summary:
    """Return the summary of the numbers, together with what is known of the Flow endpoint.

    With the policy Gate an object is not Ready while its endpoint does not hold the key, because then Flows are broken.
    Of endpoint and numbers the endpoint goes first, unless only the numbers need the user. `suspended` is what is known
    of the numbers of a suspended object.
    """
    if endpoint is None or not endpoint.target.gate:
        return summary
    found = endpoint.verdict
    if found.holds_key and (endpoint.observed or not summary.ready):
        lost = found.reason is EndpointReason.LACKS_OLD_KEY
        return replace(summary, message=f"{summary.message}; Flow endpoint: {found.message}") if lost else summary
    message = f"Flow endpoint: {'not asked since the last change' if found.holds_key else found.message}"
    if suspended:
        message = f"{suspended}; {message}"
        return _Summary(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)
    waiting = summary.reason == Reason.WAITING_FOR_ENDPOINT
    if found.retry is None and (summary.ready or waiting):
        return _Summary(ready=False, reason=ObjectReason.PROGRESSING, message=message, abnormal=RECONCILING)
    only_numbers = summary.abnormal == STALLED and not found.needs_user
    if found.retry is None or only_numbers or summary.reason == ObjectReason.PROGRESSING:
        return replace(summary, message=f"{summary.message}; {message}")
    message = f"{message}; {'numbers that wait get the key when it opens it' if waiting else summary.message}"
    abnormal = STALLED if found.needs_user else RECONCILING
    return _Summary(ready=False, reason=found.reason, message=message, abnormal=abnormal)


def _summary(known: Sequence[NumberFacts], total: int, key: PublicKey, spec: Spec, rate_limited_count: int) -> _Summary:
    suspended, first = spec.suspend, spec.rollout.first
    observed = sum(one.observed for one in known)
    unsigned = [one for one in known if one.reason is not Reason.SIGNED]
    if observed == total and not unsigned:
        message = f"{_numbers(total)} signed with key {key.key_id}"
        message = f"suspended; {message}" if suspended else message
        return _Summary(ready=True, reason=ObjectReason.SUCCEEDED, message=message, abnormal=None)
    if suspended:
        message = _known_signed(known, total)
        return _Summary(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)
    if observed < total:
        awaited = [one.target.number for one in known if not one.observed]
        names = f" (not yet {', '.join(awaited)})" if len(awaited) <= _NUMBERS_NAMED else ""
        message = f"checked {observed} of {_numbers(total)} since the last change{names}"
        if rate_limited_count:
            message = f"{message}; {rate_limited_count} waiting for the API rate limit"
        failed = [one for one in unsigned if one.observed and one.verdict.retry]
        if failed:
            # Known failures are shown before the last number has answered.
            message = f"{message}; {_unsigned_summary(failed, total, first).message}"
        return _Summary(ready=False, reason=ObjectReason.PROGRESSING, message=message, abnormal=RECONCILING)
    return _unsigned_summary(unsigned, total, first)


def _known_signed(known: Sequence[NumberFacts], total: int) -> str:
    signed = sum(one.reason is Reason.SIGNED for one in known)
    return f"suspended; {signed} of {_numbers(total)} known to be signed"


def _unsigned_summary(unsigned: Sequence[NumberFacts], total: int, first: str | None) -> _Summary:
    most_severe = max(unsigned, key=lambda one: one.verdict.severity)
    alike = [one for one in unsigned if one.reason is most_severe.reason]
    named = ", ".join(one.target.number for one in alike[:_NUMBERS_NAMED])
    more = f" and {len(alike) - _NUMBERS_NAMED} more" if len(alike) > _NUMBERS_NAMED else ""
    waiting = sum(one.reason is Reason.WAITING_FOR_ROLLOUT for one in unsigned if one.reason is not most_severe.reason)
    other = len(unsigned) - len(alike) - waiting
    others = f"; {other} not signed for other reasons" if other else ""
    held_back = f"; {waiting} waiting for the rollout {_awaited(unsigned, most_severe, first)}" if waiting else ""
    reason = ObjectReason.PROGRESSING if most_severe.reason is Reason.PENDING else most_severe.reason
    return _Summary(
        ready=False,
        reason=reason,
        message=f"{len(alike)} of {_numbers(total)}: {most_severe.row.message} ({named}{more}){others}{held_back}",
        abnormal=STALLED if most_severe.verdict.needs_user else RECONCILING,
    )


def _awaited(unsigned: Sequence[NumberFacts], most_severe: NumberFacts, first: str | None) -> str:
    """Return which number the rollout waits for, and what the user can do if it is stuck."""
    stuck = next((one for one in unsigned if one.suggests_bad_key), None)
    way = "put a key that works into the Secret, or name another number in `rollout.firstNumber`"
    if not stuck:
        stuck = next((one for one in unsigned if one.target.number == first and one.verdict.retry is not None), None)
        way = "repair that number, or name another one in `rollout.firstNumber`"
    if not stuck:
        return "(first number not verified yet)"
    why = "" if stuck.reason is most_severe.reason else f" ({stuck.reason})"
    return f"until {stuck.target.number}{why} is verified: {way}"


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _conditions(
    resource: BusinessEncryptionKey, summary: _Summary, endpoint: EndpointStatus | None, now: float, *, known: bool
) -> tuple[Condition, ...]:
    """Return the conditions; `known` is whether what is said of the endpoint is of this very spec."""

    def condition(kind: str, reason: str, message: str, *, true: bool) -> Condition:
        last = resource.status.condition(kind)
        return Condition(
            type=kind,
            true=true,
            reason=reason,
            message=message[:_LONGEST_MESSAGE],
            generation=resource.generation,
            since=float(int(now)) if last is None or last.since is None or last.true is not true else last.since,
        )

    reason = str(summary.reason)
    found = [condition(READY, reason, summary.message, true=summary.ready)]
    if summary.abnormal:
        found.append(condition(summary.abnormal, reason, summary.message, true=True))
    last = resource.status.condition(ENDPOINT_READY)
    if endpoint and known:
        holds = endpoint.reason in {EndpointReason.HOLDS_KEY, EndpointReason.LACKS_OLD_KEY}
        found.append(condition(ENDPOINT_READY, endpoint.reason, endpoint.message, true=holds))
    elif endpoint and last:
        # Its generation tells the next process whether it is of the same address.
        found.append(last)
    return tuple(found)
