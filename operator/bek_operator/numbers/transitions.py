"""Transitions: how each answer of an API changes the facts about a number.

Pure: every function takes the instant it happens at, and jitter as a share from 0 to 1.
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
    """Record a well-formed answer: which key the number holds, and whether it is VALID."""
    known = replace(
        facts,
        reading=reading,
        read_at=now,
        checked_at=now,
        failing=NO_FAILURES,
        due=now + _spread(facts.target.interval, jitter),
        retry_at=0.0,
    )
    return _concluded(facts, known, now)


def after_reuse(facts: NumberFacts, now: float) -> NumberFacts:
    """Record what the last answer says for the target of now."""
    return _concluded(facts, facts, now)


def _concluded(facts: NumberFacts, known: NumberFacts, now: float) -> NumberFacts:
    """Return what follows from the last answer for a number that was known as `facts` before."""
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
    """Check a number that lacks the key when it may be published to; one that has accepted it more often, at first."""
    record, until = known.published, known.publish_due
    known = replace(known, due=min(known.due, max(until, now)))
    if now >= until:
        return replace(known, published=replace(record, accepted=False))
    waited = now - (record.at or 0.0)
    if record.accepted and waited < backoff.SETTLING_SECONDS:
        return replace(known, due=min(known.due, now + min(max(waited, 1.0), _SLOWEST_SETTLING)))
    return known


def after_failure(facts: NumberFacts, failure: Failure, now: float, jitter: float) -> NumberFacts:
    """Record a check that said nothing about the number's key."""
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
    """Return how long to wait before a failed check is repeated: as long as between two checks, at most.

    Unless the API is to be spared.
    """
    pause = backoff.pause_after(failure, failures)
    return pause if failure.pace is Pace.SLOW else min(pause, interval)


def after_publish(facts: NumberFacts, answer: Accepted | Failure, now: float) -> NumberFacts:
    """Record what a publish led to; whatever it was, a read comes next.

    One that was accepted, may have been carried out, or was refused for the key counts for the publish back-off. One
    that the API turned away for other reasons (not ready, too many requests, not registered), or without one, does
    not, but for the first in a row: a key that is changed again and again is not to be offered each time.
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
    """Record that a number lacks the key and waits until another one has verified it; it goes on being checked.

    Its last check says as much as another one would, and so it counts for this key, too.
    """
    due = max(facts.due, (facts.read_at or 0.0) + facts.target.interval)
    return replace(facts, hold=message, carried=None, observed=True, due=due)


def resumed(facts: NumberFacts, *, spreading: bool) -> NumberFacts:
    """Record that the rollout has reached a number, first or with all others (`spreading`); an old read is repeated."""
    stale_at = (facts.read_at or 0.0) + min(facts.target.interval, FRESH_SECONDS)
    queued = spreading and facts.reason is Reason.WAITING_FOR_ROLLOUT
    facts = replace(facts, due=min(facts.due, stale_at))
    return replace(facts, hold="", carried=QUEUED) if queued else facts


def invalidated(facts: NumberFacts, published: Target, now: float) -> NumberFacts:
    """Record that a publish for another target ended after this one was set: what was read is worth nothing.

    Where it was to the same address, it counts for the publish back-off; as one of the present key if it was that.
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
    # A failure that is no answer does not take back what the server asked for.
    return max(facts.retry_at, now + min(failure.retry_after or 0.0, LONGEST_RETRY_AFTER))


def _spread(pause: float, jitter: float) -> float:
    """Return the pause, a tenth shorter or longer."""
    return pause * (0.9 + 0.2 * jitter)
