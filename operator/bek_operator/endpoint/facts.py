"""Facts about the Flow endpoint of one object: what it answered, not what that means.

`verdict` of the facts is what the status shows; the functions below update them. Pure: the time is an argument, in
seconds since the epoch, and so is jitter, from 0 to 1.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Final

from bek_operator.crd.reasons import EndpointReason, ObjectReason, Reason
from bek_operator.crd.status import ENDPOINT_READY, READY, RECONCILING, EndpointStatus, Status
from bek_operator.crd.types import SignatureStatus
from bek_operator.endpoint.judge import Answer
from bek_operator.endpoint.target import EndpointTarget
from bek_operator.keys.public_key import key_id
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.verdict import FAILURE_THRESHOLD_CHECKS, FAILURE_THRESHOLD_SECONDS

USER_SECONDS: Final = 600.0
"""An endpoint that does not hold the key for so long needs the user."""

LOST_KEY: Final = "it does not open earlier key"
"""How the message names the earlier keys that were lost, whatever the reason."""

_NOBODY_IS_ASKED: Final = frozenset({ObjectReason.SUSPENDED, ObjectReason.SECRET_NOT_FOUND, ObjectReason.INVALID_KEY})

_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_WORDS_SECONDS: Final = 300.0
"""The message of a reason changes by itself at most so often, or at the interval: as that of a number that fails."""

_LONGEST_MESSAGE: Final = 256
_KEYS_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class EndpointVerdict:
    """What the facts mean; `retry` is `None` if nothing is wrong, and `TERMINAL` if the user must act."""

    reason: EndpointReason | Reason
    message: str = ""
    retry: Retry | None = None

    @property
    def holds_key(self) -> bool:
        """Return whether the endpoint holds the current key."""
        return self.reason in {EndpointReason.HOLDS_KEY, EndpointReason.LACKS_OLD_KEY}

    @property
    def needs_user(self) -> bool:
        """Return whether the user must act."""
        return self.retry is Retry.TERMINAL


HOLDS_KEY: Final = EndpointVerdict(EndpointReason.HOLDS_KEY, "it opens what is encrypted to the key")
NOT_ASKED: Final = EndpointVerdict(EndpointReason.PENDING, "not asked yet for this key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Pings in a row, the first at `since`, the last at `last_at`, that were not answered as they must.

    Attributes:
        tolerated: Whether the failure threshold applies: the endpoint held the key before, and no answer was certain.
    """

    since: float
    last_at: float
    count: int = 1
    tolerated: bool = False

    @property
    def is_below_threshold(self) -> bool:
        """Return whether the endpoint still counts as holding the key."""
        lasting = self.count >= FAILURE_THRESHOLD_CHECKS and self.last_at - self.since >= FAILURE_THRESHOLD_SECONDS
        return self.tolerated and not lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFacts:
    """The facts about a Flow endpoint.

    Attributes:
        target: The target that they belong to.
        opened: The fingerprint of the key whose ping it opened last, at this address; `None` once it lacks that key.
        answer: The last answer to a ping of the target's key; of several with one reason in a row an earlier one.
        answer_at: When the answer was taken up.
        lost: Fingerprints of earlier keys that numbers still hold, and that the endpoint does not open any more.
        asks_earlier: Whether it is to be asked for the earlier keys that numbers still hold.
        earlier: Those that it was last asked for.
        earlier_due: When to ask for them next, if they are still the same.
        failing: The failed pings since it last held the key.
        carried: The verdict from before a change or a restart, shown until the next answer.
        observed: Whether the endpoint was asked since its target was set.
        check_requested: Whether a ping that the user requested is pending.
        due: When to ask for the target's key next.
        retry_at: The end of the server's Retry-After.
    """

    target: EndpointTarget
    opened: str | None = None
    answer: Answer | None = None
    answer_at: float = 0.0
    lost: frozenset[str] = frozenset()
    asks_earlier: bool = False
    earlier: frozenset[str] = frozenset()
    earlier_due: float = 0.0
    failing: Streak | None = None
    carried: EndpointVerdict = NOT_ASKED
    observed: bool = False
    check_requested: bool = False
    due: float = 0.0
    retry_at: float = 0.0

    @property
    def ask_at(self) -> float:
        """Return when to ask next, for whatever key."""
        return max(self.retry_at, 0.0 if self.asks_earlier else self.due)

    @property
    def verdict(self) -> EndpointVerdict:
        """Return what the facts mean."""
        problem, answer, failing = self.target.problem, self.answer, self.failing
        if problem:
            return EndpointVerdict(problem.reason, problem.message[:_LONGEST_MESSAGE], problem.retry)
        if answer is None and not self.carried.holds_key:
            return self.carried
        if answer is None or failing is None or failing.is_below_threshold:
            return EndpointVerdict(EndpointReason.LACKS_OLD_KEY, self._lost_message) if self.lost else HOLDS_KEY
        retry = Retry.TERMINAL if failing.last_at - failing.since >= USER_SECONDS else Retry.TRANSIENT
        message = f"{answer.message}; {self._lost_keys}" if self.lost else answer.message
        return EndpointVerdict(answer.reason, message[:_LONGEST_MESSAGE], retry)

    @property
    def _lost_message(self) -> str:
        return f"{self._lost_keys} any more; Flows are broken on numbers until they have the new key"

    @property
    def _lost_keys(self) -> str:
        found = sorted(map(key_id, self.lost))
        more = f" and {len(found) - _KEYS_NAMED} more" if len(found) > _KEYS_NAMED else ""
        return f"{LOST_KEY} {', '.join(found[:_KEYS_NAMED])}{more}"

    @property
    def is_unfinished(self) -> bool:
        """Return whether a ping is pending that a user may wait for."""
        return self.target.problem is None and (not self.observed or self.check_requested)

    @property
    def holds_back(self) -> bool:
        """Return whether the key must not be published yet to numbers that hold another one, or none yet."""
        return self.target.gate and self.opened != self.target.key.fingerprint

    @property
    def shown(self) -> EndpointStatus:
        """Return the endpoint's part of the status."""
        found = self.verdict
        return EndpointStatus(reason=str(found.reason), message=found.message, opened=self.opened)


def after_answer(
    facts: EndpointFacts, answer: Answer, now: float, jitter: float, earlier: Iterable[str] = ()
) -> EndpointFacts:
    """Record an answer to a ping of the target's key; `earlier`: the earlier keys that it can be asked for."""
    same = facts.answer and facts.answer.reason is answer.reason
    keeps_words = same and now < facts.answer_at + min(facts.target.interval, _WORDS_SECONDS)
    known = replace(
        facts,
        answer=facts.answer if keeps_words else answer,
        answer_at=facts.answer_at if keeps_words else now,
        carried=NOT_ASKED,
        observed=True,
        check_requested=False,
        retry_at=max(facts.retry_at, now + answer.retry_after if answer.retry_after else 0.0),
    )
    # What it says of other faults it says of any key.
    if answer.reason in {EndpointReason.HOLDS_KEY, EndpointReason.LACKS_KEY}:
        known = _with_earlier(known, frozenset(earlier), now)
    if answer.holds_key:
        due = now + _spread(facts.target.interval, jitter)
        return replace(known, opened=facts.target.key.fingerprint, failing=None, due=due)
    if answer.reason is EndpointReason.LACKS_KEY:
        known = _without_proof(known, {facts.target.key.fingerprint})
    before = facts.failing
    if before is None:
        held = facts.verdict.holds_key and facts.observed and not facts.check_requested
        failing = Streak(since=now, last_at=now, tolerated=held and not answer.certain)
    else:
        tolerated = before.tolerated and not answer.certain
        failing = replace(before, last_at=now, count=before.count + 1, tolerated=tolerated)
    pause = min(_FIRST_PAUSE * 2.0 ** min(failing.count - 1, 10), _LONGEST_PAUSE)
    return replace(known, failing=failing, due=now + _spread(pause, jitter))


def _with_earlier(facts: EndpointFacts, earlier: frozenset[str], now: float) -> EndpointFacts:
    if not earlier or (earlier == facts.earlier and now < facts.earlier_due):
        return facts
    due = now + _spread(facts.target.interval, 0.0)
    return replace(facts, asks_earlier=True, earlier=earlier, earlier_due=due)


def after_earlier(facts: EndpointFacts, lost: Iterable[str], retry_at: float = 0.0) -> EndpointFacts:
    """Record which earlier keys that numbers still hold the endpoint does not open any more."""
    known = replace(facts, lost=frozenset(lost), asks_earlier=False, retry_at=max(facts.retry_at, retry_at))
    return _without_proof(known, known.lost)


def _without_proof(facts: EndpointFacts, lacking: Container[str]) -> EndpointFacts:
    return replace(facts, opened=None) if facts.opened in lacking else facts


def with_target(facts: EndpointFacts, target: EndpointTarget, now: float) -> EndpointFacts:
    """Carry over what remains valid for another target: at another address nothing.

    An endpoint that has opened a key holds it until it says otherwise; what changed has it asked again at once.
    """
    before = facts.target
    if before == target:
        return facts
    if before.address != target.address:
        return EndpointFacts(target=target, due=now)
    shown, requested = facts.verdict, target.request not in {"", before.request}
    if before.key == target.key and before.endpoint == target.endpoint and not requested:
        return replace(facts, target=target, due=min(facts.due, now + target.interval))
    known = (
        before.key == target.key and before.problem is None and (before.endpoint == target.endpoint or shown.holds_key)
    )
    # A Retry-After also delays another key, so its reason is still shown.
    waiting = now < facts.retry_at and not shown.holds_key
    return EndpointFacts(
        target=target,
        opened=facts.opened,
        lost=facts.lost if known else frozenset(),
        carried=shown if known else replace(shown, retry=Retry.TRANSIENT) if waiting else NOT_ASKED,
        failing=facts.failing if known else None,
        observed=known and facts.observed,
        check_requested=facts.check_requested or requested,
        due=now,
        retry_at=facts.retry_at,
    )


def restored(target: EndpointTarget, recorded: Status, generation: int, *, now: float, due: float) -> EndpointFacts:
    """Restore the facts from the status; `due` is when to ask if the endpoint held the key."""
    shown, ready = recorded.endpoint, recorded.condition(ENDPOINT_READY)
    if shown is None or ready is None or ready.generation != generation:
        # The address may be another one; without a usable key the condition stays that of an earlier spec.
        return EndpointFacts(target=target, due=now)
    facts = EndpointFacts(target=target, opened=shown.opened, due=now)
    reason = _reason_of(shown.reason)
    if recorded.fingerprint != target.key.fingerprint or reason is None or reason is EndpointReason.PENDING:
        return facts
    requested = target.request not in {"", recorded.request}
    held = {row.fingerprint for row in recorded.rows.values() if row.status is SignatureStatus.VALID}
    # The message names those that were lost; numbers may hold others that were not.
    lost = frozenset(one for one in held if one and key_id(one) in shown.message)
    facts = replace(facts, lost=lost, observed=True, check_requested=requested)
    if ready.true:
        return replace(facts, carried=EndpointVerdict(reason, shown.message), due=now if requested else due)
    # With another key the time begins again, though the endpoint was not ready before; the object is Reconciling then.
    begun = [one.since for one in (ready, recorded.condition(RECONCILING)) if one and one.since is not None]
    summary = recorded.condition(READY)
    is_asked = summary is None or summary.reason not in _NOBODY_IS_ASKED
    since = min(max(begun, default=now), now) if is_asked else now
    retry = Retry.TERMINAL if recorded.stalled == reason else Retry.TRANSIENT
    return replace(
        facts,
        carried=EndpointVerdict(reason, shown.message, retry),
        failing=Streak(since=since, last_at=since),
    )


def expired(facts: EndpointFacts, now: float) -> EndpointFacts:
    """Carry over the facts about an endpoint that was not asked for a while, which counts for no streak."""
    failing = facts.failing
    if failing:
        failing = replace(failing, since=failing.since + now - failing.last_at, last_at=now)
    return replace(facts, carried=facts.verdict, answer=None, failing=failing, observed=False, due=now)


def _reason_of(text: str) -> EndpointReason | Reason | None:
    for reasons in (EndpointReason, Reason):
        try:
            return reasons(text)
        except ValueError:
            continue
    return None


def _spread(pause: float, jitter: float) -> float:
    """Return the pause, up to a tenth shorter or longer."""
    return pause * (0.9 + 0.2 * jitter)
