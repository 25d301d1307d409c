"""The rollout: a new key is tried on one number before it is spread.

It concerns rotations only: some number is known to hold another key as VALID, ours of before or somebody else's.
Everything is derived from what the rows and the spec say, so that a restart goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bek_operator.model.answers import SignatureStatus
from bek_operator.model.observation import Observation
from bek_operator.model.reasons import Group, Reason
from bek_operator.model.spec import Rollout

PATIENCE_SECONDS = 10.0
"""How long the first number may go without any answer before the next one takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Which numbers may be published to.

    Attributes:
        rotation: Whether there is a key to be replaced at all.
        leader: The only number that may be published to; without one all may, unless `closed`.
        closed: Nobody may yet.
        review_at: When time alone changes the gate; `None` when that takes an answer.
    """

    rotation: bool = False
    leader: str | None = None
    closed: bool = False
    review_at: float | None = None

    def admits(self, number: str) -> bool:
        """Tell whether a number may be published to."""
        return not self.closed and self.leader in {None, number}


OPEN = Gate()


def gate_of(rollout: Rollout, known: Mapping[str, Observation], since: float, now: float) -> Gate:
    """Decide who may be published to now, from all numbers of an object; `since` is when the key was set."""
    if rollout.all_at_once or not any(holds_another_key(seen) for seen in known.values()):
        return OPEN
    first = known.get(rollout.first or "")
    proofs = [seen for seen in ([first] if first else known.values()) if seen.tried and seen.reason is Reason.SIGNED]
    if proofs:
        opens_at = min((seen.published_at or 0.0) + rollout.pause for seen in proofs)
        return Gate(rotation=True) if now >= opens_at else Gate(rotation=True, closed=True, review_at=opens_at)
    if first:
        return Gate(rotation=True, leader=first.target.number)
    return _led(known, since, now)


def _led(known: Mapping[str, Observation], since: float, now: float) -> Gate:
    """Let the lowest number go first that is able to."""
    in_order = sorted(known.values(), key=lambda seen: int(seen.target.number))
    passed_over = int((now - since) / PATIENCE_SECONDS)
    for seen in in_order:
        if _is_on_trial(seen):
            return Gate(rotation=True, leader=seen.target.number)
        if (seen.tried and _cannot_tell(seen)) or now < seen.retry_at:
            continue
        if seen.tried or not passed_over:
            review_at = None if seen.tried else now + PATIENCE_SECONDS - (now - since) % PATIENCE_SECONDS
            return Gate(rotation=True, leader=seen.target.number, review_at=review_at)
        passed_over -= 1
    # None of them can tell anything about the key, so the lowest may as well go on trying.
    return Gate(rotation=True, leader=in_order[0].target.number)


def holds_another_key(seen: Observation) -> bool:
    """Tell whether a number is known to hold another key as VALID."""
    return (
        seen.status is SignatureStatus.VALID
        and seen.fingerprint is not None
        and seen.fingerprint != seen.target.key.fingerprint
    )


def _is_on_trial(seen: Observation) -> bool:
    """Tell whether a number was given the key, and has either refused it or not become VALID (yet)."""
    return seen.reason in {Reason.KEY_REJECTED, Reason.SIGNATURE_MISMATCH} or (seen.accepted and not seen.failures)


def _cannot_tell(seen: Observation) -> bool:
    """Tell whether a number fails for reasons of its own, so that the next one has to take its place."""
    return seen.failures > 0 or seen.refusal is not None or seen.group is Group.PERSON
