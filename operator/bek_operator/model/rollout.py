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


@dataclass(frozen=True, slots=True)
class Gate:
    """Which numbers may be published to.

    Attributes:
        leader: The only one that may; without one all may, unless `closed`.
        closed: Nobody may: not even the first number, or not yet.
        opens_at: When the gate opens by itself; `None` when that depends on an answer.
    """

    leader: str | None = None
    closed: bool = False
    opens_at: float | None = None

    def admits(self, number: str) -> bool:
        """Tell whether a number may be published to."""
        return not self.closed and self.leader in {None, number}


OPEN = Gate()


def gate_of(rollout: Rollout, known: Mapping[str, Observation], now: float) -> Gate:
    """Decide who may be published to now, from all numbers of an object."""
    if rollout.all_at_once or not any(_holds_another_key(seen) for seen in known.values()):
        return OPEN
    named = known.get(rollout.first or "")
    proofs = [seen for seen in (known.values() if named is None else [named]) if _has_proved_it(seen)]
    if proofs:
        opens_at = min((seen.published_at or 0.0) + rollout.pause for seen in proofs)
        return OPEN if now >= opens_at else Gate(closed=True, opens_at=opens_at)
    if named:
        return Gate(leader=named.target.number)
    for number in sorted(known, key=lambda number: int(number[1:])):
        if _stands_against_it(known[number]) or not _has_failed(known[number]):
            return Gate(leader=number)
    # Every number fails for reasons of its own, none of which says anything about the key.
    return Gate(leader=min(known, key=lambda number: int(number[1:])))


def _holds_another_key(seen: Observation) -> bool:
    return (
        seen.status is SignatureStatus.VALID
        and seen.fingerprint is not None
        and seen.fingerprint != seen.target.key.fingerprint
    )


def _has_proved_it(seen: Observation) -> bool:
    return seen.tried and seen.reason is Reason.SIGNED and seen.publishes > 0


def _stands_against_it(seen: Observation) -> bool:
    """Tell whether a number was published to and does not take the key."""
    return seen.reason in {Reason.KEY_REJECTED, Reason.NOT_ELIGIBLE, Reason.SIGNATURE_MISMATCH, Reason.CONTENDED} or (
        seen.accepted and seen.publishes > 0
    )


def _has_failed(seen: Observation) -> bool:
    """Tell whether a number cannot be tried now: it hands over to the next."""
    return seen.tried and (seen.failures > 0 or seen.refusal is not None or seen.group is Group.PERSON)
