"""The board: everything the operator knows, for as long as it reigns.

It has one owner and is only touched from the event loop. Rooms read from it and write to it between two awaits;
nothing on it is shared with anybody else.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bek_operator.controller.workers import SLOW_SECONDS
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import read_status
from bek_operator.crd.types import ObjectKey, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.observation import Observation, with_target
from bek_operator.numbers.ownership import Ownership
from bek_operator.numbers.rollout import OPEN, RolloutGate, has_another_key, rollout_gate
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import invalidated, paused, resumed
from bek_operator.status.compute import Blocked


class NumberKey(NamedTuple):
    """A number of an object."""

    object: ObjectKey
    number: str


@dataclass(slots=True)
class KeyState:
    """What is known of one object.

    Attributes:
        key: The Secret's key or why there is none; `None` before the first plan.
        known: By number, in the order of the spec that was planned last.
        secrets: By name, the resourceVersion at the last plan; empty for one that was not there.
        secrets_stale: The Secrets have to be read again before anything is decided.
        look_again_at: When the Secrets have to be read again though nobody told of a change.
        missing_since: When a Secret that had been there was found missing.
        rested: It was suspended, so that anything may have happened to its numbers since they were looked at.
        untried: Numbers that were not looked at since their target was set, or since a person asked for it.
        active: Numbers that are being worked on, or are waiting for nothing but their turn.
        changed: Numbers that would be shown in another way than when work on them began last.
        begun: By number, since when it is being worked on, as far as it is.
        unrecorded: Numbers whose next publish waits for the status to show the last one.
        written_at: When the status was last written by this process, and how many more writes were `allowed` then.
        unwritten_since: Since when there may be something to write that waits for more.
        gate: Which numbers may be published to; `held` are those that wait for it.
        writers: Field managers of the key's Secret, with when each was last seen to be one.
    """

    resource: BusinessEncryptionKey
    key: PublicKey | Blocked | None = None
    known: dict[str, Observation] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    secrets_stale: bool = True
    look_again_at: float = math.inf
    missing_since: float | None = None
    inactive: bool = False
    not_observed: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    begun: dict[str, float] = field(default_factory=dict)
    awaiting_status_write: set[str] = field(default_factory=set)
    written_at: float = -math.inf
    allowed: float = 0.0
    unwritten_since: float | None = None
    gate: RolloutGate = OPEN
    paused: set[str] = field(default_factory=set)
    writers: dict[str, float] = field(default_factory=dict)

    @property
    def at_rest(self) -> bool:
        """Tell whether none of its numbers may be called at present."""
        spec = self.resource.spec
        return not (isinstance(self.key, PublicKey) and isinstance(spec, Spec)) or spec.suspend

    def is_waited_for(self, number: str) -> bool:
        """Tell whether something goes on at once when a number has been worked on: a rollout, or the report of all."""
        return self.gate.canary == number or not (self.not_observed or self.active)

    def batch_until(self, now: float) -> float:
        """Return until when more news of its numbers may be about to come; without end where some wait for their turn.

        What takes long may take longer still, and is not waited for.
        """
        unfinished = set() if self.at_rest else self.not_observed | self.active
        if unfinished - self.begun.keys():
            return math.inf
        return max((self.begun[number] + SLOW_SECONDS for number in unfinished), default=now)

    def allowed_at(self, now: float) -> float:
        """Return how many writes of the status are allowed: one a second, and one besides."""
        return min(self.allowed + now - self.written_at, 2.0)


class Store:
    """Objects, their targets and observations, and who claims what."""

    def __init__(self) -> None:
        self.ownership = Ownership()
        self._entries: dict[ObjectKey, KeyState] = {}
        self._referrers: dict[tuple[str, str], set[ObjectKey]] = defaultdict(set)
        self._unread: dict[ObjectKey, str] = {}

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(list(self._entries))

    def get(self, ref: ObjectKey) -> KeyState | None:
        """Return what is known of an object."""
        return self._entries.get(ref)

    def hear(self, ref: ObjectKey, version: str = "") -> bool:
        """Take note that an object has changed, as far as one can tell; tell whether that is news.

        What this process has read or written itself is none.
        """
        entry = self._entries.get(ref)
        if entry and version and version == entry.resource.version:
            return False
        self._unread[ref] = version
        return True

    def begin_reading(self, ref: ObjectKey) -> bool:
        """Tell whether an object has to be read; from now on whatever is heard of it is news again."""
        return self._unread.pop(ref, None) is not None or ref not in self._entries

    def adopt(self, resource: BusinessEncryptionKey) -> KeyState:
        """Take in an object as it was just read."""
        entry = self._entries.get(resource.ref)
        if entry is None:
            entry = self._entries[resource.ref] = KeyState(resource=resource)
        before, entry.resource = entry.resource, resource
        if before.generation != resource.generation:
            # The key may be in another Secret now.
            entry.writers = {}
        if (before.generation, before.request) != (resource.generation, resource.request):
            entry.secrets_stale = True
        self._has_version(resource.ref, resource.version)
        return entry

    def refer(self, ref: ObjectKey, entry: KeyState, secrets: Mapping[str, str]) -> None:
        """Take note of the Secrets that an object was planned from."""
        for name in entry.secrets.keys() - secrets.keys():
            self._unrefer(ref, name)
        for name in secrets:
            self._referrers[ref.namespace, name].add(ref)
        entry.secrets = dict(secrets)

    def referrers(self, namespace: str, secret: str) -> frozenset[ObjectKey]:
        """Return the objects that refer to a Secret."""
        return frozenset(self._referrers.get((namespace, secret), ()))

    def forget(self, ref: ObjectKey) -> KeyState | None:
        """Drop an object that is gone."""
        entry = self._entries.pop(ref, None)
        if entry:
            for name in entry.secrets:
                self._unrefer(ref, name)
        return entry

    def _unrefer(self, ref: ObjectKey, secret: str) -> None:
        referrers = self._referrers.get((ref.namespace, secret), set())
        referrers.discard(ref)
        if not referrers:
            self._referrers.pop((ref.namespace, secret), None)

    def observation(self, ref: NumberKey) -> Observation | None:
        """Return what is known of a number that is to be signed."""
        entry = self._entries.get(ref.object)
        return entry.known.get(ref.number) if entry else None

    def put(self, ref: ObjectKey, seen: Observation) -> None:
        """Replace what is known of a number."""
        entry = self._entries[ref]
        number = seen.target.number
        before = entry.known.get(number)
        if before is None or before.shown != seen.shown:
            entry.changed.add(number)
        entry.known[number] = seen
        if seen.observed and not seen.check_requested:
            entry.not_observed.discard(number)
        else:
            entry.not_observed.add(number)

    def drop(self, ref: ObjectKey, number: str) -> None:
        """Forget a number that its object lists no longer."""
        entry = self._entries[ref]
        entry.known.pop(number, None)
        entry.not_observed.discard(number)
        entry.active.discard(number)
        entry.changed.discard(number)
        entry.awaiting_status_write.discard(number)
        entry.paused.discard(number)

    def record(
        self,
        ref: NumberKey,
        target: Target,
        update: Callable[[Observation], Observation],
        now: float,
        *,
        published: bool,
    ) -> Observation | None:
        """Take in what a call for a target led to.

        Where the target has been replaced meanwhile the outcome is worth nothing, but a publish has changed what
        the API holds, so that what was read before is worth nothing either.
        """
        seen = self.observation(ref)
        if seen is None:
            return None
        known = seen.resume_from or seen
        if known.target == target:
            known = update(known)
        elif published:
            known = invalidated(known, target, now)
        seen = with_target(known, seen.target, now)
        self.put(ref.object, seen)
        return seen

    def judge(self, ref: ObjectKey, now: float) -> RolloutGate:
        """Decide anew which numbers of an object may be published to."""
        entry = self._entries[ref]
        spec = entry.resource.spec
        if entry.at_rest or not isinstance(spec, Spec) or not spec.publish:
            entry.gate = OPEN
        else:
            entry.gate = rollout_gate(spec.rollout, entry.known, entry.gate, entry.begun, now)
        return entry.gate

    def allows(self, ref: NumberKey, seen: Observation, now: float) -> bool:
        """Tell whether a number may be published to, or has to wait for another one to prove the key."""
        gate = self._entries[ref.object].gate
        if not gate.rotation and has_another_key(seen):
            gate = self.judge(ref.object, now)
        return gate.allows(seen)

    def pause(self, ref: NumberKey, seen: Observation) -> Observation:
        """Leave a number until the rollout reaches it."""
        entry = self._entries[ref.object]
        entry.paused.add(ref.number)
        seen = paused(seen, entry.gate.message)
        self.put(ref.object, seen)
        return seen

    def resume(self, ref: ObjectKey, now: float) -> list[str]:
        """Decide anew who has to wait; return the numbers that had to and are next, the others are told why not."""
        entry, gate, reached = self._entries[ref], self.judge(ref, now), []
        for number in [number for number in entry.known if number in entry.paused]:
            seen = entry.known[number]
            if gate.allows(seen):
                entry.paused.discard(number)
                reached.append(number)
                self.put(ref, resumed(seen, spreading=gate.canary is None))
            elif seen.reason is Reason.WAITING_FOR_ROLLOUT:
                self.put(ref, paused(seen, gate.message))
        return reached

    def is_recorded(self, ref: NumberKey, seen: Observation) -> bool:
        """Tell whether the status that the API server holds shows a number's last publish."""
        if seen.published_at is None:
            return True
        row = self._entries[ref.object].resource.recorded.rows.get(ref.number)
        if row is None or row.published_at is None:
            return False
        return row.published_at >= int(seen.published_at) and row.publishes >= seen.publishes

    def writes(self, ref: ObjectKey, now: float) -> None:
        """Count a write of an object's status, whatever becomes of it."""
        entry = self._entries[ref]
        entry.written_at, entry.allowed = now, entry.allowed_at(now) - 1

    def wrote(self, ref: ObjectKey, version: str, status: dict[str, Any]) -> None:
        """Take note of the status that the API server holds now."""
        entry = self._entries[ref]
        entry.resource = replace(entry.resource, version=version, status=status, recorded=read_status(status))
        self._has_version(ref, version)

    def _has_version(self, ref: ObjectKey, version: str) -> None:
        """Forget a hint that came before the answer which it was about."""
        if self._unread.get(ref) == version:
            del self._unread[ref]
