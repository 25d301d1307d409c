"""The status of an object: a pure function of what was asked for and what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import Group, ObjectReason, Reason, severity
from bek_operator.crd.status import condition_of, rows_of
from bek_operator.crd.types import InvalidSpec, Number, Spec
from bek_operator.keys.public_key import PublicKey, key_id
from bek_operator.numbers.observation import Observation
from bek_operator.times import instant, rfc3339

_LONGEST_ROW_MESSAGE = 256
_LONGEST_MESSAGE = 1024
_MOST_PUBLISHES = 2**31 - 1
_NUMBERS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why an object's key cannot be had; its numbers are left as they are."""

    reason: ObjectReason
    message: str


@dataclass(frozen=True, slots=True)
class _Verdict:
    ready: bool
    reason: str
    message: str
    abnormal: str | None


def status_of(
    resource: BusinessEncryptionKey,
    key: PublicKey | Blocked,
    known: Mapping[str, Observation],
    now: float,
    *,
    rate_limited_count: int = 0,
) -> dict[str, Any]:
    """Return the whole status; what the last one says is taken from `resource.status`.

    `crowded` tells how many numbers wait for no more than room under the limits of their API.
    """
    spec, before = resource.spec, rows_of(resource.status)
    fingerprint, handled = resource.recorded.fingerprint, resource.recorded.request
    if isinstance(spec, InvalidSpec):
        rows = list(before.values())
        verdict = _hindered(Blocked(ObjectReason.INVALID_SPEC, spec.message), suspended=False)
    elif isinstance(key, Blocked):
        rows = [before.get(number.number) or _unseen(number) for number in spec.numbers]
        verdict = _hindered(key, suspended=spec.suspend)
    else:
        seen = [known[number.number] for number in spec.numbers if number.number in known]
        rows = [_row(number, known.get(number.number)) for number in spec.numbers]
        verdict = _verdict(seen, len(rows), key, spec, rate_limited_count)
        fingerprint = key.fingerprint
        done = sum(one.observed for one in seen) == len(rows) and not any(one.check_requested for one in seen)
        handled = resource.request if resource.request and done else handled
    signed = sum(row.get("reason") == Reason.SIGNED for row in rows)
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "conditions": _conditions(resource, verdict, now),
        "desiredNumbers": len(rows),
        "signedNumbers": signed,
        "signed": f"{signed}/{len(rows)}",
        "phoneNumbers": rows,
    }
    if fingerprint:
        status["publicKeyFingerprint"] = fingerprint
        status["keyID"] = key_id(fingerprint)
    if handled:
        status["lastHandledReconcileAt"] = handled
    return status


def _unseen(number: Number) -> Mapping[str, Any]:
    return {"phoneNumber": number.number, "api": number.api.name, "reason": str(Reason.PENDING)}


def _row(number: Number, seen: Observation | None) -> Mapping[str, Any]:
    if seen is None:
        return _unseen(number)
    row: dict[str, Any] = {"phoneNumber": number.number, "api": number.api.name, "reason": str(seen.reason)}
    if seen.status:
        row["signatureStatus"] = str(seen.status)
    if seen.message:
        row["message"] = seen.message[:_LONGEST_ROW_MESSAGE]
    if seen.fingerprint:
        row["observedFingerprint"] = seen.fingerprint
    if seen.published_at is not None:
        row["lastPublishTime"] = rfc3339(seen.published_at)
        # The last of them is the one that has just been told; what was turned away since has no place here.
        earlier = [at for at in seen.recent if at <= seen.published_at][:-1]
        if earlier:
            row["earlierPublishes"] = [int(seen.published_at) - int(at) for at in earlier]
    if seen.publishes:
        row["publishes"] = min(seen.publishes, _MOST_PUBLISHES)
    return row


def _hindered(blocked: Blocked, *, suspended: bool) -> _Verdict:
    if suspended:
        message = f"suspended; {blocked.message}"
        return _Verdict(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)
    abnormal = "Reconciling" if blocked.reason is ObjectReason.SECRET_NOT_FOUND else "Stalled"
    return _Verdict(ready=False, reason=blocked.reason, message=blocked.message, abnormal=abnormal)


def _verdict(seen: Sequence[Observation], total: int, key: PublicKey, spec: Spec, rate_limited_count: int) -> _Verdict:
    suspended, first = spec.suspend, spec.rollout.first
    observed = sum(one.observed for one in seen)
    unsigned = [one for one in seen if one.reason is not Reason.SIGNED]
    if observed == total and not unsigned:
        message = f"{_numbers(total)} signed with key {key.key_id}"
        message = f"suspended; {message}" if suspended else message
        return _Verdict(ready=True, reason=ObjectReason.SUCCEEDED, message=message, abnormal=None)
    if suspended:
        message = f"suspended; {len(seen) - len(unsigned)} of {_numbers(total)} known to be signed before"
        return _Verdict(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)
    if observed < total:
        awaited = [one.target.number for one in seen if not one.observed]
        names = f" (not yet {', '.join(awaited)})" if len(awaited) <= _NUMBERS_NAMED else ""
        message = f"{observed} of {_numbers(total)} looked at since the last change{names}"
        if rate_limited_count:
            message = f"{message}; {rate_limited_count} wait for room under the API's limit of calls"
        known = [one for one in unsigned if one.observed and one.group > Group.NOBODY]
        if known:
            # What is known already should not have to wait for the slowest of them.
            message = f"{message}; {_unsigned_verdict(known, total, first).message}"
        return _Verdict(ready=False, reason=ObjectReason.PROGRESSING, message=message, abnormal="Reconciling")
    return _unsigned_verdict(unsigned, total, first)


def _unsigned_verdict(unsigned: Sequence[Observation], total: int, first: str | None) -> _Verdict:
    most_severe = max(unsigned, key=lambda one: (one.group, severity(one.reason)))
    alike = [one for one in unsigned if one.reason is most_severe.reason]
    named = ", ".join(one.target.number for one in alike[:_NUMBERS_NAMED])
    more = f" and {len(alike) - _NUMBERS_NAMED} more" if len(alike) > _NUMBERS_NAMED else ""
    waiting = sum(one.reason is Reason.WAITING_FOR_ROLLOUT for one in unsigned if one.reason is not most_severe.reason)
    other = len(unsigned) - len(alike) - waiting
    others = f"; {other} not signed for other reasons" if other else ""
    held_back = f"; {waiting} not given the key before {_awaited(unsigned, most_severe, first)}" if waiting else ""
    reason = ObjectReason.PROGRESSING if most_severe.reason is Reason.PENDING else most_severe.reason
    what = most_severe.message[:_LONGEST_ROW_MESSAGE]
    return _Verdict(
        ready=False,
        reason=reason,
        message=f"{len(alike)} of {_numbers(total)}: {what} ({named}{more}){others}{held_back}",
        abnormal="Stalled" if most_severe.group is Group.PERSON else "Reconciling",
    )


def _awaited(unsigned: Sequence[Observation], most_severe: Observation, first: str | None) -> str:
    """Say what a rollout waits for, and how to go on where that may not come by itself."""
    stuck = next((one for one in unsigned if one.suggests_bad_key), None)
    way = "put a key that works into the Secret, or name another number in `rollout.firstNumber`"
    if not stuck:
        stuck = next((one for one in unsigned if one.target.number == first and one.group > Group.NOBODY), None)
        way = "see to that number, or name another one in `rollout.firstNumber`"
    if not stuck:
        return "one holds it"
    why = "" if stuck.reason is most_severe.reason else f" ({stuck.reason})"
    return f"{stuck.target.number}{why} holds it: {way}"


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _conditions(resource: BusinessEncryptionKey, verdict: _Verdict, now: float) -> list[dict[str, Any]]:
    message = verdict.message[:_LONGEST_MESSAGE]

    def condition(kind: str, *, true: bool) -> dict[str, Any]:
        status = "True" if true else "False"
        last = condition_of(resource.status, kind)
        since = instant(last.get("lastTransitionTime")) if last.get("status") == status else None
        return {
            "type": kind,
            "status": status,
            "observedGeneration": resource.generation,
            "lastTransitionTime": rfc3339(now) if since is None else last["lastTransitionTime"],
            "reason": str(verdict.reason),
            "message": message,
        }

    conditions = [condition("Ready", true=verdict.ready)]
    if verdict.abnormal:
        conditions.append(condition(verdict.abnormal, true=True))
    return conditions
