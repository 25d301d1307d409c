"""Facts: what has happened to one number, never what that means.

The facts say which target they were learnt for. `carry_over` says what of them is still true after a restart or for
another target, `transitions` how each answer changes them, `verdict` what they mean, `next_action` what to do about
them.
"""

from dataclasses import dataclass, field

from bek_operator.crd.reasons import OF_THE_KEY, Reason
from bek_operator.crd.status import Row
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Failure, Reading, may_be_for_the_key
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import NOT_CHECKED, Verdict, verdict

_LONGEST_MESSAGE = 256
_MOST_PUBLISHES = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRecord:
    """What came of publishing to a number.

    Attributes:
        at: Our last publish, of whatever key.
        count: How often the current key was published; the publish back-off's memory.
        stable: The signature was seen to have lasted since the last publish; the next one starts counting anew.
        lost: How a number that was signed was found not to be, until the key is published again.
        cause: What the last publish, which was accepted, made good: a loss, or `Pending`, which is none.
        accepted: A publish was accepted, and the number was not VALID since.
        refusal: Why the last publish of the current key was not accepted, at `refused_at`; `refusals` in a row.
        recent: Our last publishes, of whatever key, oldest first, as far as they count; the back-off's other memory.
    """

    at: float | None = None
    count: int = 0
    stable: bool = False
    lost: Reason | None = None
    cause: Reason | None = None
    accepted: bool = False
    refusal: Failure | None = None
    refused_at: float = 0.0
    refusals: int = 0
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureStreak:
    """Checks that failed in a row.

    Attributes:
        count: How many, the first at `since`, the last at `last_at`.
        limited: How many of the last ones in a row were not sure to pass.
        last: The last one.
        passing: Whether none needed the user.
        tolerated: Whether each came with nothing changed since the number was checked before.
    """

    count: int = 0
    since: float = 0.0
    last_at: float = 0.0
    limited: int = 0
    last: Failure | None = None
    passing: bool = True
    tolerated: bool = True


NO_FAILURES = FailureStreak()
_NOTHING_READ = Reading(status=None, fingerprint=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """What is known of one number. Instants are seconds since the epoch.

    Attributes:
        target: What it was learnt for.
        reading: The API's last word, whenever that was.
        read_at: When that was, as long as it is good enough to act upon and of this process.
        checked_at: When this process last had the API's word, good enough to act upon or not any more; for metrics.
        as_of: The last answer to a read, or to a publish.
        published: What came of publishing.
        failing: The checks that failed since the last one that did not.
        hold: Why the rollout has the number wait; empty when it has not.
        carried: What its row showed before something changed, as long as nothing newer is known.
        observed: Whether the number was checked since its target was set.
        check_requested: Whether the user asked for a check that was not made yet.
        due: When to call again, whatever happens.
        retry_at: Until when the server asked to be left alone.
        resume_from: While the target has a problem: what was known without it, to go on from when that is over.
    """

    target: Target
    reading: Reading = _NOTHING_READ
    read_at: float | None = None
    checked_at: float | None = None
    as_of: float = 0.0
    published: PublishRecord = PublishRecord()
    failing: FailureStreak = NO_FAILURES
    hold: str = ""
    carried: Verdict | None = NOT_CHECKED
    observed: bool = False
    check_requested: bool = False
    due: float = 0.0
    retry_at: float = 0.0
    resume_from: "NumberFacts | None" = None
    _verdict: Verdict | None = field(default=None, init=False, repr=False, compare=False)
    _row: Row | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def verdict(self) -> Verdict:
        """Return what the facts mean."""
        found = self._verdict
        if found is None:
            found = verdict(self)
            object.__setattr__(self, "_verdict", found)
        return found

    @property
    def reason(self) -> Reason:
        """Return what the number's row shows."""
        return self.verdict.reason

    @property
    def message(self) -> str:
        """Return what the number's row says beside the reason."""
        return self.verdict.message

    @property
    def finding(self) -> Reason:
        """Return how what the API last reported compares with the target's key."""
        if self.reading.fingerprint is None:
            return Reason.NOT_PUBLISHED
        if self.reading.fingerprint != self.target.key.fingerprint:
            return Reason.FOREIGN_KEY
        return Reason.SIGNED if self.reading.status is SignatureStatus.VALID else Reason.STALE_SIGNATURE

    @property
    def published_at(self) -> float | None:
        """Return when a key was last published, of whatever key."""
        return self.published.at

    @property
    def publishes(self) -> int:
        """Return how often the current key was published."""
        return self.published.count

    @property
    def cause(self) -> Reason | None:
        """Return what the last publish made good."""
        return self.published.cause

    @property
    def refusal(self) -> Failure | None:
        """Return why the last publish was not accepted."""
        return self.published.refusal

    @property
    def failures(self) -> int:
        """Return how many checks have failed in a row."""
        return self.failing.count

    @property
    def row(self) -> Row:
        """Return the number's row of the status, made once: few of a thousand rows change between two writes."""
        row = self._row
        if row is None:
            at, recent = self.published.at, self.published.recent
            # The last of them is the one that is shown as such; what was turned away since has no place here.
            earlier = [one for one in recent if one <= at][:-1] if at is not None and len(recent) > 1 else ()
            row = Row(
                number=self.target.number,
                api=self.target.api.name,
                reason=self.verdict.reason,
                message=self.verdict.message[:_LONGEST_MESSAGE],
                status=self.reading.status,
                fingerprint=self.reading.fingerprint,
                published_at=None if at is None else float(int(at)),
                publishes=min(self.published.count, _MOST_PUBLISHES),
                earlier=tuple(int(at or 0.0) - int(one) for one in earlier),
            )
            object.__setattr__(self, "_row", row)
        return row

    @property
    def shown(self) -> tuple[object, ...]:
        """Return what the status of the object depends on."""
        return self.row, self.verdict.retry, self.observed, self.check_requested

    @property
    def suggests_bad_key(self) -> bool:
        """Return whether what came of publishing may be the key's fault."""
        known = self.resume_from or self
        refusal = known.published.refusal
        return known.reason in OF_THE_KEY or (refusal is not None and may_be_for_the_key(refusal))

    @property
    def publish_due(self) -> float:
        """Return from when on the current key may be published (again)."""
        published = self.published
        due = backoff.next_of_any_key(published.recent)
        if published.at is not None and published.count:
            due = max(due, backoff.next_publish(published.count, published.at))
            if published.accepted:
                due = max(due, published.at + backoff.SETTLING_SECONDS)
        if published.refusal:
            delay = backoff.refusal_delay(published.refusal, published.refusals, self.target.interval)
            due = max(due, published.refused_at + delay)
        return due
