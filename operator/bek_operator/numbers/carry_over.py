"""Carry-over: which facts about a number remain valid after a restart, after a pause, and for another target."""

import math
from dataclasses import replace

from bek_operator.crd.reasons import HELD, SEVERITY, Reason, Severity
from bek_operator.crd.status import Row, Status
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Failure, Reading, Retry, is_of_the_key
from bek_operator.numbers.facts import NO_FAILURES, FailureStreak, NumberFacts, PublishRecord
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import NOT_CHECKED, Verdict

REQUEST_SECONDS = 2.0
"""A request that follows a new key so closely is part of the same change, such as a commit."""

_LIMITED = frozenset({Reason.INVALID_ANSWER, Reason.SERVICE_NOT_READY})


def restore_from_status(target: Target, recorded: Status, generation: int, *, now: float, due: float) -> NumberFacts:
    """Restore the facts from the status; `due` is when to check the number if it was signed."""
    if target.problem is None:
        return _restored(target, recorded, generation, now=now, due=due)
    facts = _restored(replace(target, problem=None), recorded, generation, now=now, due=due)
    return _blocked(facts, target, facts)


def _restored(target: Target, recorded: Status, generation: int, *, now: float, due: float) -> NumberFacts:
    row = recorded.rows.get(target.number)
    if row is None or row.api != target.api.name:
        return NumberFacts(target=target)
    # A time in the future is from a wrong clock; the back-off must not wait for it.
    published_at = None if row.published_at is None else min(row.published_at, now)
    recent = tuple(min(at, now) for at in row.recent)
    asked_again = target.request not in {"", recorded.request}
    cleared = asked_again and target.request != recorded.started
    if cleared:
        # Allows one publish: the last process may have cleared the back-off already, and not have written that.
        recent = recent[-(backoff.MOST_IN_AN_HOUR - 1) :]
    record, reading = PublishRecord(at=published_at, recent=recent), _reading_of(row)
    signed, waiting = row.reason is Reason.SIGNED, row.reason in HELD
    is_signed = reading.compared_with(target.key.fingerprint) is Reason.SIGNED
    if recorded.fingerprint != target.key.fingerprint or (signed and not is_signed):
        return NumberFacts(target=target, reading=reading, published=record, due=due if signed or waiting else 0.0)
    observed = recorded.complete and recorded.generation == generation
    record = replace(record, lost=row.lost)
    shown = Verdict(row.reason, row.message, _retry_of(row, recorded.stalled))
    return NumberFacts(
        target=target,
        reading=reading,
        carried=shown,
        observed=observed,
        check_requested=asked_again,
        published=record if cleared else _restored_publishes(row, record),
        failing=FailureStreak(limited=backoff.LIMITED_TRIES) if shown.needs_user and observed else NO_FAILURES,
        due=due if waiting or (signed and observed) else 0.0,
    )


def _retry_of(row: Row, stalled: str) -> Retry | None:
    kind, _ = SEVERITY[row.reason]
    if kind is Severity.USER_ACTION or row.reason == stalled:
        return Retry.TERMINAL
    return Retry.TRANSIENT if kind is Severity.TRANSIENT else None


def _reading_of(row: Row) -> Reading:
    # VALID comes with a key; a row without one was not written by this operator.
    contradictory = row.status is SignatureStatus.VALID and row.fingerprint is None
    return Reading(status=None if contradictory else row.status, fingerprint=row.fingerprint)


def _restored_publishes(row: Row, record: PublishRecord) -> PublishRecord:
    if row.publishes:
        record = replace(record, count=row.publishes, accepted=row.reason is Reason.PENDING)
    if row.refused is None:
        return record
    refusal = Failure(reason=row.refused.reason, message=row.refused.message, retry=Retry.TERMINAL)
    if not is_of_the_key(refusal):
        retry = Retry.LIMITED if refusal.reason in _LIMITED else Retry.TRANSIENT
        refusal = replace(refusal, retry=retry, unknown=True)
    return replace(record, refusal=refusal, refused_at=record.at or 0.0, refusals=row.refused.count)


def adopted(facts: NumberFacts, recorded: Status, generation: int, now: float) -> NumberFacts:
    """Return the facts after another process has written the status.

    A publish in it that is later than ours counts as ours, and the number is read before anything else.
    """
    row = recorded.rows.get(facts.target.number)
    if row is None or row.api != facts.target.api.name or row.published_at is None:
        return facts
    ours, same_key = int(facts.published_at or 0.0), recorded.fingerprint == facts.target.key.fingerprint
    # Within a second the count says which is later, unless a change of the key has cleared ours.
    more = same_key and row.published_at == ours and row.publishes > facts.publishes > 0
    if row.published_at <= ours and not more:
        return facts
    found = restore_from_status(facts.target, recorded, generation, now=now, due=now)
    if found.resume_from:
        return found
    recent = {int(at): at for at in (*found.published.recent, *facts.published.recent)}
    return replace(
        found,
        published=replace(found.published, recent=backoff.latest(sorted(recent.values()))),
        key_at=facts.key_at,
        checked_at=facts.checked_at,
        observed=facts.observed,
        check_requested=facts.check_requested,
        due=now,
        retry_at=facts.retry_at,
    )


def expired(facts: NumberFacts, now: float) -> NumberFacts:
    """Carry over the facts about a number that was not called for a while: its key may have changed."""
    if facts.resume_from:
        return replace(facts, resume_from=expired(facts.resume_from, now))
    return replace(facts, observed=False, read_at=None, due=now)


def with_target(facts: NumberFacts, target: Target, now: float) -> NumberFacts:
    """Carry over the facts that remain valid for another target of the same number.

    The reading remains valid for the same endpoint, the count of publishes for the same key and address, and a
    Retry-After for the same address. After a problem everything continues as before it, if no check is due.
    """
    if facts.target == target:
        return facts
    known = facts.resume_from or facts
    carried = _carried_over(known, target, now)
    if target.problem:
        # The owner of a duplicate number may publish to it.
        taken = target.problem.reason is Reason.DUPLICATE_NUMBER
        return _blocked(carried, target, expired(known, now) if taken else known)
    return expired(carried, now) if facts.resume_from and now >= carried.due else carried


def interrupts(facts: NumberFacts, before: NumberFacts) -> bool:
    """Return whether a call under way since `before` is of no use: it must be made for another target, or anew."""
    requested = facts.check_requested and facts.target.request != before.target.request
    return requested or not facts.target.is_called_like(before.target)


def _blocked(shown: NumberFacts, target: Target, resume_from: NumberFacts) -> NumberFacts:
    """Return the facts about a number whose target has a problem: no call is ever due."""
    return replace(shown, target=target, observed=True, check_requested=False, due=math.inf, resume_from=resume_from)


def _carried_over(facts: NumberFacts, target: Target, now: float) -> NumberFacts:
    before = facts.target
    if before == target:
        return facts
    if before.address != target.address:
        return NumberFacts(target=target)
    if _is_requested(before, target) and _is_of_the_keys_change(facts, now):
        return _carried_over(_with_request(facts, target.request), target, now)
    shown, observed = facts.verdict, facts.observed
    moved, new_key, requested = before.endpoint != target.endpoint, before.key != target.key, False
    if moved and shown.reason is not Reason.SIGNED:
        # The problem may be gone, so it is no longer shown.
        shown, observed = NOT_CHECKED, False
    if new_key:
        # A Retry-After also delays the new key, so its reason is still shown.
        waiting = now < facts.retry_at and SEVERITY[shown.reason][0] is Severity.TRANSIENT
        shown, observed = shown.without_user() if waiting else NOT_CHECKED, False
    else:
        requested = _is_requested(before, target)
        if before.api != target.api or before.publish != target.publish:
            shown, observed = shown.without_user(), False
    return replace(
        facts,
        target=target,
        key_at=now if new_key else facts.key_at,
        read_at=None if moved else facts.read_at,
        published=_record_for(facts, target),
        failing=NO_FAILURES,
        hold=None,
        carried=shown,
        observed=observed,
        # A new key has the number looked at in any case.
        check_requested=not new_key and (facts.check_requested or requested),
        due=now if moved or facts.failing.count else min(facts.due, now + target.interval),
    )


def _is_of_the_keys_change(facts: NumberFacts, now: float) -> bool:
    """Return whether a request that comes now belongs to the new key: it is no reason to publish once more."""
    return now - facts.key_at < REQUEST_SECONDS and now >= backoff.next_of_any_key(facts.published.recent)


def _with_request(facts: NumberFacts, request: str) -> NumberFacts:
    """Return the facts with a request that came with the key: the publishes before it do not count any more.

    The look that the new key leads to is the requested one, unless it is over.
    """
    recent = tuple(at for at in facts.published.recent if at >= facts.key_at)
    return replace(
        facts,
        target=replace(facts.target, request=request),
        published=replace(facts.published, recent=recent),
        check_requested=facts.check_requested or (facts.read_at is not None and facts.read_at > facts.key_at),
    )


def _record_for(facts: NumberFacts, target: Target) -> PublishRecord:
    before, record = facts.target, facts.published
    if _is_requested(before, target):
        # The loss is remembered for the key, because its event may not have been posted yet.
        same_key = before.key == target.key
        lost, cause = (record.lost, record.cause) if same_key else (None, None)
        return PublishRecord(at=record.at, lost=lost, cause=cause)
    if before.key != target.key:
        return PublishRecord(at=record.at, recent=record.recent)
    if before.endpoint != target.endpoint and record.refusal and not is_of_the_key(record.refusal):
        return replace(record, refusal=None, refusals=0)
    return record


def _is_requested(before: Target, target: Target) -> bool:
    return target.request not in {"", before.request}
