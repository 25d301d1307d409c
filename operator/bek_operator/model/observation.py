"""Observations: what is known of one number.

An observation says which target it was made for. `recover` makes one from a status row after a restart, `retarget`
decides what of it is still worth something for another target; `outcomes` tells how each answer changes it, and
`decision` what to do about it.
"""

from dataclasses import dataclass, replace
from typing import Any

from bek_operator.model import brake
from bek_operator.model.answers import Cure, Failure, Pace, SignatureStatus
from bek_operator.model.reasons import Group, Reason, group_of
from bek_operator.model.recorded import Recorded, Row
from bek_operator.model.target import Target

_NOT_LOOKED_AT = "not looked at yet"
_FIRST_AND_LONGEST_DELAY = {Pace.SOON: (1.0, 30.0), Pace.NORMAL: (2.0, 300.0), Pace.SLOW: (30.0, 1800.0)}
_LONGEST_REFUSAL_DELAY = 86400.0
_MAY_BE_BOUNDED = (Reason.SERVICE_NOT_READY, Reason.INVALID_ANSWER)
_REFUSALS = (Reason.KEY_REJECTED, Reason.NOT_ELIGIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of one number. Instants are seconds since the epoch.

    Attributes:
        target: What it was made for.
        reason: What its row shows; `message` goes with it.
        status: The API's last word, whenever that was.
        fingerprint: The key that the API last reported.
        tried: Whether the number was looked at since its target was set.
        person: Whether a person must act before it comes right.
        read_at: The last understood answer of this endpoint to this process.
        published_at: Our last publish, of whatever key.
        publishes: How often the current key was published; the brake's memory.
        cause: Why it was last published, for the event.
        accepted: A publish was accepted, and the number was not VALID since.
        refusal: The API's refusal of the current key, and `refused_at` when that was; `refusals` in a row.
        failures: Failed checks in a row, the first of them at `failing_since`.
        due: When to call again, whatever happens.
        retry_at: Until when the server asked to be left alone.
    """

    target: Target
    reason: Reason = Reason.PENDING
    message: str = _NOT_LOOKED_AT
    status: SignatureStatus | None = None
    fingerprint: str | None = None
    tried: bool = False
    person: bool = False
    read_at: float | None = None
    published_at: float | None = None
    publishes: int = 0
    cause: Reason | None = None
    accepted: bool = False
    refusal: Failure | None = None
    refused_at: float = 0.0
    refusals: int = 0
    failures: int = 0
    failing_since: float = 0.0
    due: float = 0.0
    retry_at: float = 0.0

    @property
    def finding(self) -> Reason:
        """Compare what the API last reported with the target's key."""
        if self.fingerprint is None:
            return Reason.NOT_PUBLISHED
        if self.fingerprint != self.target.key.fingerprint:
            return Reason.FOREIGN_KEY
        return Reason.SIGNED if self.status is SignatureStatus.VALID else Reason.STALE_SIGNATURE

    @property
    def shown(self) -> tuple[object, ...]:
        """Return what the status of the object depends on."""
        return (
            self.reason,
            self.message,
            self.status,
            self.fingerprint,
            self.published_at,
            self.publishes,
            self.tried,
            self.person,
        )

    @property
    def group(self) -> Group:
        """Tell who must act."""
        return Group.PERSON if self.person else min(group_of(self.reason), Group.TIME)

    @property
    def publish_due(self) -> float:
        """Return from when on the current key may be published (again)."""
        due = 0.0
        if self.published_at is not None and self.publishes:
            due = brake.next_publish(self.publishes, self.published_at)
            if self.accepted:
                due = max(due, self.published_at + brake.SETTLING_SECONDS)
        if self.refusal:
            due = max(due, self.refused_at + _refusal_delay(self.refusal, self.refusals, self.target.interval))
        return due


def recover(target: Target, recorded: Recorded, generation: int, due: float) -> Observation:
    """Take a number up where the status left it; `due` is when to look at it if all was well."""
    row = recorded.rows.get(target.number)
    if row is None or row.api != target.api.name:
        return Observation(target=target)
    seen = Observation(target=target, status=row.status, fingerprint=row.fingerprint, published_at=row.published_at)
    if recorded.fingerprint != target.key.fingerprint:
        return seen
    asked_again = target.request not in {"", recorded.request}
    if not asked_again:
        seen = replace(
            seen,
            publishes=row.publishes,
            accepted=row.reason is Reason.PENDING and row.publishes > 0,
            **_refused(row),
        )
    if recorded.generation != generation or asked_again:
        return replace(seen, reason=Reason.SIGNED, message="") if row.reason is Reason.SIGNED else seen
    return replace(
        seen,
        reason=row.reason,
        message=row.message,
        tried=row.reason is not Reason.PENDING or row.publishes > 0,
        person=_left_to_a_person(row, recorded, target),
        due=due if row.reason is Reason.SIGNED else 0.0,
    )


def _refused(row: Row) -> dict[str, Any]:
    if row.reason not in _REFUSALS:
        return {}
    refusal = Failure(reason=row.reason, message=row.message, cure=Cure.PERSON)
    return {"refusal": refusal, "refused_at": row.published_at or 0.0, "refusals": 1}


def _left_to_a_person(row: Row, recorded: Recorded, target: Target) -> bool:
    if group_of(row.reason) is Group.TIME:
        return not target.publish or (recorded.stalled and row.reason in _MAY_BE_BOUNDED)
    return group_of(row.reason) is Group.PERSON


def retarget(seen: Observation, target: Target, now: float) -> Observation:
    """Carry over what is still true for another target of the same number.

    The key that the API holds stays known while the endpoint is the same; the brake's count stays with key and
    address; a server's wish to be left alone stays with the address.
    """
    before = seen.target
    if before == target:
        return seen
    if before.address != target.address:
        return Observation(target=target)
    kept = replace(seen, target=target)
    if before.endpoint != target.endpoint:
        kept = replace(kept, read_at=None, due=now)
    if seen.failures:
        kept = replace(kept, failures=0, due=now)
    if before.key != target.key:
        kept = replace(_forget_publishes(kept), tried=False, person=False)
        waiting = now < seen.retry_at and not seen.person
        return kept if waiting else replace(kept, reason=Reason.PENDING, message=_NOT_LOOKED_AT)
    if target.request not in {"", before.request}:
        return replace(_forget_publishes(kept), read_at=None, tried=False)
    if before.api != target.api or before.publish != target.publish:
        return replace(kept, tried=False, person=False)
    return kept


def _forget_publishes(seen: Observation) -> Observation:
    return replace(seen, publishes=0, accepted=False, refusal=None, refusals=0, cause=None)


def _refusal_delay(refusal: Failure, refusals: int, interval: float) -> float:
    doublings = min(refusals - 1, 20)
    if refusal.cure is Cure.PERSON:
        return min(interval * float(2**doublings), _LONGEST_REFUSAL_DELAY)
    return backoff(refusal.pace, refusals)


def backoff(pace: Pace, tries: int) -> float:
    """Return the seconds to wait after so many failed tries in a row."""
    first, longest = _FIRST_AND_LONGEST_DELAY[pace]
    return float(min(first * 2 ** min(tries - 1, 20), longest))
