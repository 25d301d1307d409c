"""What `kubectl bek status` shows of an object: a pure function of the object and the time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bek_operator.cli.durations import short
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import SEVERITY, ObjectReason, Reason, Severity
from bek_operator.crd.status import READY, Condition, EndpointStatus, Row
from bek_operator.crd.types import InvalidSpec, SignatureStatus
from bek_operator.keys.public_key import key_id
from bek_operator.numbers.backoff import next_of_any_key, next_publish

SEE_WHETHER_IT_RUNS = "see whether it runs: kubectl get pods -A -l app.kubernetes.io/name=bek-operator"

_NEVER_CHECKED = frozenset({ObjectReason.INVALID_KEY, ObjectReason.INVALID_SPEC, ObjectReason.SECRET_NOT_FOUND})
"""Reasons of objects whose numbers are not checked."""

_HELD_BACK = frozenset({Reason.CONTENDED, Reason.SIGNATURE_MISMATCH, Reason.KEY_CHANGES_TOO_OFTEN})
"""Reasons of numbers whose next publish is delayed until a known time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSummary:
    """One phone number; instants are in seconds since the epoch.

    Attributes:
        reason: `None` for a number that the operator has not seen.
        is_current: Whether the number holds the key of the Secret.
        next_publish: When the key can be published again; `None` where nothing holds it back.
    """

    number: str
    api: str
    reason: Reason | None
    message: str = ""
    fingerprint: str | None = None
    is_current: bool = False
    signature: SignatureStatus | None = None
    published_at: float | None = None
    publishes: int = 0
    next_publish: float | None = None

    @property
    def severity(self) -> Severity:
        """Return how severe its reason is."""
        return SEVERITY[self.reason][0] if self.reason else Severity.IN_PROGRESS

    @property
    def is_signed(self) -> bool:
        """Return whether it has the key of the Secret, and nothing is wrong."""
        return self.reason is Reason.SIGNED

    @property
    def held(self) -> str:
        """Return the short form of the key that it holds, with a mark when that is not the Secret's."""
        if not self.fingerprint:
            return ""
        return key_id(self.fingerprint) + ("" if self.is_current else "*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """The Flow endpoint of an object; `found` is what is known of it, `None` before it was asked."""

    url: str
    gate: bool
    found: EndpointStatus | None

    @property
    def line(self) -> str:
        """Return one line for people; what is wrong is the message of the condition EndpointReady."""
        policy = "" if self.gate else " (policy Report)"
        words = "not asked yet"
        if self.found:
            opened = f"opened key {key_id(self.found.opened)} last" if self.found.opened else "opened no key yet"
            words = f"{self.found.reason}, {opened}"
        return f"Flow endpoint {self.url}{policy}: {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSummary:
    """One object.

    Attributes:
        endpoint: `None` where the spec names none.
        notes: What the conditions do not say, as whole sentences.
        numbers: The most severe first, then in the order of the spec.
    """

    namespace: str
    name: str
    secret: str
    fingerprint: str | None
    signed: int
    desired: int
    suspended: bool
    endpoint: EndpointSummary | None
    conditions: tuple[Condition, ...]
    notes: tuple[str, ...]
    numbers: tuple[NumberSummary, ...]

    @property
    def is_healthy(self) -> bool:
        """Return whether it is Ready, and the status is up to date."""
        return self._ready is not None and self._ready.true and not self.notes

    @property
    def ready_message(self) -> str | None:
        """Return the message of Ready; `None` without that condition."""
        return self._ready.message if self._ready else None

    @property
    def _ready(self) -> Condition | None:
        return next((one for one in self.conditions if one.type == READY), None)

    @property
    def severity(self) -> Severity:
        """Return how severe the worst of it is."""
        if self.is_healthy:
            return Severity.HEALTHY
        stalled = any(one.type == "Stalled" and one.true for one in self.conditions)
        return Severity.USER_ACTION if stalled else Severity.TRANSIENT


def summary_of(resource: BusinessEncryptionKey, now: float) -> ObjectSummary:
    """Return what is known of an object."""
    spec, status = resource.spec, resource.status
    listed = () if isinstance(spec, InvalidSpec) else spec.numbers
    numbers = [
        _number(number.number, number.api.name, status.rows.get(number.number), status.fingerprint, now)
        for number in listed
    ]
    return ObjectSummary(
        namespace=resource.ref.namespace,
        name=resource.ref.name,
        secret="" if isinstance(spec, InvalidSpec) else spec.key.secret,
        fingerprint=status.fingerprint,
        signed=status.signed,
        desired=len(listed),
        suspended=is_suspended(resource),
        endpoint=_endpoint(resource),
        conditions=status.conditions,
        notes=tuple(_notes(resource, now)),
        numbers=tuple(sorted(numbers, key=_rank, reverse=True)),
    )


def is_suspended(resource: BusinessEncryptionKey) -> bool:
    """Return whether an object is suspended."""
    return not isinstance(resource.spec, InvalidSpec) and resource.spec.suspend


def blocked_by(resource: BusinessEncryptionKey) -> Condition | None:
    """Return the condition that says why no number is checked, as far as the operator has seen; `None` if they are."""
    ready = resource.status.condition(READY)
    current = resource.status.generation == resource.generation
    return ready if current and ready and ready.reason in _NEVER_CHECKED else None


def worst_first(summaries: Iterable[ObjectSummary]) -> Sequence[ObjectSummary]:
    """Sort by severity, then by name."""
    return sorted(summaries, key=lambda one: (-one.severity, one.namespace, one.name))


def _endpoint(resource: BusinessEncryptionKey) -> EndpointSummary | None:
    written = None if isinstance(resource.spec, InvalidSpec) else resource.spec.flows_endpoint
    if written is None:
        return None
    return EndpointSummary(url=written.url, gate=written.gate, found=resource.status.endpoint)


def _number(number: str, api: str, row: Row | None, wanted: str | None, now: float) -> NumberSummary:
    if row is None:
        return NumberSummary(number=number, api=api, reason=None)
    return NumberSummary(
        number=number,
        api=api,
        reason=row.reason,
        message=row.message,
        fingerprint=row.fingerprint,
        is_current=bool(row.fingerprint) and row.fingerprint == wanted,
        signature=row.status,
        published_at=row.published_at,
        publishes=row.publishes,
        next_publish=_next_publish(row, now),
    )


def _next_publish(row: Row, now: float) -> float | None:
    if row.reason not in _HELD_BACK or row.published_at is None:
        return None
    due = max(next_publish(row.publishes, row.published_at), next_of_any_key(row.recent))
    return due if due > now else None


def _rank(number: NumberSummary) -> tuple[int, int]:
    return SEVERITY[number.reason] if number.reason else (Severity.IN_PROGRESS, -1)


def _notes(resource: BusinessEncryptionKey, now: float) -> Iterable[str]:
    status = resource.status
    if isinstance(resource.spec, InvalidSpec):
        yield f"The spec cannot be used: {resource.spec.message}."
    if status.generation < 0:
        age = short(now - resource.created)
        yield (
            f"The operator has not seen this object since it was created {age} ago. If that lasts,"
            f" {SEE_WHETHER_IT_RUNS}, and whether it serves this namespace."
        )
    elif status.generation != resource.generation:
        yield (
            "The spec was changed, and the operator has not seen the change yet: what follows describes the old one."
            f" If that lasts, {SEE_WHETHER_IT_RUNS}"
        )
    elif resource.request not in {"", status.request} and not is_suspended(resource) and not blocked_by(resource):
        yield (
            "A check was requested, and the operator has not finished it yet: what follows may be out of date. If that"
            f" lasts, {SEE_WHETHER_IT_RUNS}"
        )
