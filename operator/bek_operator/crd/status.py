"""The status of an object as values: rendered for the API server, and parsed from it.

It is the only state that survives a restart. The CRD's schema validates it, but perhaps in another version: fields
that cannot be parsed count as absent.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bek_operator.crd.fields import objects, typed
from bek_operator.crd.reasons import LACKS_THE_KEY, EndpointReason, ObjectReason, Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.times import instant, rfc3339

READY, RECONCILING, STALLED, ENDPOINT_READY = "Ready", "Reconciling", "Stalled", "EndpointReady"

_MOST_EARLIER_PUBLISHES = 16
_COMPLETE = frozenset([ObjectReason.SUCCEEDED, *Reason, *EndpointReason])


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition; `since` is when its status last changed, `None` if unknown."""

    type: str
    true: bool
    reason: str
    message: str = ""
    generation: int = -1
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """That the last publish was refused because of the key, or had no answer: why, and how often in a row."""

    reason: Reason
    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number's row. The last publish is dated to the second, `earlier` ones in seconds before it, oldest first.

    `lost`: how the number lost the current key after it held it, until it is signed again.
    """

    number: str
    api: str
    reason: Reason = Reason.PENDING
    message: str = ""
    status: SignatureStatus | None = None
    fingerprint: str | None = None
    published_at: float | None = None
    publishes: int = 0
    earlier: tuple[int, ...] = ()
    lost: Reason | None = None
    refused: Refused | None = None

    @property
    def recent(self) -> tuple[float, ...]:
        """Return the publishes that count, whatever their key, oldest first."""
        last = self.published_at
        return () if last is None else (*(last - seconds for seconds in self.earlier), last)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """What is known of the Flow endpoint; `opened` is the fingerprint of the key whose ping it opened last."""

    reason: str
    message: str = ""
    opened: str | None = None


class Rows(Mapping[str, Row]):  # noqa: PLW1641 - nothing needs their hash
    """Rows by number, in the order of the list."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = {row.number: row for row in rows}
        self._reasons: Counter[Reason] | None = None

    def __getitem__(self, number: str) -> Row:
        return self._rows[number]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and list(self._rows.values()) == list(other.values())

    @property
    def reasons(self) -> Mapping[Reason, int]:
        """Return how many numbers show each reason, counted once."""
        if self._reasons is None:
            self._reasons = Counter(row.reason for row in self._rows.values())
        return self._reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of an object.

    Attributes:
        generation: The generation that it describes; -1 before the first one.
        desired: How many numbers there are; `signed` of them are VALID for the Secret's current key.
        fingerprint: The key that the rows describe; `key_id` is its short form.
        request: The last `requested-at` that every number was checked for.
        started: The `requested-at` for which the numbers' back-offs were cleared, until it is the `request`. It is
            written with what follows from that, such as a publish, and is no reason for a write of its own.
        endpoint: The Flow endpoint; `None` if there is none.
    """

    generation: int = -1
    conditions: tuple[Condition, ...] = ()
    rows: Rows = field(default_factory=Rows, repr=False)
    desired: int = 0
    signed: int = 0
    fingerprint: str | None = None
    key_id: str | None = None
    request: str = ""
    started: str = field(default="", compare=False)
    endpoint: EndpointStatus | None = None

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type; `None` if there is none."""
        return next((one for one in self.conditions if one.type == kind), None)

    @property
    def complete(self) -> bool:
        """Return whether every number had been checked for that generation, and for that key."""
        ready = self.condition(READY)
        return ready is not None and ready.reason in _COMPLETE

    @property
    def stalled(self) -> str:
        """Return the reason for which the object is Stalled; empty if it is not."""
        stalled = self.condition(STALLED)
        return stalled.reason if stalled and stalled.true else ""


def read_status(body: object) -> Status:
    """Read the status of an object as this or another version has written it."""
    if not isinstance(body, Mapping):
        return Status()
    generation = typed(body.get("observedGeneration"), int)
    # The rows of an object repeat the same few texts, which are kept once.
    texts: dict[str, str] = {}
    rows = (_read_row(row, texts) for row in objects(body.get("phoneNumbers")))
    return Status(
        generation=-1 if generation is None else generation,
        conditions=tuple(_read_condition(one) for one in objects(body.get("conditions"))),
        rows=Rows(row for row in rows if row),
        desired=typed(body.get("desiredNumbers"), int) or 0,
        signed=typed(body.get("signedNumbers"), int) or 0,
        fingerprint=typed(body.get("publicKeyFingerprint"), str),
        key_id=typed(body.get("keyID"), str),
        request=typed(body.get("lastHandledReconcileAt"), str) or "",
        started=typed(body.get("startedReconcileAt"), str) or "",
        endpoint=_read_endpoint(body.get("flowsEndpoint")),
    )


def _read_endpoint(body: object) -> EndpointStatus | None:
    if not isinstance(body, Mapping):
        return None
    return EndpointStatus(
        reason=typed(body.get("reason"), str) or "",
        message=typed(body.get("message"), str) or "",
        opened=typed(body.get("openedFingerprint"), str),
    )


def _read_condition(body: Mapping[str, Any]) -> Condition:
    generation = typed(body.get("observedGeneration"), int)
    return Condition(
        type=typed(body.get("type"), str) or "",
        true=body.get("status") == "True",
        reason=typed(body.get("reason"), str) or "",
        message=typed(body.get("message"), str) or "",
        generation=-1 if generation is None else generation,
        since=instant(body.get("lastTransitionTime")),
    )


def _read_row(row: Mapping[str, Any], texts: dict[str, str]) -> Row | None:
    def text(name: str) -> str | None:
        found = typed(row.get(name), str)
        return None if found is None else texts.setdefault(found, found)

    number, word, lost = typed(row.get("phoneNumber"), str), row.get("signatureStatus"), typed(row.get("lost"), str)
    if number is None:
        return None
    try:
        return Row(
            number=number,
            api=text("api") or "",
            status=None if word is None else SignatureStatus(word),
            reason=Reason(text("reason") or ""),
            message=text("message") or "",
            fingerprint=text("observedFingerprint"),
            published_at=instant(row.get("lastPublishTime")),
            publishes=max(typed(row.get("publishes"), int) or 0, 0),
            earlier=_read_earlier(row.get("earlierPublishes")),
            lost=Reason(lost) if lost in LACKS_THE_KEY else None,
            refused=_read_refused(row.get("refusedPublishes"), row),
        )
    except ValueError:
        return None


def _read_refused(body: object, row: Mapping[str, Any]) -> Refused | None:
    """Read why publishes were refused; a reason or message that is absent is that of the row."""
    if not isinstance(body, Mapping):
        return None
    shown = {**row, **body}
    return Refused(
        reason=Reason(typed(shown.get("reason"), str) or ""),
        message=typed(shown.get("message"), str) or "",
        count=max(typed(body.get("count"), int) or 0, 1),
    )


def _read_earlier(seconds: object) -> tuple[int, ...]:
    found = seconds[:_MOST_EARLIER_PUBLISHES] if isinstance(seconds, list) else ()
    return tuple(sorted((one for one in found if type(one) is int and one >= 0), reverse=True))


def render_status(status: Status) -> dict[str, Any]:
    """Return the JSON for the API server, without empty fields."""
    body: dict[str, Any] = {
        "observedGeneration": status.generation,
        "conditions": [_render_condition(one) for one in status.conditions],
        "desiredNumbers": status.desired,
        "signedNumbers": status.signed,
        "signed": f"{status.signed}/{status.desired}",
        "phoneNumbers": [_render_row(row) for row in status.rows.values()],
    }
    if status.fingerprint:
        body["publicKeyFingerprint"] = status.fingerprint
        body["keyID"] = status.key_id
    if status.request:
        body["lastHandledReconcileAt"] = status.request
    if status.started:
        body["startedReconcileAt"] = status.started
    if status.endpoint:
        body["flowsEndpoint"] = _render_endpoint(status.endpoint)
    return body


def _render_endpoint(endpoint: EndpointStatus) -> dict[str, Any]:
    body = {"reason": endpoint.reason, "message": endpoint.message, "openedFingerprint": endpoint.opened}
    return {name: value for name, value in body.items() if value}


def _render_condition(one: Condition) -> dict[str, Any]:
    return {
        "type": one.type,
        "status": "True" if one.true else "False",
        "observedGeneration": one.generation,
        "lastTransitionTime": rfc3339(one.since or 0.0),
        "reason": one.reason,
        "message": one.message,
    }


def _render_row(row: Row) -> dict[str, Any]:
    body: dict[str, Any] = {"phoneNumber": row.number, "api": row.api, "reason": str(row.reason)}
    if row.status:
        body["signatureStatus"] = str(row.status)
    if row.message:
        body["message"] = row.message
    if row.fingerprint:
        body["observedFingerprint"] = row.fingerprint
    if row.published_at is not None:
        body["lastPublishTime"] = rfc3339(row.published_at)
    if row.earlier:
        body["earlierPublishes"] = list(row.earlier)
    if row.publishes:
        body["publishes"] = row.publishes
    if row.lost:
        body["lost"] = str(row.lost)
    if refused := row.refused:
        body["refusedPublishes"] = {"count": refused.count}
        if (refused.reason, refused.message) != (row.reason, row.message):
            body["refusedPublishes"] |= {"reason": str(refused.reason), "message": refused.message}
    return body
