"""Outcomes: how each answer of an API changes what is known of a number.

Pure: every function takes the instant it happens at, and jitter as a share from 0 to 1.
"""

from dataclasses import replace

from bek_operator.model import brake
from bek_operator.model.answers import Accepted, Cure, Failure, Reading
from bek_operator.model.observation import Observation, backoff
from bek_operator.model.reasons import Reason

PATIENCE_CHECKS = 3
PATIENCE_SECONDS = 300.0
BOUNDED_TRIES = 5
LONGEST_RETRY_AFTER = 3600.0

_SLOWEST_SETTLING = 60.0


def after_read(seen: Observation, reading: Reading, now: float, jitter: float) -> Observation:
    """Take in a well-formed answer: which key the number holds, and whether it is VALID."""
    forgiven = (
        seen.reason is Reason.SIGNED
        and seen.published_at is not None
        and now - seen.published_at > brake.FORGIVEN_SECONDS
    )
    known = replace(
        seen,
        status=reading.status,
        fingerprint=reading.fingerprint,
        read_at=now,
        tried=True,
        person=False,
        failures=0,
        due=now + _spread(seen.target.interval, jitter),
        retry_at=0.0,
    )
    finding = known.finding
    if finding is Reason.SIGNED:
        return replace(known, reason=finding, message="", accepted=False, refusal=None, refusals=0)
    if not seen.target.publish:
        return replace(known, reason=finding, message=_FOUND[finding], person=True)
    if forgiven:
        known = replace(known, publishes=0)
    return _held_back(known, finding, now)


def _held_back(known: Observation, finding: Reason, now: float) -> Observation:
    """Name why a number that lacks the key is not published to right now, or that it is about to be."""
    until = known.publish_due
    known = replace(known, due=min(known.due, max(until, now)))
    if now >= until:
        return replace(known, reason=finding, message=_FOUND[finding], accepted=False)
    if known.refusal:
        return _refused(known, known.refusal)
    if known.accepted and known.published_at is not None and now < known.published_at + brake.SETTLING_SECONDS:
        waited = now - known.published_at
        pause = min(max(waited, 1.0), _SLOWEST_SETTLING)
        return replace(
            known,
            reason=Reason.PENDING,
            message="the key was accepted and is not VALID yet",
            due=min(known.due, now + pause),
        )
    if finding is Reason.FOREIGN_KEY:
        return replace(known, reason=Reason.CONTENDED, message=_CONTENDED, person=True)
    return replace(known, reason=Reason.SIGNATURE_MISMATCH, message=_MISMATCH, person=True)


def _refused(known: Observation, refusal: Failure) -> Observation:
    person = refusal.cure is Cure.PERSON or (refusal.cure is Cure.BOUNDED and known.refusals >= BOUNDED_TRIES)
    return replace(known, reason=refusal.reason, message=refusal.message, person=person)


def after_failure(seen: Observation, failure: Failure, now: float, jitter: float) -> Observation:
    """Take in a check that told nothing; a signed number stays so until that has lasted."""
    failures = seen.failures + 1
    since = seen.failing_since if seen.failures else now
    person = failure.cure is Cure.PERSON or (failure.cure is Cure.BOUNDED and failures >= BOUNDED_TRIES)
    patient = (
        seen.reason is Reason.SIGNED
        and not person
        and not (failures >= PATIENCE_CHECKS and now - since >= PATIENCE_SECONDS)
    )
    # The hidden failure of a patient number shows nowhere, so its checks go on at the pace of the failure: a
    # passing fault is over before anybody would have wanted to know.
    pause = seen.target.interval if person else min(backoff(failure.pace, failures), seen.target.interval)
    return replace(
        seen,
        reason=Reason.SIGNED if patient else failure.reason,
        message=seen.message if patient else failure.message,
        tried=True,
        person=person,
        failures=failures,
        failing_since=since,
        due=now + _spread(pause, jitter),
        retry_at=_retry_at(failure, now),
    )


def after_publish(seen: Observation, answer: Accepted | Failure, now: float) -> Observation:
    """Take in what a publish led to; whatever it was, a read comes next.

    One that was accepted, may have been carried out, or was refused for good counts for the brake; one that the
    API turned away for the moment (not ready, too many requests) does not.
    """
    cause = seen.finding
    counted = replace(
        seen, published_at=now, publishes=seen.publishes + 1, cause=cause, read_at=None, due=now, tried=True
    )
    if isinstance(answer, Accepted):
        return replace(counted, accepted=True, refusal=None, refusals=0)
    if answer.unknown:
        pause = backoff(answer.pace, 1)
        return replace(
            counted,
            reason=answer.reason,
            message=answer.message,
            due=now + pause,
            retry_at=_retry_at(answer, now),
        )
    refused = counted if answer.cure is Cure.PERSON else replace(seen, tried=True)
    refused = replace(
        refused,
        refusal=answer,
        refused_at=now,
        refusals=seen.refusals + 1,
        read_at=None,
        retry_at=_retry_at(answer, now),
    )
    return _refused(replace(refused, due=min(refused.publish_due, now + seen.target.interval)), answer)


def disturbed(seen: Observation, now: float) -> Observation:
    """Take in that a publish for another target ended after this one was set: what was read is worth nothing."""
    return replace(seen, read_at=None, due=min(seen.due, now), tried=False)


def _retry_at(failure: Failure, now: float) -> float:
    return now + min(failure.retry_after, LONGEST_RETRY_AFTER) if failure.retry_after else 0.0


def _spread(pause: float, jitter: float) -> float:
    """Return the pause, a tenth shorter or longer."""
    return pause * (0.9 + 0.2 * jitter)


_FOUND = {
    Reason.NOT_PUBLISHED: "the API holds no key for this number",
    Reason.STALE_SIGNATURE: "the API holds the key, with a signature that is not VALID any more",
    Reason.FOREIGN_KEY: "the API holds another key",
}
_CONTENDED = (
    "somebody else keeps publishing another key; find the other writer, then set the bek.dev/requested-at annotation"
)
_MISMATCH = (
    "published several times and still not VALID; check the number's registration, "
    "then set the bek.dev/requested-at annotation"
)
