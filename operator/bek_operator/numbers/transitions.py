"""Transitions: how the outcome of each call changes the facts about a number.

Pure: the time is an argument, and so is jitter, from 0 to 1.
"""

from dataclasses import replace

from bek_operator.crd.reasons import Reason
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry, is_of_the_key, may_be_for_the_key
from bek_operator.numbers.facts import NO_FAILURES, FailureStreak, NumberFacts, PublishRecord
from bek_operator.numbers.next_action import FRESH_SECONDS
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import ACCEPTED, PROVEN, QUEUED, Verdict

LONGEST_RETRY_AFTER = 3600.0

_SLOWEST_SETTLING = 60.0


def after_read(facts: NumberFacts, reading: Reading, now: float, jitter: float) -> NumberFacts:
    """Record a reading."""
    known = replace(
        facts,
        reading=reading,
        read_at=now,
        as_of=now,
        published=_record_after(facts, reading, now),
        checked_at=now,
        failing=NO_FAILURES,
        hold=None,
        carried=None,
        observed=True,
        check_requested=False,
        due=now + _spread(facts.target.interval, jitter),
        retry_at=0.0,
    )
    return _until_next_publish(known, now)


def after_reuse(facts: NumberFacts, now: float) -> NumberFacts:
    """Apply the last reading to the current target."""
    known = replace(
        facts,
        as_of=now,
        published=_record_after(facts, facts.reading, facts.read_at or 0.0),
        hold=None,
        carried=None,
        observed=True,
        check_requested=False,
    )
    return _until_next_publish(known, now)


def _record_after(facts: NumberFacts, reading: Reading, read_at: float) -> PublishRecord:
    """Return the record of our publishes after a reading; `facts` are those before it."""
    record, finding = facts.published, reading.compared_with(facts.target.key.fingerprint)
    if finding is Reason.SIGNED:
        stable = record.at is not None and read_at - record.at > backoff.BACKOFF_RESET_SECONDS
        return replace(record, lost=None, stable=stable, accepted=False, refusal=None, refusals=0)
    if facts.reason is Reason.SIGNED:
        record = replace(record, lost=finding)
    return replace(record, count=0, stable=False) if record.stable else record


def _until_next_publish(known: NumberFacts, now: float) -> NumberFacts:
    """Schedule the next check of a number that lacks the key: at the next publish, or soon after an accepted one."""
    if known.finding is Reason.SIGNED or not known.target.publish:
        return known
    record, until = known.published, known.publish_due
    due, waited = max(until, now), now - (record.at or 0.0)
    if now >= until:
        record = replace(record, accepted=False)
    elif record.accepted and waited < backoff.SETTLING_SECONDS:
        due = min(due, now + min(max(waited, 1.0), _SLOWEST_SETTLING))
    return replace(known, published=record, due=min(known.due, due))


def after_failure(facts: NumberFacts, failure: Failure, now: float, jitter: float) -> NumberFacts:
    """Record a failed check."""
    before = facts.failing
    failing = FailureStreak(
        count=before.count + 1,
        since=before.since if before.count else now,
        last_at=now,
        limited=before.limited + 1 if failure.retry is Retry.LIMITED else 0,
        last=failure,
        passing=before.passing and failure.retry is not Retry.TERMINAL,
        tolerated=before.tolerated and facts.observed and not facts.check_requested,
    )
    known = replace(
        facts,
        read_at=None,
        failing=failing,
        observed=True,
        check_requested=False,
        retry_at=_retry_at(facts, failure, now),
    )
    pause = known.target.interval if known.verdict.needs_user else _pause(failure, failing.count, known.target.interval)
    return replace(known, due=now + _spread(pause, jitter))


def _pause(failure: Failure, failures: int, interval: float) -> float:
    """Return how long to wait before a failed check is repeated: at most the interval, unless the pace is slow."""
    pause = backoff.pause_after(failure, failures)
    return pause if failure.pace is Pace.SLOW else min(pause, interval)


def after_publish(facts: NumberFacts, answer: Accepted | Failure, now: float) -> NumberFacts:
    """Record the outcome of a publish; a read follows in any case.

    A publish that was accepted, may have been carried out, or was refused because of the key counts for the publish
    back-off. Other refusals (not ready, rate limited, not registered, without a reason) do not count, except that the
    first in a row counts for the hourly limit, so that a key that keeps changing is not published each time.
    """
    known = replace(
        facts,
        read_at=None,
        as_of=now,
        published=_record_of_publish(facts.published, answer, now),
        failing=NO_FAILURES,
        hold=None,
        carried=ACCEPTED if isinstance(answer, Accepted) else None,
        observed=True,
        due=now,
    )
    if isinstance(answer, Accepted):
        return known
    soon = now + backoff.pause_after(answer, 1)
    due = soon if answer.unknown else min(known.publish_due, now + known.target.interval)
    return replace(known, retry_at=_retry_at(facts, answer, now), due=due)


def _record_of_publish(record: PublishRecord, answer: Accepted | Failure, now: float) -> PublishRecord:
    """Return the record with one more publish, and what came of it."""
    recent, count = backoff.with_publish(record.recent, now), record.count + 1
    if isinstance(answer, Accepted):
        cause = record.lost or Reason.PENDING
        return PublishRecord(at=now, count=count, cause=cause, accepted=True, recent=recent)
    if answer.unknown or is_of_the_key(answer):
        record = replace(record, at=now, count=count, stable=False, cause=None, recent=recent)
    elif not record.refusals:
        record = replace(record, recent=recent)
    known = record.refusal
    # A passing fault says nothing about the key, so what was said before holds: no other number must get that key.
    says_nothing = answer.retry is Retry.TRANSIENT and known is not None and may_be_for_the_key(known)
    return replace(record, refusal=known if says_nothing else answer, refused_at=now, refusals=record.refusals + 1)


def paused(facts: NumberFacts, hold: Verdict) -> NumberFacts:
    """Record that a number waits for the rollout or for the Flow endpoint; it is still checked.

    Its last check is valid for the new key, too.
    """
    due = max(facts.due, (facts.read_at or 0.0) + facts.target.interval)
    return replace(facts, hold=hold, carried=None, observed=True, due=due)


def resumed(facts: NumberFacts, *, spreading: bool) -> NumberFacts:
    """Record that the rollout has reached a number, as canary or with the others (`spreading`)."""
    stale_at = (facts.read_at or 0.0) + min(facts.target.interval, FRESH_SECONDS)
    facts = replace(facts, due=min(facts.due, stale_at))
    if facts.reason is Reason.WAITING_FOR_ENDPOINT:
        return replace(facts, hold=None, carried=PROVEN)
    queued = spreading and facts.reason is Reason.WAITING_FOR_ROLLOUT
    return replace(facts, hold=None, carried=QUEUED) if queued else facts


def invalidated(facts: NumberFacts, published: Target, now: float) -> NumberFacts:
    """Record that a publish for an earlier target ended: the last reading is no longer valid.

    If it went to the same address, it counts for the publish back-off; for the current key only if it was that key.
    """
    known = replace(facts, read_at=None, due=min(facts.due, now), observed=False, carried=facts.verdict, hold=None)
    if published.address != facts.target.address:
        return known
    record = facts.published
    count = record.count + (published.key == facts.target.key)
    return replace(
        known, published=replace(record, at=now, count=count, recent=backoff.with_publish(record.recent, now))
    )


def _retry_at(facts: NumberFacts, failure: Failure, now: float) -> float:
    # A failure without a response does not cancel the server's Retry-After.
    return max(facts.retry_at, now + min(failure.retry_after or 0.0, LONGEST_RETRY_AFTER))


def _spread(pause: float, jitter: float) -> float:
    """Return the pause, up to a tenth shorter or longer."""
    return pause * (0.9 + 0.2 * jitter)
