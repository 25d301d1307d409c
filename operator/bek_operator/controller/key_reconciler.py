"""The key reconciler: from one object and the Secrets it names to a target for each number, and to its status.

It calls only the API server, so it is always quick. Mistakes in spec and Secrets are found here, as `Blocked` or as the
problem of a target; numbers whose target has changed are enqueued by the `Result`.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from bek_operator.cluster.secrets import SecretContent
from bek_operator.controller.derivations import DerivationReconciler
from bek_operator.controller.due import due_at, endpoint_due, number_due
from bek_operator.controller.result import Enqueue, Result
from bek_operator.controller.secret_cache import SecretCache, Wanted, bytes_of
from bek_operator.controller.secrets_state import REPLACEMENT_SECONDS
from bek_operator.controller.state import EndpointKey, KeyState, NumberKey, Running
from bek_operator.controller.status_writer import StatusWriter
from bek_operator.controller.store import Store
from bek_operator.controller.workqueue import Due, Limits, Priority
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import ObjectReason
from bek_operator.crd.status import Status
from bek_operator.crd.types import InvalidSpec, ObjectKey, Spec
from bek_operator.endpoint import facts as endpoint_facts
from bek_operator.endpoint.facts import EndpointFacts
from bek_operator.endpoint.target import EndpointTarget, endpoint_target
from bek_operator.keys.public_key import InvalidKey, PublicKey
from bek_operator.numbers.carry_over import adopted, expired, interrupts, restore_from_status, with_target
from bek_operator.numbers.endpoints import EgressPolicy, Missing, held_bytes, wanted_entries
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.target import Target, targets_of
from bek_operator.shares import Shares
from bek_operator.status.compute import Blocked, status_of
from bek_operator.times import Clock

_FORBIDDEN_SECONDS: Final = 60.0
"""A change of RBAC is not watched, so a forbidden Secret is read again after so long."""

_READING_BYTES: Final = 64 * 1024 * 1024
"""How much memory the Secrets of all objects take at most while they are read and used; those of a namespace half."""

_Secrets = Mapping[str, SecretContent | Missing]


class ObjectSource(Protocol):
    """Has the BusinessEncryptionKeys."""

    async def latest(self, ref: ObjectKey) -> BusinessEncryptionKey | None:
        """Return the object as the API server last showed it; `None` if it does not exist."""
        ...


class KeyReconciler:
    """Reconciles objects."""

    def __init__(
        self,
        *,
        store: Store,
        objects: ObjectSource,
        secrets: SecretCache,
        keys: DerivationReconciler,
        egress: EgressPolicy,
        writer: StatusWriter,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._objects = objects
        self._secrets = secrets
        self._keys = keys
        self._reading = Shares(_READING_BYTES, times=1)
        self._egress = egress
        self._writer = writer
        self._limits = limits
        self._clock = clock

    async def reconcile(self, ref: ObjectKey) -> Result:
        """Update the targets of an object's numbers, and its status.

        Numbers to enqueue are returned before the status is written, so that a write that fails or is slow does not
        delay them: the status follows in the next reconcile.
        """
        others = self._take_in(ref, await self._objects.latest(ref))
        if others.cancel or others.enqueue:
            return others
        state = self._store.get(ref)
        if state is None:
            return Result()
        changes = Result()
        if state.secrets.is_due(self._clock()):
            spec = state.resource.spec
            wanted = {} if isinstance(spec, InvalidSpec) else wanted_entries(spec)
            async with self._reading.reserve(ref.namespace, bytes_of(wanted)):
                with self._store.reading_secrets(ref) as since:
                    secrets = await self._read_secrets(state, wanted, since)
                    match await self._key(state, secrets):
                        case Result() as undecided:
                            return undecided
                        case Blocked() as blocked:
                            changes = self._block(state, blocked)
                        case spec, key:
                            changes = self._set_targets(state, spec, key, secrets)
        self._store.endpoints.forget_earlier(ref)
        now = self._clock()
        reached = self._enqueue(state, self._store.advance_rollout(ref, now), reached=True)
        enqueue = (*changes.enqueue, *reached)
        if enqueue or changes.cancel or state.key is None or (state.is_busy and now < state.write_at):
            return Result(cancel=changes.cancel, enqueue=enqueue, requeue=self._requeue(state, state.write_at))
        status = self._status(state, state.key, now)
        is_new = status != state.resource.status
        if is_new and (now < state.write_at or not await self._writer.write(state, status)):
            return Result(requeue=self._requeue(state, state.write_at))
        return Result(enqueue=self._enqueue(state, self._store.release(ref)), requeue=self._requeue(state))

    async def write_last(self, ref: ObjectKey) -> None:
        """Write an object's status if it lacks a publish, as the last thing that is done before the work ends.

        Raises:
            ClusterError: the API server did not answer.
        """
        state = self._store.get(ref)
        if state and state.key and not all(state.shows_publish(facts) for facts in state.facts.values()):
            await self._writer.write(state, self._status(state, state.key, self._clock()))

    def _status(self, state: KeyState, key: PublicKey | Blocked, now: float) -> Status:
        limited = self._rate_limited_count(state, now)
        endpoint = state.endpoint.facts if state.endpoint else None
        return status_of(state.resource, key, state.facts, now, endpoint=endpoint, rate_limited_count=limited)

    def _take_in(self, ref: ObjectKey, resource: BusinessEncryptionKey | None) -> Result:
        """Store an object; return the other objects that this affects, and its numbers to cancel if it is gone."""
        state, now = self._store.get(ref), self._clock()
        if resource is None:
            requeue, (cancel, others) = None, self._store.forget(ref)
        elif state and state.resource is resource:
            return Result()
        else:
            requeue, (cancel, others) = Due(at=now, priority=Priority.USER), self._store.put(resource)
        enqueue = tuple(Enqueue(other, Due(at=now)) for other in others)
        return Result(requeue=requeue, cancel=tuple(cancel), enqueue=enqueue)

    async def _read_secrets(self, state: KeyState, wanted: Wanted, since: int) -> _Secrets:
        spec, namespace = state.resource.spec, state.resource.ref.namespace
        secrets = await self._secrets.read(namespace, wanted, since=since)
        now = self._clock()
        versions = {name: "" if isinstance(one, Missing) else one.version for name, one in secrets.items()}
        content = None if isinstance(spec, InvalidSpec) else secrets[spec.key.secret]
        after = state.secrets.after_read(versions, now)
        if isinstance(content, SecretContent):
            after = after.with_writers(content.writers, now)
        if Missing.FORBIDDEN in secrets.values():
            after = replace(after, read_again_at=now + _FORBIDDEN_SECONDS)
        self._store.secrets_read(state.resource.ref, after)
        return secrets

    async def _key(self, state: KeyState, secrets: _Secrets) -> tuple[Spec, PublicKey] | Blocked | Result:
        """Return the key of an object, why it has none, or how to find that out later.

        Until then nothing is decided, and nothing is shown of what may be another spec.
        """
        ref, spec = state.resource.ref, state.resource.spec
        if state.secrets.missing_since is not None:
            return Result(requeue=Due(at=state.secrets.missing_since + REPLACEMENT_SECONDS))
        if isinstance(spec, InvalidSpec):
            return Blocked(spec.reason, spec.message)
        content = secrets[spec.key.secret]
        if isinstance(content, Missing):
            return Blocked(ObjectReason.SECRET_NOT_FOUND, f"Secret {spec.key.secret} {content}")
        try:
            key = await self._keys.parse(ref, content.data, spec.key.entry, spec.passphrase_entry)
        except InvalidKey as fault:
            return Blocked(ObjectReason.INVALID_KEY, f"Secret {spec.key.secret}: {fault}")
        if isinstance(key, PublicKey):
            return spec, key
        self._store.expire_secrets(ref)
        return Result(enqueue=(key,))

    def _set_targets(self, state: KeyState, spec: Spec, key: PublicKey, secrets: _Secrets) -> Result:
        """Set the target of each number; return the numbers to cancel, and those to enqueue."""
        ref = state.resource.ref
        before, now, had_no_key = state.facts, self._clock(), isinstance(state.key, Blocked)
        data = {name: one if isinstance(one, Missing) else one.data for name, one in secrets.items()}
        are_held, others = self._store.hold(ref, held_bytes(spec, data))
        if not are_held:
            data = {name: one if isinstance(one, Missing) else Missing.TOO_MUCH for name, one in data.items()}
        targets = targets_of(state.resource, spec, key, data, self._egress, self._store.denied(ref, spec))
        facts = {target.number: _facts(target, before.get(target.number), state, now) for target in targets}
        asking = self._set_endpoint(state, endpoint_target(state.resource, spec, key, targets, data, self._egress))
        self._store.set_targets(ref, key, facts.values(), now)
        called = {} if spec.suspend else {number: one for number, one in facts.items() if not one.target.problem}
        enqueue = []
        for number, one in called.items():
            known = before.get(number)
            # Nothing else enqueues a number that was interrupted.
            taken_up = had_no_key or (known is not None and known.resume_from is not None)
            due = number_due(one, max(one.retry_at, now) if taken_up else due_at(one, now), before=known)
            # A running reconcile continues with the new facts.
            if due and not isinstance(state.numbers[number].phase, Running):
                enqueue.append(Enqueue(NumberKey(ref, number), due))
        left = [NumberKey(ref, one) for one in before if one not in called or interrupts(called[one], before[one])]
        changed = (Enqueue(other, Due(at=now)) for other in others)
        return Result(cancel=(*asking.cancel, *left), enqueue=(*asking.enqueue, *enqueue, *changed))

    def _set_endpoint(self, state: KeyState, target: EndpointTarget | None) -> Result:
        """Set what to ask the Flow endpoint; return its key, to cancel and to enqueue as necessary."""
        ref, before, now = state.resource.ref, state.endpoint, self._clock()
        facts = _endpoint_facts(target, before.facts if before else None, state, now) if target else None
        self._store.endpoints.set(ref, facts)
        is_same = before is not None and facts is not None and before.facts.target == facts.target
        due = None if facts is None or state.is_suspended else endpoint_due(facts)
        key = EndpointKey(ref)
        return Result(
            cancel=() if before is None or (is_same and due) else (key,), enqueue=(Enqueue(key, due),) if due else ()
        )

    def _block(self, state: KeyState, blocked: Blocked) -> Result:
        ref = state.resource.ref
        self._store.block(ref, blocked)
        return Result(cancel=tuple(state.callees))

    def _enqueue(self, state: KeyState, numbers: Iterable[str], *, reached: bool = False) -> tuple[Enqueue, ...]:
        ref, now = state.resource.ref, self._clock()
        found = ((one, number_due(state.numbers[one].facts, now, reached=reached)) for one in numbers)
        return tuple(Enqueue(NumberKey(ref, one), due) for one, due in found if due)

    def _requeue(self, state: KeyState, write_at: float = math.inf) -> Due | None:
        """Return when an object is due again without an event."""
        now = self._clock()
        at = min(max(write_at, now), state.secrets.read_again_at, state.review_at(now))
        return None if at == math.inf else Due(at=at)

    def _rate_limited_count(self, state: KeyState, now: float) -> int:
        """Return how many numbers wait only for the rate limit of their API."""
        waiting = (one.target.limiter_key for one in state.facts.values() if not one.observed or one.check_requested)
        counts = Counter(waiting)
        return sum(
            count
            for limiter_key, count in counts.items()
            if self._limits.available_at(limiter_key, now, urgent=True) > now
        )


def _endpoint_facts(target: EndpointTarget, before: EndpointFacts | None, state: KeyState, now: float) -> EndpointFacts:
    """Return the facts about a Flow endpoint for its current target; one that was not asked for a while is asked."""
    if before is None:
        due = now + target.interval * random.random()  # noqa: S311 - jitter
        resource = state.resource
        facts = endpoint_facts.restored(target, resource.status, resource.generation, now=now, due=due)
    else:
        facts = endpoint_facts.with_target(before, target, now)
    overdue = isinstance(state.key, Blocked) and now >= facts.due
    return endpoint_facts.expired(facts, now) if not state.is_suspended and (state.inactive or overdue) else facts


def _facts(target: Target, before: NumberFacts | None, state: KeyState, now: float) -> NumberFacts:
    """Return the facts about a number for its current target.

    A number that could not be called for a while continues where it was, unless a check became due in between: then it
    counts as not checked.
    """
    resource = state.resource
    if before is None:
        # A signed number is checked at a random time within its interval, so that not all are checked right after a
        # restart.
        due = now + target.interval * random.random()  # noqa: S311 - jitter
        facts = restore_from_status(target, resource.status, resource.generation, now=now, due=due)
    else:
        facts = with_target(adopted(before, resource.status, resource.generation, now), target, now)
    overdue = isinstance(state.key, Blocked) and now >= facts.due
    return expired(facts, now) if not state.is_suspended and (state.inactive or overdue) else facts
