"""Outcomes: how each answer of an API changes what is known of a number.

Pure: every function takes the instant it happens at, and jitter as a share from 0 to 1.
"""

from dataclasses import replace

from bek_operator.crd.reasons import AT_EASE, OF_THE_KEY, Reason
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry
from bek_operator.numbers.next_action import FRESH_SECONDS
from bek_operator.numbers.observation import (
    Observation,
    is_of_the_key,
    needs_user_action,
    pause_after,
)
from bek_operator.numbers.target import Target

FAILURE_THRESHOLD_CHECKS = 3
FAILURE_THRESHOLD_SECONDS = 300.0
LONGEST_RETRY_AFTER = 3600.0

_SLOWEST_SETTLING = 60.0


def after_read(seen: Observation, reading: Reading, now: float, jitter: float) -> Observation:
    """Take in a well-formed answer: which key the number holds, and whether it is VALID."""
    known = replace(
        seen,
        status=reading.status,
        fingerprint=reading.fingerprint,
        read_at=now,
        failures=0,
        bounded=0,
        due=now + _spread(seen.target.interval, jitter),
        retry_at=0.0,
    )
    return after_reuse(known, now)


def after_reuse(seen: Observation, now: float) -> Observation:
    """Take in what the last answer says for the target of now."""
    known = replace(seen, observed=True, check_requested=False, needs_user=False)
    finding = known.finding
    if finding is Reason.SIGNED:
        read_at = seen.read_at or 0.0
        stable = seen.published_at is not None and read_at - seen.published_at > backoff.BACKOFF_RESET_SECONDS
        return replace(
            known, reason=finding, message="", lost=None, stable=stable, accepted=False, refusal=None, refusals=0
        )
    if seen.reason is Reason.SIGNED:
        known = replace(known, lost=finding)
    if known.stable:
        known = replace(known, publishes=0, stable=False)
    if not seen.target.publish:
        return replace(known, reason=finding, message=f"{_FOUND[finding]}; {_NEVER}", needs_user=True)
    return _held_back(known, finding, now)


def _held_back(known: Observation, finding: Reason, now: float) -> Observation:
    """Name why a number that lacks the key is not published to right now, or that it is about to be."""
    until = known.publish_due
    known = replace(known, due=min(known.due, max(until, now)))
    if now >= until:
        return replace(known, reason=finding, message=_FOUND[finding], accepted=False)
    if known.refusal:
        return _refused(known, known.refusal)
    waited = now - (known.published_at or 0.0)
    if known.accepted and waited < backoff.SETTLING_SECONDS:
        pause = min(max(waited, 1.0), _SLOWEST_SETTLING)
        message = _NOT_SHOWN_YET if finding is Reason.FOREIGN_KEY else _ACCEPTED
        return replace(known, reason=Reason.PENDING, message=message, due=min(known.due, now + pause))
    if now < backoff.next_of_any_key(known.recent) and not backoff.holds(known.publishes):
        return replace(known, reason=Reason.KEY_CHANGES_TOO_OFTEN, message=_UNSTABLE, needs_user=True)
    if finding is Reason.FOREIGN_KEY:
        return replace(known, reason=Reason.CONTENDED, message=_CONTENDED, needs_user=True)
    return replace(known, reason=Reason.SIGNATURE_MISMATCH, message=_MISMATCH, needs_user=True)


def _refused(known: Observation, refusal: Failure) -> Observation:
    braked = refusal.retry is Retry.LIMITED and backoff.holds(known.publishes)
    needs_user = braked or needs_user_action(refusal.retry, known.refusals)
    return replace(known, reason=refusal.reason, message=refusal.message, needs_user=needs_user)


def after_failure(seen: Observation, failure: Failure, now: float, jitter: float) -> Observation:
    """Take in a check that told nothing; a number that is signed stays so until that has lasted.

    Where something has changed since the number was last looked at, it is not known to be signed, and somebody
    may be waiting for the answer. What was found wrong with the key stands until the API says otherwise.
    """
    failures = seen.failures + 1
    since = seen.failing_since if seen.failures else now
    bounded = seen.bounded + 1 if failure.retry is Retry.LIMITED else 0
    lasting = failures >= FAILURE_THRESHOLD_CHECKS and now - since >= FAILURE_THRESHOLD_SECONDS
    passing = failure.retry is not Retry.TERMINAL
    stands = seen.reason in OF_THE_KEY and passing
    settled = seen.observed and not seen.check_requested
    within_threshold = stands or (seen.reason in AT_EASE and settled and passing and not lasting)
    needs_user = stands or (needs_user_action(failure.retry, bounded) and not within_threshold)
    known = replace(
        seen,
        observed=True,
        check_requested=False,
        needs_user=needs_user,
        read_at=None,
        failures=failures,
        failing_since=since,
        bounded=bounded,
        due=now + _spread(_pause(failure, failures, seen.target.interval, needs_user=needs_user), jitter),
        retry_at=_retry_at(seen, failure, now),
    )
    return known if within_threshold else replace(known, reason=failure.reason, message=failure.message)


def _pause(failure: Failure, failures: int, interval: float, *, needs_user: bool) -> float:
    """Return how long to wait before a failed check is repeated.

    Where only a person can help that is as long as between two checks, otherwise as long at most: unless the API
    is to be spared.
    """
    if needs_user:
        return interval
    pause = pause_after(failure, failures)
    return pause if failure.pace is Pace.SLOW else min(pause, interval)


def after_publish(seen: Observation, answer: Accepted | Failure, now: float) -> Observation:
    """Take in what a publish led to; whatever it was, a read comes next.

    One that was accepted, may have been carried out, or was refused for the key counts for the brake. One that the
    API turned away for other reasons (not ready, too many requests, not registered), or without one, does not, but
    for the first in a row: a key that is changed again and again is not to be offered each time.
    """
    if isinstance(answer, Accepted):
        return replace(
            seen,
            observed=True,
            check_requested=False,
            read_at=None,
            published_at=now,
            publishes=seen.publishes + 1,
            recent=backoff.with_publish(seen.recent, now),
            cause=seen.lost or Reason.PENDING,
            stable=False,
            lost=None,
            accepted=True,
            refusal=None,
            refusals=0,
            due=now,
        )
    counts = answer.unknown or is_of_the_key(answer)
    refused = replace(
        replace(seen, published_at=now, publishes=seen.publishes + 1, stable=False, cause=None) if counts else seen,
        recent=backoff.with_publish(seen.recent, now) if counts or not seen.refusals else seen.recent,
        observed=True,
        check_requested=False,
        read_at=None,
        refusal=answer,
        refused_at=now,
        refusals=seen.refusals + 1,
        retry_at=_retry_at(seen, answer, now),
    )
    soon = now + pause_after(answer, 1)
    due = soon if answer.unknown else min(refused.publish_due, now + seen.target.interval)
    return _refused(replace(refused, due=due), answer)


def paused(seen: Observation, message: str) -> Observation:
    """Take in that a number lacks the key and has to wait until another one has proved it; it goes on being checked.

    What it was looked at for last tells as much as another look would, and so it counts for this key, too.
    """
    due = max(seen.due, (seen.read_at or 0.0) + seen.target.interval)
    return replace(seen, reason=Reason.WAITING_FOR_ROLLOUT, message=message, needs_user=False, observed=True, due=due)


def resumed(seen: Observation, *, spreading: bool) -> Observation:
    """Take in that it is a number's turn, with all others (`spreading`) or first; what is stale is read again."""
    stale_at = (seen.read_at or 0.0) + min(seen.target.interval, FRESH_SECONDS)
    seen = replace(seen, due=min(seen.due, stale_at))
    if not spreading or seen.reason is not Reason.WAITING_FOR_ROLLOUT:
        return seen
    return replace(seen, reason=Reason.PENDING, message=_NEXT)


def invalidated(seen: Observation, published: Target, now: float) -> Observation:
    """Take in that a publish for another target ended after this one was set: what was read is worth nothing.

    Where it was to the same address, it counts for the brake; as one of the present key if it was that.
    """
    seen = replace(seen, read_at=None, due=min(seen.due, now), observed=False)
    if published.address != seen.target.address:
        return seen
    return replace(
        seen,
        published_at=now,
        publishes=seen.publishes + (published.key == seen.target.key),
        recent=backoff.with_publish(seen.recent, now),
    )


def _retry_at(seen: Observation, failure: Failure, now: float) -> float:
    # A failure that is no answer does not take back what the server asked for.
    return max(seen.retry_at, now + min(failure.retry_after or 0.0, LONGEST_RETRY_AFTER))


def _spread(pause: float, jitter: float) -> float:
    """Return the pause, a tenth shorter or longer."""
    return pause * (0.9 + 0.2 * jitter)


_FOUND = {
    Reason.NOT_PUBLISHED: "the API holds no key for this number",
    Reason.STALE_SIGNATURE: "the API holds the key, with a signature that is not VALID any more",
    Reason.FOREIGN_KEY: "the API holds another key",
}
_NEVER = "publish this one by other means, or set publishPolicy to IfNeeded"
_NEXT = "another number has the new key and is VALID; this one is next"
_ACCEPTED = "the key was accepted and is not VALID yet"
_NOT_SHOWN_YET = "the key was accepted, but the API still shows another key"
_CONTENDED = (
    "somebody else keeps publishing another key; find the other writer, then set the bek.dev/requested-at annotation"
)
_UNSTABLE = (
    "published too often within an hour, since the key in the Secret keeps changing; find out what writes the Secret, "
    "then set the bek.dev/requested-at annotation"
)
_MISMATCH = (
    "published several times and still not VALID; check the number's registration, "
    "then set the bek.dev/requested-at annotation"
)
