"""The store: everything the operator knows, from the first list of the objects to its end.

It alone is written to, by its methods and from the event loop only; whoever else holds a state of it only reads.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from bek_operator.controller.due import due_at
from bek_operator.controller.state import (
    AwaitingStatusWrite,
    Idle,
    KeyState,
    NumberKey,
    NumberState,
    Phase,
    Queued,
    Running,
    SecretIndex,
    SecretsState,
)
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import Status
from bek_operator.crd.types import InvalidSpec, ObjectKey, Spec
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.carry_over import with_target
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.ownership import Ownership
from bek_operator.numbers.rollout import OPEN, has_another_key
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import invalidated, paused, resumed
from bek_operator.status.compute import Blocked


class Store:
    """Objects, their numbers, which Secrets they name, and who owns which number.

    `lost` is told of a number that was signed and is found not to be, with the finding.
    """

    def __init__(self, lost: Callable[[Reason], None] = lambda _: None) -> None:
        self._lost = lost
        self._states: dict[ObjectKey, KeyState] = {}
        self._ownership = Ownership()
        self._secrets = SecretIndex()
        self._unread: dict[ObjectKey, str] = {}

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(list(self._states))

    def get(self, ref: ObjectKey) -> KeyState | None:
        """Return the state of an object."""
        return self._states.get(ref)

    def facts(self, ref: NumberKey) -> NumberFacts | None:
        """Return what is known of a number."""
        number = self._number(ref)
        return number.facts if number else None

    # Objects.

    def mark_unread(self, ref: ObjectKey, version: str = "") -> bool:
        """Record that an object has changed; return whether that version is new to this process."""
        state = self._states.get(ref)
        if state and version and version == state.resource.version:
            return False
        self._unread[ref] = version
        return True

    def take_unread(self, ref: ObjectKey) -> bool:
        """Return whether an object has to be read; from now on further events have it read again."""
        return self._unread.pop(ref, None) is not None or ref not in self._states

    def put(self, resource: BusinessEncryptionKey) -> tuple[list[NumberKey], list[ObjectKey]]:
        """Take in an object as it was just read; return numbers to be left alone, and other objects that this concerns.

        One that was re-created under its name is another.
        """
        ref, known = resource.ref, self._states.get(resource.ref)
        cancelled, woken = self.forget(ref) if known and known.resource.uid != resource.uid else ([], [])
        state = self._states.setdefault(ref, KeyState(resource))
        before, state.resource = state.resource, resource
        if before.generation != resource.generation:
            # The key may be in another Secret now.
            self._set_secrets(ref, replace(state.secrets, writers={}))
        if (before.generation, before.request) != (resource.generation, resource.request):
            self.expire_secrets(ref)
        self._is_version(ref, resource.version)
        return cancelled, [*woken, *self._expire_all(self._ownership.update(resource))]

    def forget(self, ref: ObjectKey) -> tuple[list[NumberKey], list[ObjectKey]]:
        """Drop an object that is gone; return its numbers, and the other objects that this concerns."""
        state = self._states.pop(ref, None)
        if state is None:
            return [], []
        self._secrets.replace(ref, state.secrets.versions, ())
        woken = self._expire_all(self._ownership.drop(state.resource))
        return [NumberKey(ref, number) for number in state.numbers], woken

    def denied(self, ref: ObjectKey, spec: Spec) -> dict[str, str]:
        """Return who manages them for those of an object's numbers that it must not manage."""
        return self._ownership.denied(self._states[ref].resource, spec)

    # Secrets.

    @contextmanager
    def reading_secrets(self, ref: ObjectKey) -> Iterator[None]:
        """Have an object's Secrets count as read; an event from now on, or an error, has them read again."""
        spec, before = self._states[ref].resource.spec, self._states[ref].secrets
        names = () if isinstance(spec, InvalidSpec) else spec.secrets
        versions = {name: before.versions.get(name, "") for name in names}
        self._set_secrets(ref, replace(before, versions=versions, stale=False, read_again_at=math.inf))
        try:
            yield
        except BaseException:
            self.expire_secrets(ref)
            raise

    def secrets_read(self, ref: ObjectKey, secrets: SecretsState) -> None:
        """Take in what was found of an object's Secrets."""
        self._set_secrets(ref, secrets)

    def expire_secrets(self, ref: ObjectKey) -> None:
        """Have an object's Secrets read again."""
        self._set_secrets(ref, replace(self._states[ref].secrets, stale=True))

    def secret_changed(self, namespace: str, name: str, version: str) -> list[ObjectKey]:
        """Record a Secret's new version (empty: it is gone); return the objects that were made from another one."""
        naming = self._secrets.naming(namespace, name)
        return self._expire_all(
            ref for ref in naming if not version or self._states[ref].secrets.versions.get(name) != version
        )

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
        """Record why an object has no key; its numbers are left as they are."""
        state = self._states[ref]
        state.key, state.inactive = blocked, state.inactive or state.is_suspended
        self._after_targets(state)

    def set_targets(self, ref: ObjectKey, key: PublicKey, facts: Collection[NumberFacts], now: float) -> None:
        """Take in what is known of each of an object's numbers for its present target, in the spec's order."""
        state, before = self._states[ref], self._states[ref].numbers
        had_no_key = isinstance(state.key, Blocked)
        state.key, state.numbers, state.inactive = key, {}, state.is_suspended
        for one in facts:
            number = before.get(one.target.number)
            if number is None or number.facts is not one:
                # The number that went first may not be the one that can any more.
                state.gate = OPEN
            taken_up = number is None or had_no_key or number.facts.resume_from is not None
            if number is None:
                number = NumberState(one)
            elif number.facts.target != one.target:
                # What is under way is interrupted.
                number.phase = Idle()
            paused = number.paused or (taken_up and one.reason is Reason.WAITING_FOR_ROLLOUT)
            number.facts, number.paused = one, paused and not one.target.problem
            if due_at(one, now) <= now and not isinstance(number.phase, Running):
                number.phase = Queued()
            state.numbers[one.target.number] = number
        self._after_targets(state)
        if state.is_busy:
            state.write_limit = state.write_limit.after_change(now)

    def _after_targets(self, state: KeyState) -> None:
        for number in state.numbers.values() if state.is_at_rest else ():
            number.phase = Idle()
        state.unfinished = sum(number.is_unfinished for number in state.numbers.values())

    # Work on numbers.

    def start(self, ref: NumberKey, now: float) -> NumberFacts | None:
        """Record that a number is being worked on; return what is known of it."""
        if self._number(ref):
            self._update(ref, phase=Running(now))
        return self.facts(ref)

    def stop(self, ref: NumberKey, phase: Phase) -> bool:
        """Record that the work on a number has ended; return whether its row looks different now."""
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
        """Take in what a call for a target led to.

        Where the target has been replaced meanwhile the outcome is worth nothing, but a publish has changed what the
        API holds, so that what was read before is worth nothing either.
        """
        facts = self.facts(ref)
        if facts is None:
            return
        known = facts.resume_from or facts
        if known.target == target:
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
        state.unfinished -= number.is_unfinished
        if facts:
            if isinstance(number.phase, Running) and facts.shown != number.facts.shown:
                number.phase = replace(number.phase, changed=True)
            number.facts = facts
        number.phase = phase or number.phase
        state.unfinished += number.is_unfinished

    # The rollout.

    def allows(self, ref: NumberKey, facts: NumberFacts, now: float) -> bool:
        """Return whether a number may be published to, or has to wait until another one has verified the key."""
        state = self._states[ref.object]
        if not state.gate.rotation and has_another_key(facts):
            state.gate = state.judge(now)
        return state.gate.allows(facts)

    def pause(self, ref: NumberKey, facts: NumberFacts) -> NumberFacts:
        """Have a number wait until the rollout reaches it; it goes on being checked."""
        state = self._states[ref.object]
        state.numbers[ref.number].paused = True
        facts = paused(facts, state.gate.message)
        self._update(ref, facts=facts)
        return facts

    def advance_rollout(self, ref: ObjectKey, now: float) -> list[str]:
        """Decide anew which numbers may be published to; return those that had to wait and are next."""
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
            elif one.facts.reason is Reason.WAITING_FOR_ROLLOUT:
                self._update(NumberKey(ref, number), facts=paused(one.facts, gate.message))
        return self._queue(ref, reached)

    # The status.

    def count_write(self, ref: ObjectKey, now: float) -> None:
        """Count a write of an object's status, whatever becomes of it."""
        state = self._states[ref]
        state.write_limit = state.write_limit.after_write(now)

    def status_written(self, ref: ObjectKey, version: str, status: Status) -> None:
        """Record the status that the API server holds now."""
        state = self._states[ref]
        state.resource = replace(state.resource, version=version, status=status)
        self._is_version(ref, version)

    def release(self, ref: ObjectKey) -> list[str]:
        """Return the numbers that waited for the status to show their last publish; they are next."""
        numbers = self._states[ref].numbers
        return self._queue(ref, [name for name, one in numbers.items() if isinstance(one.phase, AwaitingStatusWrite)])

    def _queue(self, ref: ObjectKey, numbers: list[str]) -> list[str]:
        """Have numbers worked on; return them but for those that are, which go on by what is known now."""
        found = [number for number in numbers if not isinstance(self._states[ref].numbers[number].phase, Running)]
        for number in found:
            self._update(NumberKey(ref, number), phase=Queued())
        return found

    def _is_version(self, ref: ObjectKey, version: str) -> None:
        """Drop an event that came before the answer which it was about."""
        if self._unread.get(ref) == version:
            del self._unread[ref]
