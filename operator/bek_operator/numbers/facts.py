"""Facts: what happened to one number, without any interpretation.

`carry_over` keeps those that remain valid after a restart or for another target, `transitions` updates them with each
response, `verdict` interprets them, `next_action` decides what to do.
"""

from dataclasses import dataclass, field

from bek_operator.crd.reasons import OF_THE_KEY, Reason
from bek_operator.crd.status import Refused, Row
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Failure, Reading, is_of_the_key, may_be_for_the_key
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import NOT_CHECKED, Verdict, verdict

_LONGEST_MESSAGE = 256
_MOST_PUBLISHES = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRecord:
    """The record of publishes to a number.

    Attributes:
        at: Our last publish, of whatever key.
        count: How often the current key was published; the publish back-off counts by it.
        stable: The number was still signed long after the last publish; the next publish starts the count again.
        lost: How a signed number lost its signature, until the key is published again.
        cause: Why the last accepted publish was necessary: a loss, or `Pending` for a new key.
        accepted: A publish was accepted, and the number was not VALID since.
        refusal: Why the last publish of the current key was not accepted, at `refused_at`; `refusals` in a row.
        recent: Our publishes of any key that count for the hourly limit, oldest first.
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

    @property
    def refused(self) -> Refused | None:
        """Return why the last publish was refused, if it counts; the others are repeated after a restart."""
        refusal = self.refusal
        if refusal is None or not (refusal.unknown or is_of_the_key(refusal)):
            return None
        return Refused(reason=refusal.reason, message=refusal.message[:_LONGEST_MESSAGE], count=self.refusals)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureStreak:
    """Checks that failed in a row.

    Attributes:
        count: How many, the first at `since`, the last at `last_at`.
        limited: How many of the last ones in a row were LIMITED.
        last: The last one.
        passing: Whether none was TERMINAL.
        tolerated: Whether nothing had changed between each of them and the check before.
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
    """The facts about one number. Instants are seconds since the epoch.

    Attributes:
        target: The target that they belong to.
        key_at: When the target's key replaced another one.
        reading: The last reading, however old.
        read_at: When that was; `None` if it must not be acted upon, as after a restart.
        checked_at: When this process last read the number, even if that must not be acted upon any more; for metrics.
        as_of: When the last reading was made, or the last publish ended.
        published: The record of publishes.
        failing: The failed checks since the last successful one.
        hold: Why the number must not be published to yet, for the rollout or the Flow endpoint.
        carried: The verdict from before a change, shown until the next response.
        observed: Whether the number was checked since its target was set.
        check_requested: Whether a check that the user requested is pending.
        due: When to check the number next.
        retry_at: The end of the server's Retry-After.
        resume_from: While the target has a problem: the facts from before it, to continue from.
    """

    target: Target
    key_at: float = 0.0
    reading: Reading = _NOTHING_READ
    read_at: float | None = None
    checked_at: float | None = None
    as_of: float = 0.0
    published: PublishRecord = PublishRecord()
    failing: FailureStreak = NO_FAILURES
    hold: Verdict | None = None
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
        """Return the verdict on the facts."""
        found = self._verdict
        if found is None:
            found = verdict(self)
            object.__setattr__(self, "_verdict", found)
        return found

    @property
    def reason(self) -> Reason:
        """Return the reason in the number's row."""
        return self.verdict.reason

    @property
    def message(self) -> str:
        """Return the message in the number's row."""
        return self.verdict.message

    @property
    def finding(self) -> Reason:
        """Return the result of comparing the last reading with the target's key."""
        return self.reading.compared_with(self.target.key.fingerprint)

    @property
    def published_at(self) -> float | None:
        """Return when any key was last published."""
        return self.published.at

    @property
    def publishes(self) -> int:
        """Return how often the current key was published."""
        return self.published.count

    @property
    def cause(self) -> Reason | None:
        """Return why the last accepted publish was necessary."""
        return self.published.cause

    @property
    def lost(self) -> Reason | None:
        """Return how the number lost the current key after it held it, also once that is repaired."""
        return self.published.lost or (None if self.cause is Reason.PENDING else self.cause)

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
            found, published = self.verdict, self.published
            at, recent = published.at, published.recent
            # The last publish has a field of its own; refused publishes after it are not shown.
            earlier = [one for one in recent if one <= at][:-1] if at is not None and len(recent) > 1 else ()
            row = Row(
                number=self.target.number,
                api=self.target.api.name,
                reason=found.reason,
                message=found.message[:_LONGEST_MESSAGE],
                status=self.reading.status,
                fingerprint=self.reading.fingerprint,
                published_at=None if at is None else float(int(at)),
                publishes=min(published.count, _MOST_PUBLISHES),
                earlier=tuple(int(at or 0.0) - int(one) for one in earlier),
                lost=None if self.finding is Reason.SIGNED else self.lost,
                refused=published.refused,
            )
            object.__setattr__(self, "_row", row)
        return row

    def looks_like(self, other: "NumberFacts") -> bool:
        """Return whether the object's status is the same with the other facts."""
        # The row last, because it has to be made.
        return (
            self.observed is other.observed
            and self.check_requested is other.check_requested
            and self.verdict.retry is other.verdict.retry
            and self.row == other.row
        )

    @property
    def suggests_bad_key(self) -> bool:
        """Return whether the key may be at fault for the last publish's failure."""
        known = self.resume_from or self
        refusal = known.published.refusal
        return known.reason in OF_THE_KEY or (refusal is not None and may_be_for_the_key(refusal))

    @property
    def publish_due(self) -> float:
        """Return the earliest instant at which the current key can be published (again)."""
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
