"""The status of an object: a pure function of what was asked for and what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bek_operator.model.key import PublicKey
from bek_operator.model.observation import Observation
from bek_operator.model.reasons import Group, ObjectReason, Reason, gravity
from bek_operator.model.spec import Resource, Spec
from bek_operator.model.times import rfc3339

_LONGEST_ROW_MESSAGE = 256
_LONGEST_MESSAGE = 1024
_NUMBERS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Obstacle:
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
    resource: Resource, key: PublicKey | Obstacle, known: Mapping[str, Observation], now: float
) -> dict[str, Any]:
    """Return the whole status; what the last one says is taken from `resource.status`."""
    before = resource.status
    rows = _rows(resource, key, known)
    verdict = _verdict(resource, key, known)
    signed = sum(row["reason"] == Reason.SIGNED for row in rows)
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "conditions": _conditions(resource, verdict, now),
        "desiredNumbers": len(rows),
        "signedNumbers": signed,
        "signed": f"{signed}/{len(rows)}",
        "phoneNumbers": rows,
    }
    fingerprint = key.fingerprint if isinstance(key, PublicKey) else before.get("publicKeyFingerprint")
    if fingerprint:
        status["publicKeyFingerprint"] = fingerprint
        status["keyID"] = fingerprint.removeprefix("sha256:")[:12]
    handled = _handled(resource, key, known)
    if handled:
        status["lastHandledReconcileAt"] = handled
    return status


def _handled(resource: Resource, key: PublicKey | Obstacle, known: Mapping[str, Observation]) -> str:
    """Echo the request for a check once every number was tried for it."""
    tried = isinstance(key, PublicKey) and all(seen.tried for seen in known.values())
    return resource.request if resource.request and tried else resource.recorded.request


def _rows(resource: Resource, key: PublicKey | Obstacle, known: Mapping[str, Observation]) -> list[dict[str, Any]]:
    before = {row.get("phoneNumber"): row for row in resource.status.get("phoneNumbers") or ()}
    if not isinstance(resource.spec, Spec):
        return list(before.values())
    rows = []
    for number in resource.spec.numbers:
        seen = known.get(number.number)
        if seen is not None and isinstance(key, PublicKey):
            rows.append(_row(seen))
        elif number.number in before:
            rows.append(before[number.number])
        else:
            rows.append({"phoneNumber": number.number, "api": number.api.name, "reason": str(Reason.PENDING)})
    return rows


def _row(seen: Observation) -> dict[str, Any]:
    row: dict[str, Any] = {
        "phoneNumber": seen.target.number,
        "api": seen.target.api.name,
        "reason": str(seen.reason),
    }
    if seen.status:
        row["signatureStatus"] = str(seen.status)
    if seen.message:
        row["message"] = seen.message[:_LONGEST_ROW_MESSAGE]
    if seen.fingerprint:
        row["observedFingerprint"] = seen.fingerprint
    if seen.published_at is not None:
        row["lastPublishTime"] = rfc3339(seen.published_at)
    if seen.publishes:
        row["publishes"] = seen.publishes
    return row


def _verdict(resource: Resource, key: PublicKey | Obstacle, known: Mapping[str, Observation]) -> _Verdict:
    suspended = isinstance(resource.spec, Spec) and resource.spec.suspend
    if isinstance(key, Obstacle):
        if suspended:
            return _Verdict(
                ready=False, reason=ObjectReason.SUSPENDED, message=f"suspended; {key.message}", abnormal=None
            )
        abnormal = "Reconciling" if key.reason is ObjectReason.SECRET_NOT_FOUND else "Stalled"
        return _Verdict(ready=False, reason=key.reason, message=key.message, abnormal=abnormal)
    seen = list(known.values())
    unsigned = [one for one in seen if one.reason is not Reason.SIGNED]
    untried = sum(not one.tried for one in seen)
    if not unsigned and not untried:
        paused = "suspended; " if suspended else ""
        message = f"{paused}{_numbers(len(seen))} signed with key {key.key_id}"
        return _Verdict(ready=True, reason=ObjectReason.SUCCEEDED, message=message, abnormal=None)
    if suspended:
        message = f"suspended; {len(seen) - len(unsigned)} of {_numbers(len(seen))} known to be signed before"
        return _Verdict(ready=False, reason=ObjectReason.SUSPENDED, message=message, abnormal=None)
    if untried:
        message = f"{len(seen) - untried} of {_numbers(len(seen))} looked at since the last change"
        return _Verdict(ready=False, reason=ObjectReason.PROGRESSING, message=message, abnormal="Reconciling")
    return _unsigned_verdict(unsigned, len(seen))


def _unsigned_verdict(unsigned: Sequence[Observation], total: int) -> _Verdict:
    gravest = max(unsigned, key=lambda one: (one.group, gravity(one.reason)))
    alike = [one for one in unsigned if one.reason is gravest.reason]
    named = ", ".join(one.target.number for one in alike[:_NUMBERS_NAMED])
    more = f" and {len(alike) - _NUMBERS_NAMED} more" if len(alike) > _NUMBERS_NAMED else ""
    others = f"; {len(unsigned) - len(alike)} not signed for other reasons" if len(unsigned) > len(alike) else ""
    reason = ObjectReason.PROGRESSING if gravest.reason is Reason.PENDING else gravest.reason
    return _Verdict(
        ready=False,
        reason=reason,
        message=f"{len(alike)} of {_numbers(total)}: {alike[0].message} ({named}{more}){others}",
        abnormal="Stalled" if gravest.group is Group.PERSON else "Reconciling",
    )


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _conditions(resource: Resource, verdict: _Verdict, now: float) -> list[dict[str, Any]]:
    before = {one.get("type"): one for one in resource.status.get("conditions") or ()}
    message = verdict.message[:_LONGEST_MESSAGE]

    def condition(kind: str, *, true: bool) -> dict[str, Any]:
        status = "True" if true else "False"
        last = before.get(kind, {})
        same = last.get("status") == status
        return {
            "type": kind,
            "status": status,
            "observedGeneration": resource.generation,
            "lastTransitionTime": last["lastTransitionTime"] if same else rfc3339(now),
            "reason": str(verdict.reason),
            "message": message,
        }

    conditions = [condition("Ready", true=verdict.ready)]
    if verdict.abnormal:
        conditions.append(condition(verdict.abnormal, true=True))
    return conditions
