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
from bek_operator.model.claims import Claims
from bek_operator.model.key import PublicKey
from bek_operator.model.observation import Observation, retarget
from bek_operator.model.outcomes import disturbed, held, released
from bek_operator.model.reasons import Reason
from bek_operator.model.recorded import read_status
from bek_operator.model.resource import Resource
from bek_operator.model.rollout import OPEN, Gate, gate_of, has_another_key
from bek_operator.model.spec import ObjectRef, Spec
from bek_operator.model.status import Obstacle
from bek_operator.model.target import Target


class NumberRef(NamedTuple):
    """A number of an object."""

    object: ObjectRef
    number: str


@dataclass(slots=True)
class Entry:
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

    resource: Resource
    key: PublicKey | Obstacle | None = None
    known: dict[str, Observation] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    secrets_stale: bool = True
    look_again_at: float = math.inf
    missing_since: float | None = None
    rested: bool = False
    untried: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    begun: dict[str, float] = field(default_factory=dict)
    unrecorded: set[str] = field(default_factory=set)
    written_at: float = -math.inf
    allowed: float = 0.0
    unwritten_since: float | None = None
    gate: Gate = OPEN
    held: set[str] = field(default_factory=set)
    writers: dict[str, float] = field(default_factory=dict)

    @property
    def at_rest(self) -> bool:
        """Tell whether none of its numbers may be called at present."""
        spec = self.resource.spec
        return not (isinstance(self.key, PublicKey) and isinstance(spec, Spec)) or spec.suspend

    def is_waited_for(self, number: str) -> bool:
        """Tell whether something goes on at once when a number has been worked on: a rollout, or the report of all."""
        return self.gate.leader == number or not (self.untried or self.active)

    def awaits_news_until(self, now: float) -> float:
        """Return until when more news of its numbers may be about to come; without end where some wait for their turn.

        What takes long may take longer still, and is not waited for.
        """
        unfinished = set() if self.at_rest else self.untried | self.active
        if unfinished - self.begun.keys():
            return math.inf
        return max((self.begun[number] + SLOW_SECONDS for number in unfinished), default=now)

    def allowed_at(self, now: float) -> float:
        """Return how many writes of the status are allowed: one a second, and one besides."""
        return min(self.allowed + now - self.written_at, 2.0)


class Board:
    """Objects, their targets and observations, and who claims what."""

    def __init__(self) -> None:
        self.claims = Claims()
        self._entries: dict[ObjectRef, Entry] = {}
        self._referrers: dict[tuple[str, str], set[ObjectRef]] = defaultdict(set)
        self._unread: dict[ObjectRef, str] = {}

    def __iter__(self) -> Iterator[ObjectRef]:
        return iter(list(self._entries))

    def get(self, ref: ObjectRef) -> Entry | None:
        """Return what is known of an object."""
        return self._entries.get(ref)

    def hear(self, ref: ObjectRef, version: str = "") -> bool:
        """Take note that an object has changed, as far as one can tell; tell whether that is news.

        What this process has read or written itself is none.
        """
        entry = self._entries.get(ref)
        if entry and version and version == entry.resource.version:
            return False
        self._unread[ref] = version
        return True

    def begin_reading(self, ref: ObjectRef) -> bool:
        """Tell whether an object has to be read; from now on whatever is heard of it is news again."""
        return self._unread.pop(ref, None) is not None or ref not in self._entries

    def adopt(self, resource: Resource) -> Entry:
        """Take in an object as it was just read."""
        entry = self._entries.get(resource.ref)
        if entry is None:
            entry = self._entries[resource.ref] = Entry(resource=resource)
        before, entry.resource = entry.resource, resource
        if before.generation != resource.generation:
            # The key may be in another Secret now.
            entry.writers = {}
        if (before.generation, before.request) != (resource.generation, resource.request):
            entry.secrets_stale = True
        self._has_version(resource.ref, resource.version)
        return entry

    def refer(self, ref: ObjectRef, entry: Entry, secrets: Mapping[str, str]) -> None:
        """Take note of the Secrets that an object was planned from."""
        for name in entry.secrets.keys() - secrets.keys():
            self._unrefer(ref, name)
        for name in secrets:
            self._referrers[ref.namespace, name].add(ref)
        entry.secrets = dict(secrets)

    def referrers(self, namespace: str, secret: str) -> frozenset[ObjectRef]:
        """Return the objects that refer to a Secret."""
        return frozenset(self._referrers.get((namespace, secret), ()))

    def forget(self, ref: ObjectRef) -> Entry | None:
        """Drop an object that is gone."""
        entry = self._entries.pop(ref, None)
        if entry:
            for name in entry.secrets:
                self._unrefer(ref, name)
        return entry

    def _unrefer(self, ref: ObjectRef, secret: str) -> None:
        referrers = self._referrers.get((ref.namespace, secret), set())
        referrers.discard(ref)
        if not referrers:
            self._referrers.pop((ref.namespace, secret), None)

    def observation(self, ref: NumberRef) -> Observation | None:
        """Return what is known of a number that is to be signed."""
        entry = self._entries.get(ref.object)
        return entry.known.get(ref.number) if entry else None

    def put(self, ref: ObjectRef, seen: Observation) -> None:
        """Replace what is known of a number."""
        entry = self._entries[ref]
        number = seen.target.number
        before = entry.known.get(number)
        if before is None or before.shown != seen.shown:
            entry.changed.add(number)
        entry.known[number] = seen
        if seen.tried and not seen.asked:
            entry.untried.discard(number)
        else:
            entry.untried.add(number)

    def drop(self, ref: ObjectRef, number: str) -> None:
        """Forget a number that its object lists no longer."""
        entry = self._entries[ref]
        entry.known.pop(number, None)
        entry.untried.discard(number)
        entry.active.discard(number)
        entry.changed.discard(number)
        entry.unrecorded.discard(number)
        entry.held.discard(number)

    def learn(
        self,
        ref: NumberRef,
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
            known = disturbed(known, target, now)
        seen = retarget(known, seen.target, now)
        self.put(ref.object, seen)
        return seen

    def judge(self, ref: ObjectRef, now: float) -> Gate:
        """Decide anew which numbers of an object may be published to."""
        entry = self._entries[ref]
        spec = entry.resource.spec
        if entry.at_rest or not isinstance(spec, Spec) or not spec.publish:
            entry.gate = OPEN
        else:
            entry.gate = gate_of(spec.rollout, entry.known, entry.gate, entry.begun, now)
        return entry.gate

    def admits(self, ref: NumberRef, seen: Observation, now: float) -> bool:
        """Tell whether a number may be published to, or has to wait for another one to prove the key."""
        gate = self._entries[ref.object].gate
        if not gate.rotation and has_another_key(seen):
            gate = self.judge(ref.object, now)
        return gate.admits(seen)

    def hold(self, ref: NumberRef, seen: Observation) -> Observation:
        """Leave a number until the rollout reaches it."""
        entry = self._entries[ref.object]
        entry.held.add(ref.number)
        seen = held(seen, entry.gate.words)
        self.put(ref.object, seen)
        return seen

    def release(self, ref: ObjectRef, now: float) -> list[str]:
        """Decide anew who has to wait; return the numbers that had to and are next, the others are told why not."""
        entry, gate, reached = self._entries[ref], self.judge(ref, now), []
        for number in [number for number in entry.known if number in entry.held]:
            seen = entry.known[number]
            if gate.admits(seen):
                entry.held.discard(number)
                reached.append(number)
                self.put(ref, released(seen, spreading=gate.leader is None))
            elif seen.reason is Reason.WAITING_FOR_ROLLOUT:
                self.put(ref, held(seen, gate.words))
        return reached

    def is_recorded(self, ref: NumberRef, seen: Observation) -> bool:
        """Tell whether the status that the API server holds shows a number's last publish."""
        if seen.published_at is None:
            return True
        row = self._entries[ref.object].resource.recorded.rows.get(ref.number)
        if row is None or row.published_at is None:
            return False
        return row.published_at >= int(seen.published_at) and row.publishes >= seen.publishes

    def writes(self, ref: ObjectRef, now: float) -> None:
        """Count a write of an object's status, whatever becomes of it."""
        entry = self._entries[ref]
        entry.written_at, entry.allowed = now, entry.allowed_at(now) - 1

    def wrote(self, ref: ObjectRef, version: str, status: dict[str, Any]) -> None:
        """Take note of the status that the API server holds now."""
        entry = self._entries[ref]
        entry.resource = replace(entry.resource, version=version, status=status, recorded=read_status(status))
        self._has_version(ref, version)

    def _has_version(self, ref: ObjectRef, version: str) -> None:
        """Forget a hint that came before the answer which it was about."""
        if self._unread.get(ref) == version:
            del self._unread[ref]
