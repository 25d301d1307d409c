"""The rollout: a new key is tried on one number before it is spread.

It concerns rotations only: some number is known to hold another key as VALID, ours of before or somebody else's.
Who has proved the key, or has it on trial, is derived from what the rows and the spec say, so that a restart goes
on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bek_operator.crd.reasons import LACKS_THE_KEY, Group, Reason, group_of
from bek_operator.crd.types import Rollout, SignatureStatus
from bek_operator.numbers.observation import Observation
from bek_operator.times import rfc3339

CANARY_SECONDS = 10.0
"""How long the first number may go without any answer before the next one takes its place."""

_OF_OTHERS = frozenset({Reason.CONTENDED, Reason.DUPLICATE_NUMBER})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGate:
    """Which numbers may be published to.

    Attributes:
        rotation: Whether there is a key to be replaced at all.
        leader: The only number that may be published to; without one all may, unless `closed`.
        since: Since when it has been that.
        closed: The key is proved, but none may yet that holds another one as VALID.
        review_at: When time alone changes the gate; `None` when that takes an answer.
        words: What numbers that wait are told, and whoever looks after them.
    """

    rotation: bool = False
    canary: str | None = None
    since: float = 0.0
    closed: bool = False
    review_at: float | None = None
    message: str = ""

    def allows(self, seen: Observation) -> bool:
        """Tell whether a number may be published to.

        One that had the key before gets it back whatever happens; once the key is proved, one without a VALID key
        has nothing to lose.
        """
        if _had_the_key(seen):
            return True
        if self.closed:
            return seen.status is not SignatureStatus.VALID
        return self.canary in {None, seen.target.number}


OPEN = RolloutGate()


def rollout_gate(
    rollout: Rollout, known: Mapping[str, Observation], before: RolloutGate, begun: Mapping[str, float], now: float
) -> RolloutGate:
    """Decide who may be published to now, from all numbers of an object and the gate as it was.

    `begun` tells since when numbers are worked on, as far as they are.
    """
    if rollout.all_at_once or not any(has_another_key(seen) for seen in known.values()):
        return OPEN
    named = known.get(rollout.first or "")
    verified = [seen for seen in known.values() if seen.finding is Reason.SIGNED and named in {None, seen}]
    if verified:
        return _verified(min(verified, key=_given_at), rollout.pause, now)
    if named:
        return _led_by(named, _ON_TRIAL, before, now)
    return _led(sorted(known.values(), key=_place), before, begun, now)


def _verified(proof: Observation, pause: float, now: float) -> RolloutGate:
    resumes_at = _given_at(proof) + pause
    if now >= resumes_at:
        return RolloutGate(rotation=True)
    message = _PROVED.format(number=proof.target.number, time=rfc3339(resumes_at))
    return RolloutGate(rotation=True, closed=True, review_at=resumes_at, message=message)


def _led(in_order: Sequence[Observation], before: RolloutGate, begun: Mapping[str, float], now: float) -> RolloutGate:
    """Let the lowest number go first that is able to, and stay with it until it fails or does not answer."""
    pending = next((seen for seen in in_order if _is_canary_pending(seen, now)), None)
    if pending:
        return _led_by(pending, _ON_TRIAL, before, now)
    able = [seen for seen in in_order if not _cannot_tell(seen, now)]
    last = next((seen for seen in in_order if seen.target.number == before.canary), None)
    # Where none of them can tell anything about the key, the lowest may as well go on trying.
    others = able or in_order
    if last and last in able:
        asked_at = begun.get(last.target.number)
        canary_deadline = max(before.since, asked_at or 0.0, last.read_at or 0.0) + CANARY_SECONDS
        if now < canary_deadline:
            return _led_by(last, _UNDECIDED, before, now, review_at=canary_deadline)
        if asked_at is None:
            # Nobody could ask it, for want of room in its lane: the others there are no better off.
            others = [seen for seen in able if seen.target.limiter_key != last.target.limiter_key] or [last]
    # One that never answered may not do so now.
    lowest = next((seen for seen in others if seen.status), others[0])
    canary = next((seen for seen in others if last and _place(seen) > _place(last)), lowest)
    changed = canary in able and canary is not last
    return _led_by(canary, _UNDECIDED, before, now, review_at=now + CANARY_SECONDS if changed else None)


def _led_by(
    canary: Observation, message: str, before: RolloutGate, now: float, *, review_at: float | None = None
) -> RolloutGate:
    number = canary.target.number
    since = before.since if before.canary == number else now
    return RolloutGate(
        rotation=True, canary=number, since=since, review_at=review_at, message=message.format(number=number)
    )


def has_another_key(seen: Observation) -> bool:
    """Tell whether a number is known to hold another key as VALID, and not for having lost this one."""
    return seen.status is SignatureStatus.VALID and seen.finding is Reason.FOREIGN_KEY and not _had_the_key(seen)


def _had_the_key(seen: Observation) -> bool:
    """Tell whether a number was signed with the key, and has lost it since."""
    return seen.lost is not None or seen.cause not in {None, Reason.PENDING}


def _is_canary_pending(seen: Observation, now: float) -> bool:
    """Tell whether a number was given the key, and has either refused it or not become VALID (yet).

    One that is to be given it, and was given too many others of late, is waited for: the others were, too.

    After a restart a row tells that it was given the key (`publishes`), but not always what came of that. If it
    takes a person now, or is not understood, that may well be for the key.
    """
    if seen.suggests_bad_key or seen.reason is Reason.KEY_CHANGES_TOO_OFTEN:
        return True
    if seen.finding is Reason.STALE_SIGNATURE and not seen.target.problem:
        return True
    if not seen.publishes or seen.reason in _OF_OTHERS:
        return False
    return seen.group is Group.PERSON or seen.reason is Reason.INVALID_ANSWER or not _cannot_tell(seen, now)


def _cannot_tell(seen: Observation, now: float) -> bool:
    """Tell whether a number fails for reasons of its own, so that the next one has to take its place."""
    if seen.failures or seen.refusal or now < seen.retry_at or seen.group is Group.PERSON:
        return True
    return group_of(seen.reason) is Group.TIME and seen.reason not in LACKS_THE_KEY


def _given_at(seen: Observation) -> float:
    """Return when a number was given the key; nobody knows for one that was found with it."""
    return (seen.published_at or 0.0) if seen.publishes else 0.0


def _place(seen: Observation) -> int:
    return int(seen.target.number)


_UNDECIDED = (
    "another number gets the new key first; this one follows when it is VALID there (see `rollout` in the spec)"
)
_ON_TRIAL = (
    "another number gets the new key first; this one follows when it is VALID on {number}. If that goes wrong, put "
    "the old key back, or name another number in `rollout.firstNumber`"
)
_PROVED = (
    "another number gets the new key first; it is VALID on {number}, and this one follows at {time} "
    "(`rollout.firstNumber.pauseSeconds`)"
)
