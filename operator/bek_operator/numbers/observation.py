"""Observations: what is known of one number.

An observation says which target it was made for. `recover` makes one from a status row after a restart, `retarget`
decides what of it is still worth something for another target; `outcomes` tells how each answer changes it, and
`decision` what to do about it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from bek_operator.crd.reasons import OF_THE_KEY, Group, Reason, group_of
from bek_operator.crd.status import Recorded, Row
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.numbers.target import Target

BOUNDED_TRIES = 5
"""How often in a row a failure that is not sure to pass is met before a person is asked to look."""

_NOT_LOOKED_AT = "not looked at yet"
_FIRST_AND_LONGEST_DELAY = {Pace.SOON: (1.0, 30.0), Pace.NORMAL: (2.0, 300.0), Pace.SLOW: (30.0, 1800.0)}
_UNKNOWN_DELAYS = (30.0, backoff.SETTLING_SECONDS)
_LONGEST_REFUSAL_DELAY = 86400.0
_REFUSALS_OF_THE_KEY = frozenset({Reason.KEY_REJECTED, Reason.NOT_ELIGIBLE})
_MAY_BE_REFUSALS = frozenset({Reason.INVALID_ANSWER, Reason.SERVICE_NOT_READY})
_OF_ALL_NUMBERS = frozenset({Reason.KEY_REJECTED, Reason.UNSUPPORTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known of one number. Instants are seconds since the epoch.

    Attributes:
        target: What it was made for.
        reason: What its row shows; `message` goes with it.
        status: The API's last word, whenever that was.
        fingerprint: The key that the API last reported.
        tried: Whether the number was looked at since its target was set.
        asked: Whether a person asked for a look that was not taken yet.
        person: Whether a person must act before it comes right.
        read_at: The last understood answer of this endpoint to this process.
        published_at: Our last publish, of whatever key.
        publishes: How often the current key was published; the brake's memory.
        recent: Our last publishes, of whatever key, oldest first, as far as they count; the brake's other memory.
        lasts: The signature was seen to have lasted since the last publish; the next one starts counting anew.
        lost: How a number that was signed was found not to be, until the key is published again.
        cause: What the last publish, which was accepted, made good: a loss, or `Pending`, which is none.
        accepted: A publish was accepted, and the number was not VALID since.
        refusal: Why the last publish of the current key was not accepted, at `refused_at`; `refusals` in a row.
        failures: Failed checks in a row, the first of them at `failing_since`; of the last ones `bounded` in a row
            were not sure to pass.
        due: When to call again, whatever happens.
        retry_at: Until when the server asked to be left alone.
        resume_from: While the target has a problem: what was known without it, to go on from when that is over.
    """

    target: Target
    reason: Reason = Reason.PENDING
    message: str = _NOT_LOOKED_AT
    status: SignatureStatus | None = None
    fingerprint: str | None = None
    observed: bool = False
    check_requested: bool = False
    needs_user: bool = False
    read_at: float | None = None
    published_at: float | None = None
    publishes: int = 0
    recent: tuple[float, ...] = ()
    stable: bool = False
    lost: Reason | None = None
    cause: Reason | None = None
    accepted: bool = False
    refusal: Failure | None = None
    refused_at: float = 0.0
    refusals: int = 0
    failures: int = 0
    failing_since: float = 0.0
    bounded: int = 0
    due: float = 0.0
    retry_at: float = 0.0
    resume_from: "Observation | None" = None

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
            self.recent,
            self.observed,
            self.check_requested,
            self.needs_user,
        )

    @property
    def suggests_bad_key(self) -> bool:
        """Tell whether what came of publishing may be the key's fault."""
        known = self.resume_from or self
        return known.reason in OF_THE_KEY or (known.refusal is not None and may_be_for_the_key(known.refusal))

    @property
    def group(self) -> Group:
        """Tell who must act."""
        return Group.PERSON if self.needs_user else min(group_of(self.reason), Group.TIME)

    @property
    def publish_due(self) -> float:
        """Return from when on the current key may be published (again)."""
        due = backoff.next_of_any_key(self.recent)
        if self.published_at is not None and self.publishes:
            due = max(due, backoff.next_publish(self.publishes, self.published_at))
            if self.accepted:
                due = max(due, self.published_at + backoff.SETTLING_SECONDS)
        if self.refusal:
            due = max(due, self.refused_at + _refusal_delay(self.refusal, self.refusals, self.target.interval))
        return due


def restore_from_status(target: Target, recorded: Recorded, generation: int, *, now: float, due: float) -> Observation:
    """Take a number up where the status left it; `due` is when to look at it if all was well."""
    seen = _recovered(target, recorded, generation, now=now, due=due)
    return _blocked(seen, target.problem, seen) if target.problem else seen


def _recovered(target: Target, recorded: Recorded, generation: int, *, now: float, due: float) -> Observation:
    row = recorded.rows.get(target.number)
    if row is None or row.api != target.api.name:
        return Observation(target=target)
    # A time that is still to come is that of a clock that went wrong; the brake must not wait for it.
    published_at = None if row.published_at is None else min(row.published_at, now)
    recent = tuple(min(at, now) for at in row.recent)
    asked_again = target.request not in {"", recorded.request}
    if asked_again:
        # Room for one publish: whether the last process has lifted the brake for it already is not known.
        recent = recent[-(backoff.MOST_IN_AN_HOUR - 1) :]
    seen = Observation(
        target=target, status=row.status, fingerprint=row.fingerprint, published_at=published_at, recent=recent
    )
    signed, waiting = row.reason is Reason.SIGNED, row.reason is Reason.WAITING_FOR_ROLLOUT
    if recorded.fingerprint != target.key.fingerprint or (signed and seen.finding is not Reason.SIGNED):
        return replace(seen, due=due if signed or waiting else 0.0)
    if not asked_again:
        seen = _with_publishes(seen, row)
    observed = recorded.complete and recorded.generation == generation
    needs_user = group_of(row.reason) is Group.PERSON or row.reason == recorded.stalled
    return replace(
        seen,
        reason=row.reason,
        message=row.message,
        observed=observed,
        check_requested=asked_again,
        needs_user=needs_user,
        bounded=BOUNDED_TRIES if needs_user and observed else 0,
        due=due if (waiting or (signed and observed)) and not asked_again else 0.0,
    )


def _with_publishes(seen: Observation, row: Row) -> Observation:
    seen = replace(seen, publishes=row.publishes, accepted=row.reason is Reason.PENDING and row.publishes > 0)
    of_the_key = row.reason in _REFUSALS_OF_THE_KEY
    if not of_the_key and not (row.publishes and row.reason in _MAY_BE_REFUSALS):
        return seen
    retry = Retry.TERMINAL if of_the_key else Retry.LIMITED
    refusal = Failure(reason=row.reason, message=row.message, retry=retry, unknown=not of_the_key)
    return replace(seen, refusal=refusal, refused_at=seen.published_at or 0.0, refusals=max(row.publishes, 1))


def _blocked(shown: Observation, problem: Failure, resume_from: Observation) -> Observation:
    """Show the problem of a target: it is certain, so that it has to last for nothing, and no call is ever due."""
    return replace(
        shown,
        reason=problem.reason,
        message=problem.message,
        observed=True,
        check_requested=False,
        needs_user=problem.retry is Retry.TERMINAL,
        due=math.inf,
        resume_from=resume_from,
    )


def expired(seen: Observation, now: float) -> Observation:
    """Carry over what is known of a number that nobody was to call for a while: anything may have happened to it."""
    if seen.resume_from:
        return replace(seen, resume_from=expired(seen.resume_from, now))
    return replace(seen, observed=False, read_at=None, due=now)


def with_target(seen: Observation, target: Target, now: float) -> Observation:
    """Carry over what is still true for another target of the same number.

    The key that the API holds stays known while the endpoint is the same; the brake's count stays with key and
    address; a server's wish to be left alone stays with the address. A problem leaves no trace, if no check is due.
    """
    if seen.target == target:
        return seen
    known = seen.resume_from or seen
    carried = _carried_over(known, target, now)
    if target.request not in {"", known.target.request}:
        carried = replace(carried, recent=())
    if target.problem:
        # Whoever has a number that is listed twice may publish to it.
        taken = target.problem.reason is Reason.DUPLICATE_NUMBER
        return _blocked(carried, target.problem, expired(known, now) if taken else known)
    return expired(carried, now) if seen.resume_from and now >= carried.due else carried


def _carried_over(seen: Observation, target: Target, now: float) -> Observation:
    before = seen.target
    if before == target:
        return seen
    if before.address != target.address:
        return Observation(target=target)
    kept = replace(seen, target=target, due=min(seen.due, now + target.interval))
    if before.endpoint != target.endpoint:
        kept = replace(kept, read_at=None, due=now)
        if seen.refusal and not is_of_the_key(seen.refusal):
            kept = replace(kept, refusal=None, refusals=0)
        if seen.reason is not Reason.SIGNED:
            # What stood in the way may be gone; nobody should go on reading about it.
            kept = replace(kept, reason=Reason.PENDING, message=_NOT_LOOKED_AT, observed=False, needs_user=False)
    if seen.failures:
        kept = replace(kept, failures=0, bounded=0, due=now)
    if before.key != target.key:
        # What the API asks us to wait for is worth showing until the new key has its turn.
        waiting = now < seen.retry_at and group_of(seen.reason) is Group.TIME
        shown = (kept.reason, kept.message) if waiting else (Reason.PENDING, _NOT_LOOKED_AT)
        return _forget_publishes(kept, observed=False, needs_user=False, reason=shown[0], message=shown[1])
    if before.api != target.api or before.publish != target.publish:
        kept = replace(kept, observed=False, needs_user=False)
    if target.request not in {"", before.request}:
        kept = _forget_publishes(kept, read_at=None, check_requested=True, due=now)
    return kept


def _forget_publishes(seen: Observation, **more: Any) -> Observation:
    return replace(
        seen, publishes=0, stable=False, accepted=False, refusal=None, refusals=0, lost=None, cause=None, **more
    )


def is_of_the_key(refusal: Failure) -> bool:
    """Tell whether a publish was refused for the key itself, rather than for who published it or when."""
    return refusal.reason in _REFUSALS_OF_THE_KEY


def may_be_for_the_key(refusal: Failure) -> bool:
    """Tell whether a refused publish may say something about the key, so that others had better not meet it, too.

    That is not so for what passes by itself, for what the API names as a fault of the number or the caller, and for
    errors that are not understood: those that name the key have a reason that says so.
    """
    if refusal.reason is Reason.ACCESS_DENIED:
        # By the HTTP status alone: a firewall that dislikes the body, for all that anybody knows.
        return refusal.code is None
    failed_over_it = refusal.unknown and refusal.retry is Retry.LIMITED and refusal.reason is Reason.SERVICE_NOT_READY
    return failed_over_it or refusal.reason in _OF_ALL_NUMBERS


def needs_user_action(retry: Retry, tries: int) -> bool:
    """Tell whether what failed so often in a row is not going to pass unless somebody does something."""
    return retry is Retry.TERMINAL or (retry is Retry.LIMITED and tries >= BOUNDED_TRIES)


def _refusal_delay(refusal: Failure, refusals: int, interval: float) -> float:
    if refusal.unknown:
        return _UNKNOWN_DELAYS[min(refusals, len(_UNKNOWN_DELAYS)) - 1]
    if not needs_user_action(refusal.retry, refusals):
        # A publish is not to be repeated for ever as fast as a question may be.
        return pause_after(replace(refusal, pace=Pace.NORMAL) if refusal.pace is Pace.SOON else refusal, refusals)
    doublings = refusals - (1 if refusal.retry is Retry.TERMINAL else BOUNDED_TRIES)
    return min(interval * 2.0 ** min(doublings, 20), _LONGEST_REFUSAL_DELAY)


def pause_after(failure: Failure, tries: int) -> float:
    """Return the seconds to wait after so many failed tries in a row.

    A server that says for how long it wants to be left alone is not left alone for longer, unless it says so again.
    """
    pause = _backoff(failure.pace, tries)
    if failure.retry_after is None:
        return pause
    return min(pause, max(failure.retry_after, _backoff(Pace.SOON, tries)))


def _backoff(pace: Pace, tries: int) -> float:
    first, longest = _FIRST_AND_LONGEST_DELAY[pace]
    return min(first * 2.0 ** min(tries - 1, 20), longest)
