"""The manager: from the first list of the objects to the end, two work queues over one store.

Events about objects and Secrets come in here; objects are reconciled one at a time each, numbers beside them.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from bek_operator.cluster.errors import ClusterError, NotFound
from bek_operator.cluster.objects import NOT_INSTALLED
from bek_operator.controller.instruments import Instruments, NoInstruments
from bek_operator.controller.key_reconciler import KeyReconciler, ObjectReader, SecretSource
from bek_operator.controller.number_reconciler import NumberReconciler
from bek_operator.controller.result import Result
from bek_operator.controller.state import NumberKey
from bek_operator.controller.status_writer import EventPoster, StatusClient, StatusWriter
from bek_operator.controller.store import Store
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import Due, Limits, Priority, WorkQueue
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.numbers.endpoints import EgressPolicy
from bek_operator.times import Clock
from bek_operator.whatsapp.backend import Backend

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
_OBJECTS_AT_ONCE = 8
_OBJECTS, _NUMBERS = "businessencryptionkey", "phonenumber"


class ObjectStore(ObjectReader, StatusClient, Protocol):
    """The BusinessEncryptionKeys of the served namespaces."""

    def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the manager works with; `limits` tells how much of it one API host or token can take.

    `instruments` measure the work, by default not at all.
    """

    objects: ObjectStore
    secrets: SecretSource
    events: EventPoster
    backend: Backend[Endpoint]
    limits: Limits
    instruments: Instruments = field(default_factory=NoInstruments)


class Manager:
    """Looks after all objects when run, until cancelled."""

    def __init__(self, ports: Ports, egress: EgressPolicy, concurrency: int, clock: Clock) -> None:
        self._ports = ports
        self._clock = clock
        measured = ports.instruments
        self.store = store = Store(measured.lost)
        self.synced = asyncio.Event()
        self._resync_soon = asyncio.Event()
        keys = KeyReconciler(
            store=store,
            objects=ports.objects,
            secrets=ports.secrets,
            egress=egress,
            writer=StatusWriter(store=store, objects=ports.objects, events=ports.events, clock=clock),
            limits=ports.limits,
            clock=clock,
        )
        objects: WorkQueue[ObjectKey] = measured.work_queue(_OBJECTS, _OBJECTS_AT_ONCE)
        self._objects = Workers("objects", objects, measured.reconciler(_OBJECTS, keys), self._apply, clock, _object)
        numbers: WorkQueue[NumberKey] = measured.work_queue(_NUMBERS, concurrency, ports.limits)
        reconciler = NumberReconciler(store=store, backend=ports.backend, clock=clock)
        self._numbers = Workers(
            "numbers", numbers, measured.reconciler(_NUMBERS, reconciler), self._apply, clock, _number
        )

    def _apply(self, result: Result) -> None:
        for number in result.cancel:
            self._numbers.cancel(number)
        for one in result.enqueue:
            if isinstance(one.key, NumberKey):
                self._numbers.add(one.key, one.due)
            else:
                self._objects.add(one.key, one.due)

    def on_object_event(self, namespace: str, name: str, version: str) -> None:
        """Have an object read that was added, changed or (without version) deleted; nothing is believed of an event."""
        ref = ObjectKey(namespace, name)
        if self.store.mark_unread(ref, version):
            self._objects.add(ref, Due(at=self._clock(), priority=Priority.USER))

    def on_secret_event(self, namespace: str, name: str, version: str) -> None:
        """Have a Secret read that was added, changed or (without version) deleted."""
        for ref in self.store.secret_changed(namespace, name, version):
            self._objects.add(ref, Due(at=self._clock(), priority=Priority.KEY))

    async def run(self) -> None:
        """Read all objects once, then work on what is due until cancelled."""
        await self._sync()
        self.synced.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._objects.run())
            group.create_task(self._numbers.run())
            group.create_task(self._resync_periodically())

    async def _sync(self) -> None:
        """Read every object before the first is worked on, so that it is known who owns which number."""
        found = await self._list_until_synced()
        for resource in found:
            self.store.put(resource)
            self._objects.add(resource.ref, Due(at=self._clock()))
        log.info("caches synced", extra={"objects": len(found)})

    async def _list_until_synced(self) -> list[BusinessEncryptionKey]:
        pause, logged = 0.5, False
        while True:
            try:
                return [resource async for resource in self._ports.objects.list() if not resource.deleted]
            except NotFound:
                if not logged:
                    log.warning(NOT_INSTALLED)
                logged = True
            except ClusterError as error:
                log.warning("the objects cannot be listed: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 15.0)

    def resync(self) -> None:
        """List the objects soon: some may have gone without an event."""
        self._resync_soon.set()

    async def _resync_periodically(self) -> None:
        """List the objects now and then: a watch that had to begin anew does not tell what went meanwhile.

        Their Secrets are read again, too, spread over the time to the next resync: not every one of them need be
        watched, and of those that are the same holds.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._resync_soon.wait()
            self._resync_soon.clear()
            try:
                found = await self._list_versions()
            except ClusterError as error:
                log.warning("the objects cannot be listed: %s", error)
                continue
            for ref in {*found, *self.store}:
                self.on_object_event(ref.namespace, ref.name, found.get(ref, ""))
                if self.store.get(ref):
                    self.store.expire_secrets(ref)
                    at = self._clock() + RESYNC_SECONDS * random.random()  # noqa: S311 - spreads reads
                    self._objects.add(ref, Due(at=at))

    async def _list_versions(self) -> dict[ObjectKey, str]:
        try:
            return {resource.ref: resource.version async for resource in self._ports.objects.list()}
        except NotFound:  # the definition is gone, and so is every object
            return {}


def _object(ref: ObjectKey) -> dict[str, str]:
    """Return what a line of the log names about an object."""
    return {"object": f"{ref.namespace}/{ref.name}"}


def _number(ref: NumberKey) -> dict[str, str]:
    """Return what a line of the log names about a number."""
    return {**_object(ref.object), "number": ref.number}
