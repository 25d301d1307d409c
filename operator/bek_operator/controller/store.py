"""The store: the whole state of the operator.

Only its methods change state, and only from the event loop; others only read it.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from bek_operator.controller.due import due_at
from bek_operator.controller.endpoint_store import EndpointStore
from bek_operator.controller.quota import Quota
from bek_operator.controller.secrets_state import SecretIndex, SecretsState
from bek_operator.controller.state import (
    AwaitingStatusWrite,
    EndpointKey,
    Idle,
    KeyState,
    NumberKey,
    NumberState,
    Phase,
    Queued,
    Running,
    Work,
)
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import HELD, Reason
from bek_operator.crd.types import InvalidSpec, ObjectKey, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.carry_over import interrupts, with_target
from bek_operator.numbers.endpoints import MOST_HELD_BYTES
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.ownership import Ownership
from bek_operator.numbers.rollout import OPEN, has_another_key
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import invalidated, paused, resumed
from bek_operator.status.compute import Blocked


class Store:
    """Objects with their numbers, endpoints and Secrets, and who owns which number; `lost` takes each loss found."""

    def __init__(self, lost: Callable[[Reason], None] = lambda _: None) -> None:
        self._lost = lost
        self._states: dict[ObjectKey, KeyState] = {}
        self.endpoints = EndpointStore(self._states)
        self._ownership = Ownership()
        self._secrets = SecretIndex()
        self._held = Quota(MOST_HELD_BYTES)
        self._sequence = 0

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(list(self._states))

    def get(self, ref: ObjectKey) -> KeyState | None:
        """Return the state of an object."""
        return self._states.get(ref)

    def facts(self, ref: NumberKey) -> NumberFacts | None:
        """Return the facts about a number."""
        return number.facts if (number := self._number(ref)) else None

    # Objects.

    def put(self, resource: BusinessEncryptionKey) -> tuple[list[NumberKey | EndpointKey], list[ObjectKey]]:
        """Store an object; return what to cancel, and other objects that this affects.

        One that was re-created under the same name is a new one; so is one that is over its namespace's quota now, or
        no longer. A status of another process may show its publishes.
        """
        ref, known = resource.ref, self._states.get(resource.ref)
        is_new = known and (known.resource.uid, known.resource.is_over_quota) != (resource.uid, resource.is_over_quota)
        cancelled, woken = self.forget(ref) if is_new else ([], [])
        if ref not in self._states:
            self._states[ref] = KeyState(resource)
            self.expire_secrets(ref)
        state = self._states[ref]
        before, state.resource = state.resource, resource
        if before.generation != resource.generation:
            self._set_secrets(ref, state.secrets.for_another_spec())
        if any(getattr(before, one) != getattr(resource, one) for one in ("generation", "request", "status")):
            self.expire_secrets(ref)
        return cancelled, [*woken, *self._expire_all(self._ownership.update(resource))]

    def forget(self, ref: ObjectKey) -> tuple[list[NumberKey | EndpointKey], list[ObjectKey]]:
        """Drop a deleted object; return what to cancel, and the other objects that this affects."""
        state = self._states.pop(ref, None)
        if state is None:
            return [], []
        self._secrets.replace(ref, state.secrets.versions, ())
        return state.callees, self._expire_all({*self._ownership.drop(state.resource), *self._held.drop(ref)})

    def denied(self, ref: ObjectKey, spec: Spec) -> dict[str, str]:
        """Return for each number that an object must not manage a message that names the owner."""
        return self._ownership.denied(self._states[ref].resource, spec)

    # Secrets.

    @property
    def sequence(self) -> int:
        """Return a number that grows whenever Secrets become stale, to order reads and changes."""
        return self._sequence

    @contextmanager
    def reading_secrets(self, ref: ObjectKey) -> Iterator[int]:
        """Mark an object's Secrets as read; a later event, or an error, marks them as stale again.

        Yields the sequence number that a read of them must have at least.
        """
        if self._states[ref].secrets.stale_since is None:
            self.expire_secrets(ref)
        spec, before = self._states[ref].resource.spec, self._states[ref].secrets
        names = () if isinstance(spec, InvalidSpec) else spec.secrets
        versions = {name: before.versions.get(name, "") for name in names}
        self._set_secrets(ref, replace(before, versions=versions, stale_since=None, read_again_at=math.inf))
        try:
            yield before.stale_since or 0
        except BaseException:
            self.expire_secrets(ref)
            raise

    def secrets_read(self, ref: ObjectKey, secrets: SecretsState) -> None:
        """Store the state of an object's Secrets; while one is missing for a moment they stay stale."""
        self._set_secrets(ref, secrets)
        if secrets.missing_since is not None:
            self.expire_secrets(ref)

    def expire_secrets(self, ref: ObjectKey) -> None:
        """Mark an object's Secrets as stale."""
        self._sequence += 1
        self._set_secrets(ref, replace(self._states[ref].secrets, stale_since=self._sequence))

    def secret_changed(self, namespace: str, name: str, version: str) -> list[ObjectKey]:
        """Mark a Secret as stale for the objects that used another version (empty: it is gone); return these."""
        naming = self._secrets.naming(namespace, name)
        return self._expire_all(
            ref for ref in naming if not version or self._states[ref].secrets.versions.get(name) != version
        )

    def hold(self, ref: ObjectKey, size: int) -> tuple[bool, list[ObjectKey]]:
        """Record how many bytes of Secrets an object's numbers need; return whether they can be held.

        With the other objects for which that is different now.
        """
        changed = self._held.update(self._states[ref].resource, size)
        return self._held.serves(ref), self._expire_all(changed)

    def _expire_all(self, refs: Iterable[ObjectKey]) -> list[ObjectKey]:
        found = [ref for ref in refs if ref in self._states]
        for ref in found:
            self.expire_secrets(ref)
        return found

    def _set_secrets(self, ref: ObjectKey, secrets: SecretsState) -> None:
        state = self._states[ref]
        self._secrets.replace(ref, state.secrets.versions, secrets.versions)
        state.secrets = secrets

    # Targets.

    def block(self, ref: ObjectKey, blocked: Blocked) -> None:
        """Record why an object has no usable key; its numbers are left as they are."""
        state = self._states[ref]
        state.key, state.inactive = blocked, state.inactive or state.is_suspended
        self._after_targets(state)

    def set_targets(self, ref: ObjectKey, key: PublicKey, facts: Collection[NumberFacts], now: float) -> None:
        """Store the facts about each of an object's numbers for its current target, in the spec's order."""
        state, before = self._states[ref], self._states[ref].numbers
        had_no_key = isinstance(state.key, Blocked)
        state.key, state.numbers, state.inactive = key, {}, state.is_suspended
        for one in facts:
            number = before.get(one.target.number)
            if number is None or number.facts is not one:
                # Another number may have to be the canary now.
                state.gate = OPEN
            taken_up = number is None or had_no_key or number.facts.resume_from is not None
            if number is None:
                number = NumberState(one)
            elif interrupts(one, number.facts):
                # A running reconcile is cancelled.
                number.phase = Idle()
            paused = number.paused or (taken_up and one.reason in HELD)
            number.facts, number.paused = one, paused and not one.target.problem
            if due_at(one, now) <= now and not isinstance(number.phase, Running):
                number.phase = Queued()
            state.numbers[one.target.number] = number
        self._after_targets(state)
        if state.is_busy:
            state.write_limit = state.write_limit.after_change(now)

    def _after_targets(self, state: KeyState) -> None:
        callees = [*state.numbers.values(), *([state.endpoint] if state.endpoint else ())]
        for one in callees if state.is_at_rest else ():
            one.phase = Idle()
        state.work = Work.on(callees)

    # Work on numbers.

    def start(self, ref: NumberKey, now: float) -> NumberFacts | None:
        """Record that a number is being reconciled; return its facts."""
        if self._number(ref):
            self._update(ref, phase=Running(now))
        return self.facts(ref)

    def stop(self, ref: NumberKey, phase: Phase) -> bool:
        """Record that the reconcile of a number has ended; return whether its row has changed."""
        number = self._number(ref)
        if number is None or not isinstance(number.phase, Running):
            return False
        changed = number.phase.changed
        self._update(ref, phase=phase)
        return changed

    def record(
        self,
        ref: NumberKey,
        target: Target,
        update: Callable[[NumberFacts], NumberFacts],
        now: float,
        *,
        published: bool = False,
    ) -> None:
        """Record the outcome of a call for a target.

        If the target was replaced during the call, the outcome is dropped; but a publish has changed the key at the
        API, so the last reading is dropped, too.
        """
        facts = self.facts(ref)
        if facts is None:
            return
        known = facts.resume_from or facts
        if known.target.is_called_like(target):
            before, known = known.published.lost, update(known)
            if known.published.lost not in {None, before}:
                self._lost(known.published.lost)
        elif published:
            known = invalidated(known, target, now)
        self._update(ref, facts=with_target(known, facts.target, now))

    def _number(self, ref: NumberKey) -> NumberState | None:
        state = self._states.get(ref.object)
        return state.numbers.get(ref.number) if state else None

    def _update(self, ref: NumberKey, *, facts: NumberFacts | None = None, phase: Phase | None = None) -> None:
        state = self._states[ref.object]
        number = state.numbers[ref.number]
        state.work.remove(number)
        if facts:
            if isinstance(number.phase, Running) and not number.phase.changed:
                number.phase = Running(number.phase.since, changed=not facts.looks_like(number.facts))
            number.facts = facts
        number.phase = phase or number.phase
        state.work.add(number)

    # The rollout.

    def allows(self, ref: NumberKey, facts: NumberFacts, now: float) -> bool:
        """Return whether the rollout permits a publish to a number."""
        state = self._states[ref.object]
        begins = not state.gate.rotation and has_another_key(facts)
        if begins or state.gate.unproven is not state.is_unproven:
            state.gate = state.judge(now)
        return state.gate.allows(facts)

    def pause(self, ref: NumberKey, facts: NumberFacts) -> NumberFacts:
        """Pause a number until the gate permits a publish to it; it is still checked."""
        state = self._states[ref.object]
        state.numbers[ref.number].paused = True
        facts = paused(facts, state.gate.hold)
        self._update(ref, facts=facts)
        return facts

    def advance_rollout(self, ref: ObjectKey, now: float) -> list[str]:
        """Update the rollout gate; return the paused numbers that it now permits."""
        state, reached = self._states[ref], []
        if state.is_at_rest:
            return []
        gate = state.gate = state.judge(now)
        for number, one in state.numbers.items():
            if not one.paused:
                continue
            if gate.allows(one.facts):
                one.paused = False
                self._update(NumberKey(ref, number), facts=resumed(one.facts, spreading=gate.canary is None))
                reached.append(number)
            elif one.facts.hold not in {None, gate.hold}:
                self._update(NumberKey(ref, number), facts=paused(one.facts, gate.hold))
        return self._queue(ref, reached)

    # The status.

    def count_write(self, ref: ObjectKey, now: float) -> None:
        """Count a write of an object's status, successful or not."""
        state = self._states[ref]
        state.write_limit = state.write_limit.after_write(now)

    def status_written(self, resource: BusinessEncryptionKey) -> None:
        """Record the object as the API server holds it after a write of its status."""
        self._states[resource.ref].resource = resource

    def release(self, ref: ObjectKey) -> list[str]:
        """Queue and return the numbers that waited for the status to show their last publish."""
        numbers = self._states[ref].numbers
        return self._queue(ref, [name for name, one in numbers.items() if isinstance(one.phase, AwaitingStatusWrite)])

    def _queue(self, ref: ObjectKey, numbers: list[str]) -> list[str]:
        """Queue numbers and return them, except running ones, which continue with the new facts."""
        found = [number for number in numbers if not isinstance(self._states[ref].numbers[number].phase, Running)]
        for number in found:
            self._update(NumberKey(ref, number), phase=Queued())
        return found
