"""The rollout: a new key is tried on one number before it is spread.

It concerns rotations only: some number is known to hold another key as VALID, a former one or somebody else's.
Who has verified the key, or is the canary, is derived from what the rows and the spec say, so that a restart goes
on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bek_operator.crd.reasons import LACKS_THE_KEY, SEVERITY, Reason, Severity
from bek_operator.crd.types import Rollout, SignatureStatus
from bek_operator.numbers.facts import NumberFacts
from bek_operator.times import rfc3339

CANARY_SECONDS = 10.0
"""How long the first number may go without any answer before the next one goes first."""

_OF_OTHERS = frozenset({Reason.CONTENDED, Reason.DUPLICATE_NUMBER})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGate:
    """Which numbers may be published to.

    Attributes:
        rotation: Whether there is a key to be replaced at all.
        canary: The only number that may be published to; without one all may, unless `closed`.
        since: Since when it has been that.
        closed: The key is verified, but none may yet that holds another one as VALID.
        review_at: When time alone changes the gate; `None` when that takes an answer.
        message: What the rows of numbers that wait say.
    """

    rotation: bool = False
    canary: str | None = None
    since: float = 0.0
    closed: bool = False
    review_at: float | None = None
    message: str = ""

    def allows(self, facts: NumberFacts) -> bool:
        """Return whether a number may be published to.

        One that had the key before gets it back whatever happens; once the key is verified, one without a VALID key
        has nothing to lose.
        """
        if _had_the_key(facts):
            return True
        if self.closed:
            return facts.reading.status is not SignatureStatus.VALID
        return self.canary in {None, facts.target.number}


OPEN = RolloutGate()


def rollout_gate(
    rollout: Rollout, known: Mapping[str, NumberFacts], before: RolloutGate, begun: Mapping[str, float], now: float
) -> RolloutGate:
    """Return who may be published to now, from all numbers of an object and the gate as it was.

    `begun`: since when numbers are being worked on, as far as they are.
    """
    if rollout.all_at_once or not any(has_another_key(facts) for facts in known.values()):
        return OPEN
    named = known.get(rollout.first or "")
    verified = [facts for facts in known.values() if facts.finding is Reason.SIGNED and named in {None, facts}]
    if verified:
        return _verified(min(verified, key=_given_at), rollout.pause, now)
    if named:
        return _gate_for(named, _CANARY_PENDING, before, now)
    return _gate_without_name(sorted(known.values(), key=_order), before, begun, now)


def _verified(proof: NumberFacts, pause: float, now: float) -> RolloutGate:
    resumes_at = _given_at(proof) + pause
    if now >= resumes_at:
        return RolloutGate(rotation=True)
    message = _VERIFIED.format(number=proof.target.number, time=rfc3339(resumes_at))
    return RolloutGate(rotation=True, closed=True, review_at=resumes_at, message=message)


def _gate_without_name(
    in_order: Sequence[NumberFacts], before: RolloutGate, begun: Mapping[str, float], now: float
) -> RolloutGate:
    """Let the lowest number go first that is able to, and stay with it until it fails or does not answer."""
    pending = next((facts for facts in in_order if _is_canary_pending(facts, now)), None)
    if pending:
        return _gate_for(pending, _CANARY_PENDING, before, now)
    able = [facts for facts in in_order if not _cannot_verify(facts, now)]
    last = next((facts for facts in in_order if facts.target.number == before.canary), None)
    # Where none can verify the key, the lowest may as well go on trying.
    others = able or in_order
    if last and last in able:
        asked_at = begun.get(last.target.number)
        canary_deadline = max(before.since, asked_at or 0.0, last.read_at or 0.0) + CANARY_SECONDS
        if now < canary_deadline:
            return _gate_for(last, _UNDECIDED, before, now, review_at=canary_deadline)
        if asked_at is None:
            # The rate limit let nobody call it: others with the same limiter key are no better off.
            others = [facts for facts in able if facts.target.limiter_key != last.target.limiter_key] or [last]
    # One that never answered may not do so now.
    lowest = next((facts for facts in others if facts.reading.status), others[0])
    canary = next((facts for facts in others if last and _order(facts) > _order(last)), lowest)
    changed = canary in able and canary is not last
    return _gate_for(canary, _UNDECIDED, before, now, review_at=now + CANARY_SECONDS if changed else None)


def _gate_for(
    canary: NumberFacts, message: str, before: RolloutGate, now: float, *, review_at: float | None = None
) -> RolloutGate:
    number = canary.target.number
    since = before.since if before.canary == number else now
    return RolloutGate(
        rotation=True, canary=number, since=since, review_at=review_at, message=message.format(number=number)
    )


def has_another_key(facts: NumberFacts) -> bool:
    """Return whether a number is known to hold another key as VALID, and not for having lost this one."""
    return (
        facts.reading.status is SignatureStatus.VALID
        and facts.finding is Reason.FOREIGN_KEY
        and not _had_the_key(facts)
    )


def _had_the_key(facts: NumberFacts) -> bool:
    """Return whether a number was signed with the key, and has lost it since."""
    return facts.published.lost is not None or facts.cause not in {None, Reason.PENDING}


def _is_canary_pending(facts: NumberFacts, now: float) -> bool:
    """Return whether a number was given the key, and has either refused it or not become VALID (yet).

    One that is to be given it, and was given too many others of late, is waited for: the others were, too.

    After a restart a row says that it was given the key (`publishes`), but not always what came of that. If it
    needs the user now, or is not understood, that may well be for the key.
    """
    if facts.suggests_bad_key or facts.reason is Reason.KEY_CHANGES_TOO_OFTEN:
        return True
    if facts.finding is Reason.STALE_SIGNATURE and not facts.target.problem:
        return True
    if not facts.publishes or facts.reason in _OF_OTHERS:
        return False
    return facts.verdict.needs_user or facts.reason is Reason.INVALID_ANSWER or not _cannot_verify(facts, now)


def _cannot_verify(facts: NumberFacts, now: float) -> bool:
    """Return whether a number fails for reasons of its own, so that the next one has to go first."""
    if facts.failures or facts.refusal or now < facts.retry_at or facts.verdict.needs_user:
        return True
    return SEVERITY[facts.reason][0] is Severity.TRANSIENT and facts.reason not in LACKS_THE_KEY


def _given_at(facts: NumberFacts) -> float:
    """Return when a number was given the key; nobody knows for one that was found with it."""
    return (facts.published_at or 0.0) if facts.publishes else 0.0


def _order(facts: NumberFacts) -> int:
    return int(facts.target.number)


_UNDECIDED = "another number gets the new key first; this one follows (see `spec.rollout`)"
_CANARY_PENDING = (
    "another number gets the new key first; this one follows when the key is VALID on {number}; if that fails, put "
    "the old key back, or name another number in `rollout.firstNumber`"
)
_VERIFIED = "the new key is VALID on {number}, and this one follows at {time} (`rollout.firstNumber.pauseSeconds`)"
