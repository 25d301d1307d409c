"""The rollout: a new key is verified on one number before the others get it.

It applies to rotations only: at least one number holds another key as VALID, an earlier one or a foreign one. Which
number has verified the key, or is the canary, is derived from rows and spec, so that it survives a restart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bek_operator.crd.reasons import LACKS_THE_KEY, SEVERITY, Reason, Severity
from bek_operator.crd.types import Rollout, SignatureStatus
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.backoff import rollout_delay
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.verdict import Verdict
from bek_operator.times import rfc3339

CANARY_SECONDS = 10.0
"""How long the canary can be without a response before the next number replaces it."""

_HAVE_THE_KEY = frozenset({Reason.SIGNED, Reason.STALE_SIGNATURE})
_OF_OTHERS = frozenset({Reason.CONTENDED, Reason.DUPLICATE_NUMBER})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGate:
    """Which numbers may be published to.

    Attributes:
        rotation: Whether any number holds another key as VALID.
        canary: The only number that may be published to; without one all may, unless `closed`.
        since: Since when it is the canary.
        waits: The canary waits as well, because publishes were refused a moment ago.
        unproven: The Flow endpoint does not open the key: no number may get it, unless the gate is `closed`.
        closed: Only numbers that hold another key as VALID wait: for `pauseSeconds`, because this one is verified, or
            while it is `unproven` for the endpoint, because it is not new.
        lost: Fingerprints of earlier keys that the Flow endpoint does not open any more: numbers that hold one do not
            wait for `pauseSeconds`, because Flows on them are broken.
        review_at: When the gate changes without a response; `None` if it does not.
        message: The message for the rows of numbers that wait.
    """

    rotation: bool = False
    canary: str | None = None
    since: float = 0.0
    waits: bool = False
    unproven: bool = False
    closed: bool = False
    lost: frozenset[str] = frozenset()
    review_at: float | None = None
    message: str = ""

    def allows(self, facts: NumberFacts) -> bool:
        """Return whether a number may be published to.

        A number that held the key before gets it back in any case, unless it holds another one as VALID that the Flow
        endpoint may open instead; once the key is verified, a number without a VALID key does not wait.
        """
        is_valid = facts.reading.status is SignatureStatus.VALID
        if self.unproven:
            return self.closed and not is_valid
        if facts.lost:
            return True
        if self.closed:
            return not is_valid or facts.reading.fingerprint in self.lost
        return not self.waits and self.canary in {None, facts.target.number}

    @property
    def hold(self) -> Verdict:
        """Return the verdict on numbers that wait."""
        return Verdict(Reason.WAITING_FOR_ENDPOINT if self.unproven else Reason.WAITING_FOR_ROLLOUT, self.message)


OPEN = RolloutGate()


def unproven_gate(known: Iterable[NumberFacts], finding: str) -> RolloutGate:
    """Return the gate while the Flow endpoint has not opened the key, or lacks it since.

    A key that a number holds, or held, is not new: numbers that hold no VALID key get it. `finding`: what is wrong with
    the endpoint, in a few words.
    """
    is_new = not any(facts.finding in _HAVE_THE_KEY or facts.lost for facts in known)
    return RolloutGate(rotation=True, unproven=True, closed=not is_new, message=_UNPROVEN.format(finding=finding))


def rollout_gate(
    rollout: Rollout, known: Mapping[str, NumberFacts], before: RolloutGate, begun: Mapping[str, float], now: float
) -> RolloutGate:
    """Return the gate for all numbers of an object, from their facts and the last gate.

    `begun`: since when numbers are being processed; without those that are not.
    """
    if not any(has_another_key(facts) for facts in known.values()):
        return OPEN
    if rollout.all_at_once:
        return RolloutGate(rotation=True)
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
    """Return the gate with the lowest suitable number as canary, until that one fails or does not respond.

    After refused publishes the next number is a canary later and later, so that refusals for a reason that all numbers
    share do not lead to a publish to each of them.
    """
    pending = next((facts for facts in in_order if _is_canary_pending(facts, now)), None)
    if pending:
        return _gate_for(pending, _CANARY_PENDING, before, now)
    resumes_at = _resumes_at(in_order)
    if now < resumes_at:
        return RolloutGate(
            rotation=True,
            canary=before.canary,
            since=before.since,
            waits=True,
            review_at=resumes_at,
            message=_UNDECIDED,
        )
    able = [facts for facts in in_order if not _cannot_verify(facts, now)]
    if not able:
        return _gate_for(min(in_order, key=_next_try), _UNDECIDED, before, now)
    others, last = able, next((facts for facts in in_order if facts.target.number == before.canary), None)
    if last and last in able:
        asked_at = begun.get(last.target.number)
        canary_deadline = max(before.since, asked_at or 0.0, last.read_at or 0.0) + CANARY_SECONDS
        if now < canary_deadline:
            return _gate_for(last, _UNDECIDED, before, now, review_at=canary_deadline)
        if asked_at is None:
            # The rate limit delayed the call; numbers with the same limiter key would wait as well.
            others = [facts for facts in able if facts.target.limiter_key != last.target.limiter_key] or [last]
    # Numbers that have responded before are preferred.
    lowest = next((facts for facts in others if facts.reading.status), others[0])
    canary = next((facts for facts in others if last and _order(facts) > _order(last)), lowest)
    review_at = None if canary is last else now + CANARY_SECONDS
    return _gate_for(canary, _UNDECIDED, before, now, review_at=review_at)


def _gate_for(
    canary: NumberFacts, message: str, before: RolloutGate, now: float, *, review_at: float | None = None
) -> RolloutGate:
    number = canary.target.number
    since = before.since if before.canary == number else now
    return RolloutGate(
        rotation=True, canary=number, since=since, review_at=review_at, message=message.format(number=number)
    )


def _resumes_at(known: Iterable[NumberFacts]) -> float:
    """Return when the next number may be published to, after publishes that were refused for passing reasons."""
    refused = [facts.published for facts in known if facts.refusal and facts.refusal.retry is not Retry.TERMINAL]
    refusals = sum(one.refusals for one in refused)
    return max(one.refused_at for one in refused) + rollout_delay(refusals) if refused else 0.0


def has_another_key(facts: NumberFacts) -> bool:
    """Return whether a number holds another key as VALID, and did not hold this one before."""
    return facts.reading.status is SignatureStatus.VALID and facts.finding is Reason.FOREIGN_KEY and facts.lost is None


def _is_canary_pending(facts: NumberFacts, now: float) -> bool:
    """Return whether the key was published to a number, and it refused the key or is not VALID yet.

    A number at the limit of publishes an hour counts as well: the others wait for it.

    After a restart the row shows that the key was published (`publishes`), but not always the outcome. If it needs
    the user, or has an undocumented error, the key may be the cause.
    """
    if facts.suggests_bad_key or facts.reason is Reason.KEY_CHANGES_TOO_OFTEN:
        return True
    if facts.finding is Reason.STALE_SIGNATURE and not facts.target.problem:
        return True
    if not facts.publishes or facts.reason in _OF_OTHERS:
        return False
    return facts.verdict.needs_user or facts.reason is Reason.INVALID_ANSWER or not _cannot_verify(facts, now)


def _cannot_verify(facts: NumberFacts, now: float) -> bool:
    """Return whether a number fails for reasons other than the key, so that the next one goes first."""
    if facts.failures or facts.refusal or now < facts.retry_at or facts.verdict.needs_user:
        return True
    return SEVERITY[facts.reason][0] is Severity.TRANSIENT and facts.reason not in LACKS_THE_KEY


def _next_try(facts: NumberFacts) -> float:
    """Return when a number that fails can be published to at the earliest."""
    return max(facts.due if facts.failures else 0.0, facts.retry_at, facts.publish_due)


def _given_at(facts: NumberFacts) -> float:
    """Return when the key was published to a number; 0 if that is unknown."""
    return (facts.published_at or 0.0) if facts.publishes else 0.0


def _order(facts: NumberFacts) -> int:
    return int(facts.target.number)


_UNPROVEN = "published when the Flow endpoint opens the key; now: {finding}"
_UNDECIDED = "another number gets the new key first; this one follows (see `spec.rollout`)"
_CANARY_PENDING = (
    "another number gets the new key first; this one follows when the key is VALID on {number}; if that fails, put "
    "the old key back, or name another number in `rollout.firstNumber`"
)
_VERIFIED = "the new key is VALID on {number}, and this one follows at {time} (`rollout.firstNumber.pauseSeconds`)"
