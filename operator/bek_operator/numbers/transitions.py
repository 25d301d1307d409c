"""Transitions: how the outcome of each call changes the facts about a number.

Pure: the time is an argument, and so is jitter, from 0 to 1.
"""

from dataclasses import replace

from bek_operator.crd.reasons import Reason
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry, is_of_the_key
from bek_operator.numbers.facts import NO_FAILURES, FailureStreak, NumberFacts
from bek_operator.numbers.next_action import FRESH_SECONDS
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import ACCEPTED, QUEUED

LONGEST_RETRY_AFTER = 3600.0

_SLOWEST_SETTLING = 60.0


def after_read(facts: NumberFacts, reading: Reading, now: float, jitter: float) -> NumberFacts:
    """Record a reading."""
    known = replace(
        facts,
        reading=reading,
        read_at=now,
        failing=NO_FAILURES,
        due=now + _spread(facts.target.interval, jitter),
        retry_at=0.0,
    )
    return _concluded(facts, known, now)


def after_reuse(facts: NumberFacts, now: float) -> NumberFacts:
    """Apply the last reading to the current target."""
    return _concluded(facts, facts, now)


def _concluded(facts: NumberFacts, known: NumberFacts, now: float) -> NumberFacts:
    """Return the facts after a reading; `facts` are those before it."""
    known = replace(known, as_of=now, hold="", carried=None, observed=True, check_requested=False)
    record = facts.published
    if known.finding is Reason.SIGNED:
        read_at = known.read_at or 0.0
        stable = record.at is not None and read_at - record.at > backoff.BACKOFF_RESET_SECONDS
        settled = replace(record, lost=None, stable=stable, accepted=False, refusal=None, refusals=0)
        return replace(known, published=settled)
    if facts.reason is Reason.SIGNED:
        record = replace(record, lost=known.finding)
    if record.stable:
        record = replace(record, count=0, stable=False)
    known = replace(known, published=record)
    return _until_next_publish(known, now) if facts.target.publish else known


def _until_next_publish(known: NumberFacts, now: float) -> NumberFacts:
    """Schedule the next check of a number that lacks the key: at the next publish, or soon after an accepted one."""
    record, until = known.published, known.publish_due
    known = replace(known, due=min(known.due, max(until, now)))
    if now >= until:
        return replace(known, published=replace(record, accepted=False))
    waited = now - (record.at or 0.0)
    if record.accepted and waited < backoff.SETTLING_SECONDS:
        return replace(known, due=min(known.due, now + min(max(waited, 1.0), _SLOWEST_SETTLING)))
    return known


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
    record = facts.published
    known = replace(
        facts,
        read_at=None,
        as_of=now,
        failing=NO_FAILURES,
        hold="",
        observed=True,
        check_requested=False,
    )
    recent = backoff.with_publish(record.recent, now)
    counted = replace(record, at=now, count=record.count + 1, stable=False, cause=None, recent=recent)
    if isinstance(answer, Accepted):
        cause = record.lost or Reason.PENDING
        accepted = replace(counted, cause=cause, lost=None, accepted=True, refusal=None, refusals=0)
        return replace(known, published=accepted, carried=ACCEPTED, due=now)
    counts = answer.unknown or is_of_the_key(answer)
    if not counts:
        counted = record if record.refusals else replace(record, recent=recent)
    refused = replace(counted, refusal=answer, refused_at=now, refusals=record.refusals + 1)
    known = replace(known, published=refused, carried=None, retry_at=_retry_at(facts, answer, now))
    soon = now + backoff.pause_after(answer, 1)
    return replace(known, due=soon if answer.unknown else min(known.publish_due, now + known.target.interval))


def paused(facts: NumberFacts, message: str) -> NumberFacts:
    """Record that a number waits for the rollout; it is still checked.

    Its last check is valid for the new key, too.
    """
    due = max(facts.due, (facts.read_at or 0.0) + facts.target.interval)
    return replace(facts, hold=message, carried=None, observed=True, due=due)


def resumed(facts: NumberFacts, *, spreading: bool) -> NumberFacts:
    """Record that the rollout has reached a number, as canary or with the others (`spreading`)."""
    stale_at = (facts.read_at or 0.0) + min(facts.target.interval, FRESH_SECONDS)
    queued = spreading and facts.reason is Reason.WAITING_FOR_ROLLOUT
    facts = replace(facts, due=min(facts.due, stale_at))
    return replace(facts, hold="", carried=QUEUED) if queued else facts


def invalidated(facts: NumberFacts, published: Target, now: float) -> NumberFacts:
    """Record that a publish for an earlier target ended: the last reading is no longer valid.

    If it went to the same address, it counts for the publish back-off; for the current key only if it was that key.
    """
    known = replace(facts, read_at=None, due=min(facts.due, now), observed=False, carried=facts.verdict, hold="")
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
