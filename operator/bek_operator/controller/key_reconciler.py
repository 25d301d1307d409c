"""Plan: read one object and the Secrets it names, and decide for each of its numbers which key belongs where.

Talks to the API server only, so it is always quick. What a person got wrong ends here, as an `Obstacle` or as the
problem of a target; numbers whose target has changed are handed on to be signed.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable
from typing import Protocol

from bek_operator.cluster.errors import Forbidden
from bek_operator.cluster.secrets import MOST_WRITERS, SecretContent
from bek_operator.controller.clock import Clock
from bek_operator.controller.number_queue import NumberQueue
from bek_operator.controller.store import KeyState, NumberKey, Store
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.crd.types import InvalidSpec, ObjectKey, Spec
from bek_operator.keys.cache import KeyCache
from bek_operator.keys.public_key import InvalidKey, PublicKey
from bek_operator.numbers.endpoints import EgressPolicy, Missing
from bek_operator.numbers.observation import expired, restore_from_status, with_target
from bek_operator.numbers.rollout import OPEN
from bek_operator.numbers.target import Target, targets_of
from bek_operator.status.compute import Blocked

log = logging.getLogger(__name__)

VANISHED_SECONDS = 2.0
"""A Secret that is replaced by deleting and creating it is gone for a moment; nothing is made of that."""

_FORBIDDEN_SECONDS = 60.0
_WRITERS_KEPT_SECONDS = 3600.0


class ObjectReader(Protocol):
    """Where BusinessEncryptionKeys come from."""

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return the object, `None` when there is none."""
        ...


class SecretSource(Protocol):
    """Where Secrets come from."""

    async def read(self, namespace: str, name: str) -> SecretContent | None:
        """Return the Secret's content, `None` when there is none."""
        ...


class KeyReconciler:
    """Makes the targets of one object at a time; `again` has an object planned at a later instant."""

    def __init__(
        self,
        *,
        store: Store,
        objects: ObjectReader,
        secrets: SecretSource,
        keys: KeyCache,
        egress: EgressPolicy,
        numbers: NumberQueue,
        again: Callable[[ObjectKey, float], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._objects = objects
        self._secrets = secrets
        self._keys = keys
        self._egress = egress
        self._numbers = numbers
        self._again = again
        self._clock = clock

    async def plan(self, ref: ObjectKey) -> KeyState | None:
        """Bring the board up to date about an object; `None` where there is nothing to report.

        That is when the object is gone or going, or when one of its Secrets may come back in a moment.

        Raises:
            ClusterError: the API server did not answer; nothing was changed.
        """
        if self._store.begin_reading(ref):
            await self._read(ref)
        entry = self._store.get(ref)
        if entry and (entry.secrets_stale or self._clock() >= entry.look_again_at) and not await self._plan(ref, entry):
            return None
        if entry and entry.look_again_at < math.inf:
            # Of several additions the earliest wins, so this has to be added again after each pass.
            self._again(ref, entry.look_again_at)
        return entry

    async def _read(self, ref: ObjectKey) -> None:
        try:
            resource = await self._objects.read(*ref)
        except BaseException:
            self._store.hear(ref)
            raise
        if resource is None or resource.deleted:
            self.forget(ref)
        else:
            self.adopt(resource)

    def adopt(self, resource: BusinessEncryptionKey) -> None:
        """Take in an object as it was just read; one that was re-created under its name is another."""
        known = self._store.get(resource.ref)
        if known and known.resource.uid != resource.uid:
            self.forget(resource.ref)
        self._store.adopt(resource)
        self._wake(self._store.ownership.update(resource))

    def forget(self, ref: ObjectKey) -> None:
        """Let go of an object: nobody is told, since the API knows no way to take a key back."""
        entry = self._store.forget(ref)
        if entry:
            self._stop(ref, entry)
            self._wake(self._store.ownership.drop(entry.resource))

    def _wake(self, others: Iterable[ObjectKey]) -> None:
        for ref in others:
            other = self._store.get(ref)
            if other:
                other.secrets_stale = True
                self._again(ref, self._clock())

    def _stop(self, ref: ObjectKey, entry: KeyState) -> None:
        for number in entry.known:
            self._numbers.stop(NumberKey(ref, number))
        entry.active.clear()

    async def _plan(self, ref: ObjectKey, entry: KeyState) -> bool:
        """Make an object's targets from its Secrets; tell whether that was to be done now."""
        spec, had_no_key = entry.resource.spec, isinstance(entry.key, Blocked)
        # Whatever is heard of a Secret from here on is news: it may not be in what is read.
        entry.secrets_stale, entry.look_again_at = False, math.inf
        try:
            if isinstance(spec, InvalidSpec):
                entry.key = Blocked(ObjectReason.INVALID_SPEC, spec.message)
            else:
                self._store.refer(ref, entry, {name: entry.secrets.get(name, "") for name in spec.secrets})
                found = await self._read_secrets(ref, spec)
                if self._is_a_moment_ago(ref, entry, found):
                    return False
                self._store.refer(ref, entry, {name: _version(one) for name, one in found.items()})
                entry.key = await self._key(spec, found)
                self._see_writers(entry, found[spec.key.secret])
                if isinstance(entry.key, PublicKey):
                    self._place(ref, entry, entry.key, spec, found, had_no_key=had_no_key)
        except BaseException:
            entry.secrets_stale = True
            raise
        if isinstance(entry.key, Blocked):
            self._stop(ref, entry)
        suspended = isinstance(spec, Spec) and spec.suspend
        entry.inactive = suspended or (entry.inactive and isinstance(entry.key, Blocked))
        return True

    async def _read_secrets(self, ref: ObjectKey, spec: Spec) -> dict[str, SecretContent | Missing]:
        names = sorted(spec.secrets)
        return dict(zip(names, await asyncio.gather(*(self._read_secret(ref, name) for name in names)), strict=True))

    async def _read_secret(self, ref: ObjectKey, name: str) -> SecretContent | Missing:
        try:
            return await self._secrets.read(ref.namespace, name) or Missing.ABSENT
        except Forbidden as error:
            # Nobody tells when a role is mended, so this is looked at again before long.
            log.warning("a Secret may not be read: %s", error)
            self._look_again(ref, _FORBIDDEN_SECONDS)
            return Missing.FORBIDDEN

    def _is_a_moment_ago(self, ref: ObjectKey, entry: KeyState, found: dict[str, SecretContent | Missing]) -> bool:
        """Tell whether a Secret that was there is missing, and has not been for long."""
        now = self._clock()
        if not any(isinstance(content, Missing) and entry.secrets.get(name) for name, content in found.items()):
            entry.missing_since = None
            return False
        if entry.missing_since is None:
            entry.missing_since = now
        if now - entry.missing_since >= VANISHED_SECONDS:
            # What is to be told of it has waited since then.
            entry.unwritten_since = min(entry.unwritten_since or now, entry.missing_since)
            entry.missing_since = None
            return False
        # Until then nothing is to be made of what was planned before.
        entry.secrets_stale = True
        self._again(ref, entry.missing_since + VANISHED_SECONDS)
        return True

    def _look_again(self, ref: ObjectKey, seconds: float) -> None:
        entry = self._store.get(ref)
        if entry:
            entry.look_again_at = min(entry.look_again_at, self._clock() + seconds)

    async def _key(self, spec: Spec, found: dict[str, SecretContent | Missing]) -> PublicKey | Blocked:
        content = found[spec.key.secret]
        if isinstance(content, Missing):
            return Blocked(ObjectReason.SECRET_NOT_FOUND, f"Secret {spec.key.secret} {content}")
        try:
            return await self._keys.parse(content.data, spec.key.entry, spec.passphrase_entry)
        except InvalidKey as fault:
            return Blocked(ObjectReason.INVALID_KEY, f"Secret {spec.key.secret}: {fault}")

    def _see_writers(self, entry: KeyState, content: SecretContent | Missing) -> None:
        """Take note of the key's field managers: of two that overwrite each other the metadata names only the last."""
        if isinstance(content, SecretContent):
            now = self._clock()
            seen = {**entry.writers, **dict.fromkeys(content.writers, now)}
            latest = sorted(seen, key=lambda name: seen[name], reverse=True)[:MOST_WRITERS]
            entry.writers = {name: seen[name] for name in latest if now - seen[name] < _WRITERS_KEPT_SECONDS}

    def _place(
        self,
        ref: ObjectKey,
        entry: KeyState,
        key: PublicKey,
        spec: Spec,
        found: dict[str, SecretContent | Missing],
        *,
        had_no_key: bool,
    ) -> None:
        claimed = self._store.ownership.denied(entry.resource, spec)
        secrets = {name: one if isinstance(one, Missing) else one.data for name, one in found.items()}
        targets = targets_of(entry.resource, spec, key, secrets, self._egress, claimed)
        for number in entry.known.keys() - {target.number for target in targets}:
            self._numbers.stop(NumberKey(ref, number))
            self._store.drop(ref, number)
        for target in targets:
            self._aim(ref, entry, target, suspended=spec.suspend, had_no_key=had_no_key)
        entry.known = {target.number: entry.known[target.number] for target in targets}

    def _aim(self, ref: ObjectKey, entry: KeyState, target: Target, *, suspended: bool, had_no_key: bool) -> None:
        """Set a number's target, and have it worked on when that changed anything.

        A number that could not be called for a while goes on where it was; if a check has come due meanwhile,
        that goes before anything that is said of it.
        """
        now = self._clock()
        number = NumberKey(ref, target.number)
        before = entry.known.get(target.number)
        if before and before.target == target:
            seen = before
        elif before:
            self._numbers.interrupt(number)
            seen = with_target(before, target, now)
        else:
            # A number that was well is looked at again at some time within its interval, so that a restart does
            # not have all of them asked at once.
            due = now + target.interval * random.random()  # noqa: S311 - jitter
            seen = restore_from_status(target, entry.resource.recorded, entry.resource.generation, now=now, due=due)
        resumed = had_no_key or (before is not None and before.resume_from is not None)
        if seen.reason is Reason.WAITING_FOR_ROLLOUT and (before is None or resumed):
            entry.paused.add(target.number)
        if not suspended and (entry.inactive or (had_no_key and now >= seen.due)):
            seen = expired(seen, now)
        if seen is not before:
            # Whoever went first may not be the one who can any more.
            entry.gate = OPEN
        self._store.put(ref, seen)
        if suspended or target.problem:
            self._numbers.stop(number)
            entry.active.discard(target.number)
            if target.problem:
                entry.paused.discard(target.number)
            return
        due = max(seen.retry_at, seen.due if seen.observed else now)
        if due <= now:
            entry.active.add(target.number)
        # Nothing else would take up what was left halfway.
        self._numbers.enqueue(number, seen, max(seen.retry_at, now) if resumed else due, before=before)


def _version(content: SecretContent | Missing) -> str:
    return "" if isinstance(content, Missing) else content.version
