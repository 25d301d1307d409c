"""The manager: four work queues over one store, while it runs.

It starts from the objects that the informer holds, and the informer reports each change of an object or a Secret.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import Final

from bek_operator.cluster.errors import ClusterError
from bek_operator.controller.derivations import DerivationReconciler, Deriver, derive_in_child
from bek_operator.controller.endpoint_reconciler import EndpointClient, EndpointReconciler
from bek_operator.controller.informer import RESYNC_SECONDS, Informer
from bek_operator.controller.instruments import Instruments, NoInstruments
from bek_operator.controller.key_reconciler import KeyReconciler
from bek_operator.controller.number_reconciler import NumberReconciler
from bek_operator.controller.result import Result
from bek_operator.controller.secret_cache import SecretCache, SecretSource
from bek_operator.controller.state import DerivationKey, EndpointKey, NumberKey
from bek_operator.controller.status_writer import EventPoster, StatusWriter
from bek_operator.controller.store import Store
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import Due, Limits, Priority, WorkQueue
from bek_operator.crd.types import ObjectKey
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.numbers.endpoints import EgressPolicy
from bek_operator.supervise import supervise
from bek_operator.times import Clock
from bek_operator.whatsapp.backend import Backend

log = logging.getLogger(__name__)

_OBJECTS_AT_ONCE = 32
_ENDPOINTS_AT_ONCE = 16
_OBJECTS, _NUMBERS, _ENDPOINTS = "businessencryptionkey", "phonenumber", "flowsendpoint"
_DERIVATIONS = "keyderivation"

_LAST_WRITES_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of the manager.

    Attributes:
        limits: The capacity of each API host and token.
        derive: Derives the keys of encrypted private keys.
        instruments: Measure the work.
    """

    objects: Informer
    secrets: SecretSource
    events: EventPoster
    backend: Backend[Endpoint]
    endpoints: EndpointClient
    limits: Limits
    derive: Deriver = derive_in_child
    instruments: Instruments = field(default_factory=NoInstruments)


class Manager:
    """Reconciles all objects and numbers while `run` runs."""

    def __init__(self, ports: Ports, egress: EgressPolicy, concurrency: int, clock: Clock) -> None:
        self._informer = ports.objects
        self._events = ports.events
        self._clock = clock
        measured = ports.instruments
        self.store = store = Store(measured.lost)
        self._secrets = SecretCache(ports.secrets, lambda: store.sequence)
        deriving = DerivationReconciler(derive=ports.derive, clock=clock)
        self._keys = keys = KeyReconciler(
            store=store,
            objects=ports.objects,
            secrets=self._secrets,
            keys=deriving,
            egress=egress,
            writer=StatusWriter(store=store, objects=ports.objects, events=ports.events, clock=clock),
            limits=ports.limits,
            clock=clock,
        )
        objects: WorkQueue[ObjectKey] = measured.work_queue(_OBJECTS, _OBJECTS_AT_ONCE, lambda key: key)
        self._objects = Workers("objects", objects, measured.reconciler(_OBJECTS, keys), self._apply, clock, _object)
        numbers: WorkQueue[NumberKey] = measured.work_queue(_NUMBERS, concurrency, _object_of, ports.limits)
        reconciler = NumberReconciler(store=store, backend=ports.backend, clock=clock)
        self._numbers = Workers(
            "numbers", numbers, measured.reconciler(_NUMBERS, reconciler), self._apply, clock, _number
        )

        endpoints: WorkQueue[EndpointKey] = measured.work_queue(
            _ENDPOINTS, _ENDPOINTS_AT_ONCE, _object_of, ports.limits
        )
        asking = EndpointReconciler(store=store, client=ports.endpoints, clock=clock)
        self._endpoints = Workers(
            "endpoints", endpoints, measured.reconciler(_ENDPOINTS, asking), self._apply, clock, _one_of
        )

        derivations: WorkQueue[DerivationKey] = measured.work_queue(_DERIVATIONS, 1, _object_of)
        self._derivations = Workers(
            "derivations", derivations, measured.reconciler(_DERIVATIONS, deriving), self._apply, clock, _one_of
        )

    def _apply(self, result: Result) -> None:
        for key in result.cancel:
            if isinstance(key, NumberKey):
                self._numbers.cancel(key)
            else:
                self._endpoints.cancel(key)
        for one in result.enqueue:
            match one.key:
                case NumberKey():
                    self._numbers.add(one.key, one.due)
                case EndpointKey():
                    self._endpoints.add(one.key, one.due)
                case DerivationKey():
                    self._derivations.add(one.key, one.due)
                case _:
                    self._objects.add(one.key, one.due)

    def on_object_change(self, ref: ObjectKey) -> None:
        """Enqueue an object that was added, changed or deleted, or that must be read."""
        self._objects.add(ref, Due(at=self._clock(), priority=Priority.USER))

    def on_secret_change(self, namespace: str, name: str, version: str) -> None:
        """Enqueue the objects that name a Secret that was added, changed or (without version) deleted."""
        for ref in self.store.secret_changed(namespace, name, version):
            self._objects.add(ref, Due(at=self._clock(), priority=Priority.KEY))

    async def run(self) -> None:
        """Wait until all objects are known, then reconcile until cancelled; a manager runs once.

        Publishes under way are waited for then, and written into the status if this process is still the leader.
        """
        await self._informer.synced.wait()
        try:
            with self._informer.listening(self):
                self._start()
                await supervise(
                    {
                        "workers of objects": self._objects.run(),
                        "workers of numbers": self._numbers.run(),
                        "workers of endpoints": self._endpoints.run(),
                        "workers of derivations": self._derivations.run(),
                        "events": self._events.run(),
                        "expiry of Secrets": self._expire_secrets_periodically(),
                    }
                )
        except asyncio.CancelledError:
            await self._write_last()
            raise
        finally:
            await self._secrets.close()

    async def _write_last(self) -> None:
        try:
            async with asyncio.timeout(_LAST_WRITES_SECONDS):
                writes = (self._keys.write_last(ref) for ref in self.store)
                found = await asyncio.gather(*writes, return_exceptions=True)
            for error in found:
                if error:
                    raise error
        except (ClusterError, TimeoutError) as error:
            reason = str(error) or "no response in time"
            log.warning("publishes that have just ended are not in the status: %s", reason)

    def _start(self) -> None:
        """Store every object before the first is reconciled, because that decides which object owns which number.

        Every object is reconciled once before the first status is written, so that the calls to numbers begin early.
        """
        for resource in self._informer:
            self.store.put(resource)
        # The oldest first: they have the first claim to memory for their Secrets.
        known = sorted(self._informer, key=lambda resource: resource.created)
        for ref in dict.fromkeys((*(resource.ref for resource in known), *self._informer.to_read)):
            self._objects.add(ref, Due(at=self._clock(), priority=Priority.KEY))

    async def _expire_secrets_periodically(self) -> None:
        """Have all Secrets read again periodically, spread over the period.

        Some may not be watched, and events of the others may have been missed.
        """
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            for ref in self.store:
                self.store.expire_secrets(ref)
                at = self._clock() + RESYNC_SECONDS * random.random()  # noqa: S311 - spreads reads
                self._objects.add(ref, Due(at=at))


def _object_of(key: NumberKey | EndpointKey | DerivationKey) -> ObjectKey:
    return key.object


def _object(ref: ObjectKey) -> dict[str, str]:
    """Return the fields of every log line about an object."""
    return {"object": f"{ref.namespace}/{ref.name}"}


def _number(ref: NumberKey) -> dict[str, str]:
    """Return the fields of every log line about a number."""
    return {**_object(ref.object), "number": ref.number}


def _one_of(ref: EndpointKey | DerivationKey) -> dict[str, str]:
    """Return the fields of every log line about what an object has one of."""
    return _object(ref.object)
