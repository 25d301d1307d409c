"""The reign: from taking charge to the end of it, one board and the rooms that work on it.

Watch, plan, sign, report: hints about objects and Secrets come in here, objects are planned and reported one pass
at a time, numbers are signed beside them.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from bek_operator.cluster.errors import ClusterError, NotFound
from bek_operator.cluster.objects import NOT_INSTALLED
from bek_operator.controller.clock import Clock
from bek_operator.controller.key_reconciler import KeyReconciler, ObjectReader, SecretSource
from bek_operator.controller.number_queue import NumberQueue
from bek_operator.controller.number_reconciler import NumberReconciler
from bek_operator.controller.status_writer import EventPoster, StatusClient, StatusWriter
from bek_operator.controller.store import KeyState, NumberKey, Store
from bek_operator.controller.workers import RetryLater, Workers
from bek_operator.controller.workqueue import Doubt, Limits, Priority, WorkQueue
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey
from bek_operator.keys.cache import KeyCache
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.numbers.endpoints import EgressPolicy
from bek_operator.numbers.observation import Observation
from bek_operator.whatsapp.backend import Backend

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
_PASSES_AT_ONCE = 8

_SECONDS_BETWEEN_PASSES = 0.05
"""A pass looks at every number of its object, so not each of a thousand numbers that come in gets one of its own."""


class ObjectStore(ObjectReader, StatusClient, Protocol):
    """The BusinessEncryptionKeys of the served namespaces."""

    def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the reign works with; `lanes` tells how much of it one API host or token can take."""

    objects: ObjectStore
    secrets: SecretSource
    events: EventPoster
    backend: Backend[Endpoint]
    limits: Limits


class Manager:
    """Takes charge of all objects when run, until cancelled."""

    def __init__(self, ports: Ports, egress: EgressPolicy, concurrency: int, clock: Clock) -> None:
        self._ports = ports
        self._clock = clock
        self._store = Store()
        self.synced = asyncio.Event()
        self._to_list = asyncio.Event()
        self._objects: Workers[ObjectKey] = Workers(
            "objects", WorkQueue(), self._reconcile_object, _PASSES_AT_ONCE, clock
        )
        shares = {Doubt.NEW: max(concurrency * 3 // 4, 1), Doubt.FAILED: max(concurrency // 2, 1)}
        queue: WorkQueue[NumberKey] = WorkQueue(limits=ports.limits, shares=shares)
        self._signing: Workers[NumberKey] = Workers(
            "numbers", queue, self._reconcile_number, concurrency, clock, spare=concurrency // 2
        )
        self._numbers = NumberQueue(self._signing)
        self._planner = KeyReconciler(
            store=self._store,
            objects=ports.objects,
            secrets=ports.secrets,
            keys=KeyCache(),
            egress=egress,
            numbers=self._numbers,
            again=self._objects.add,
            clock=clock,
        )
        self._signer = NumberReconciler(
            store=self._store, backend=ports.backend, wait=self._wait, report=self._number_changed, clock=clock
        )
        self._reporter = StatusWriter(
            store=self._store,
            objects=ports.objects,
            events=ports.events,
            again=self._objects.add,
            recorded=self._recorded,
            limits=ports.limits,
            clock=clock,
        )

    def on_object_event(self, namespace: str, name: str, version: str) -> None:
        """Hear that an object was added, changed or (without version) deleted; nothing is believed of it."""
        ref = ObjectKey(namespace, name)
        if self._store.hear(ref, version):
            self._objects.add(ref, self._clock(), priority=Priority.USER)

    def on_secret_event(self, namespace: str, name: str, version: str) -> None:
        """Hear that a Secret was added, changed or (without version) deleted."""
        for ref in self._store.referrers(namespace, name):
            entry = self._store.get(ref)
            if entry and (not version or entry.secrets.get(name) != version):
                entry.secrets_stale = True
                self._objects.add(ref, self._clock(), priority=Priority.KEY)

    async def run(self) -> None:
        """Take charge: read all objects once, then work on what is due until cancelled."""
        await self._sync()
        self.synced.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._objects.run())
            group.create_task(self._signing.run())
            group.create_task(self._resync())

    async def _sync(self) -> None:
        """Read every object before the first is worked on, so that claims are known when the first one is planned."""
        found = await self._list_until_synced()
        for resource in found:
            self._planner.adopt(resource)
            self._objects.add(resource.ref, self._clock())
        log.info("took charge", extra={"objects": len(found)})

    async def _list_until_synced(self) -> list[BusinessEncryptionKey]:
        pause = 0.5
        told = False
        while True:
            try:
                return [resource async for resource in self._ports.objects.list() if not resource.deleted]
            except NotFound:
                if not told:
                    log.warning(NOT_INSTALLED)
                told = True
            except ClusterError as error:
                log.warning("the objects cannot be listed: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 15.0)

    def list_anew(self) -> None:
        """List the objects soon: some may have gone, and nobody told."""
        self._to_list.set()

    async def _resync(self) -> None:
        """List the objects now and then: a watch that had to begin anew does not tell what went meanwhile.

        Their Secrets are read again, too, spread over the time to the next sweep: not every one of them need be
        watched, and of those that are the same holds.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._to_list.wait()
            self._to_list.clear()
            try:
                found = await self._list_versions()
            except ClusterError as error:
                log.warning("the objects cannot be listed: %s", error)
                continue
            for ref in {*found, *self._store}:
                self.on_object_event(ref.namespace, ref.name, found.get(ref, ""))
                entry = self._store.get(ref)
                if entry:
                    entry.secrets_stale = True
                    self._objects.add(ref, self._clock() + RESYNC_SECONDS * random.random())  # noqa: S311 - spreads reads

    async def _list_versions(self) -> dict[ObjectKey, str]:
        try:
            return {resource.ref: resource.version async for resource in self._ports.objects.list()}
        except NotFound:  # the definition is gone, and so is every object
            return {}

    async def _reconcile_object(self, ref: ObjectKey) -> None:
        try:
            entry = await self._planner.plan(ref)
            if entry:
                self._advance_rollout(ref, entry)
                await self._reporter.report(ref, entry)
        except ClusterError as error:
            raise RetryLater(str(error)) from error

    def _advance_rollout(self, ref: ObjectKey, entry: KeyState) -> None:
        """Go on with the numbers that the rollout has reached."""
        if entry.at_rest:
            return
        now = self._clock()
        self._go_on(ref, entry, self._store.resume(ref, now), reached=True)
        if entry.gate.review_at is not None:
            self._objects.add(ref, entry.gate.review_at)

    async def _reconcile_number(self, ref: NumberKey) -> None:
        await self._signer.reconcile(ref)

    def _wait(self, ref: NumberKey, seen: Observation, until: float | None) -> None:
        entry = self._store.get(ref.object)
        if entry is None or entry.at_rest:
            return
        if until is None:
            entry.awaiting_status_write.add(ref.number)
        else:
            self._numbers.put_off(ref, seen, until)

    def _number_changed(self, ref: NumberKey) -> None:
        entry = self._store.get(ref.object)
        pause = _SECONDS_BETWEEN_PASSES if entry and not entry.is_waited_for(ref.number) else 0.0
        self._objects.add(ref.object, self._clock() + pause, priority=Priority.REPAIR)

    def _recorded(self, ref: ObjectKey, entry: KeyState) -> None:
        """Go on with the numbers whose next publish waited for the status to show the last one."""
        if entry.at_rest:
            return
        waiting, entry.awaiting_status_write = entry.awaiting_status_write, set()
        self._go_on(ref, entry, waiting)

    def _go_on(self, ref: ObjectKey, entry: KeyState, numbers: Iterable[str], *, reached: bool = False) -> None:
        for number in numbers:
            entry.active.add(number)
            self._numbers.enqueue(NumberKey(ref, number), entry.known[number], self._clock(), reached=reached)
