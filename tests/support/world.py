"""A whole operator between fakes: an API server and phone numbers in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from copy import copy

from bek_operator.controller.derivations import Deriver
from bek_operator.controller.endpoint_reconciler import EndpointClient
from bek_operator.controller.informer import Informer
from bek_operator.controller.instruments import Instruments, NoInstruments
from bek_operator.controller.manager import Manager, Ports
from bek_operator.controller.status_writer import EventPoster
from bek_operator.controller.workqueue import Limits
from bek_operator.crd.types import ObjectKey
from bek_operator.keys.derivation import Derivation
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.flow_endpoint import FlowEndpointClient
from support import keys
from support.builders import egress
from support.fakes import FakeEvents, FakeLimits, FakeObjects, FakePhones, FakeSecrets, now
from support.simulators.flows_endpoint import FlowsEndpointCore
from support.simulators.in_process import DirectClient
from support.virtual_time import until


async def derive_at_once(derivation: Derivation) -> bytes:
    """Derive a key in no time, of which a process would take some of the real one."""
    return derivation.run()


READY = ("True", "Succeeded")


class World:
    """Fakes and an operator that can be started and stopped, in virtual time.

    Attributes:
        backend: Calls the numbers' APIs; `phones`, unless replaced before the operator starts.
        poster: Posts events; `events`, unless replaced likewise.
        flows: The Flow endpoint that objects can name; it holds the first key. `endpoints` sends the pings to it.
        limits: How many numbers of one limiter key are worked on at once, likewise.
        derive: Derives the keys of encrypted private keys.
        instruments: Measure the work; by default not at all.
    """

    def __init__(
        self,
        *,
        numbers_at_once: int = 50,
        per_host: int = 8,
        watch_secrets: bool = True,
        most_numbers: int = 10_000,
    ) -> None:
        self.objects = FakeObjects()
        self.secrets = FakeSecrets()
        self.events = FakeEvents()
        self.poster: EventPoster = self.events
        self.phones = FakePhones()
        self._numbers_at_once = numbers_at_once
        self._most_numbers = most_numbers
        self.backend: Backend[Endpoint] = self.phones
        self.flows = FlowsEndpointCore(keys.rsa(), clock=now)
        self.endpoints: EndpointClient = FlowEndpointClient(DirectClient(self.flows))
        self.limits: Limits = FakeLimits(per_host)
        self.instruments: Instruments = NoInstruments()
        self.derive: Deriver = derive_at_once
        self._watch_secrets = watch_secrets
        self.informer = Informer(self.objects, self._most_numbers)
        self._managing: asyncio.Task[None]
        self.secrets.put_key(keys.rsa())
        self.secrets.put_credentials("first")

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Manager]:
        """Run an operator inside the block: an informer, and a manager that can be stopped and followed by another."""
        self.informer = Informer(self.objects, self._most_numbers)
        heard = [self.informer.on_secret_event] if self._watch_secrets else []
        self.secrets.event_handlers += heard
        informing = [asyncio.create_task(one) for one in (self.informer.run(), self._watch())]
        try:
            yield self.start_manager()
            assert not self._managing.done()
            assert not informing[0].done()
        finally:
            for task in informing:
                task.cancel()
            await self.stop_manager()
            await asyncio.gather(*informing, return_exceptions=True)
            for one in heard:
                self.secrets.event_handlers.remove(one)
            if self.informer.on_event in self.objects.event_handlers:
                self.objects.event_handlers.remove(self.informer.on_event)

    def beside(self) -> "World":
        """Return a world of the same objects, Secrets and numbers, for another operator at the same time."""
        other = copy(self)
        other.poster = other.events = FakeEvents()
        other.informer = Informer(self.objects, self._most_numbers)
        return other

    def start_manager(self) -> Manager:
        """Have a new manager work on all objects."""
        ports = Ports(
            objects=self.informer,
            secrets=self.secrets,
            events=self.poster,
            backend=self.backend,
            endpoints=self.endpoints,
            limits=self.limits,
            derive=self.derive,
            instruments=self.instruments,
        )
        manager = Manager(ports, egress(), self._numbers_at_once, now)
        self._managing = asyncio.create_task(manager.run())
        return manager

    async def stop_manager(self) -> None:
        """Have the manager end."""
        self._managing.cancel()
        with suppress(asyncio.CancelledError):
            await self._managing

    async def _watch(self) -> None:
        """Watch the objects once all of them are known, as the operator does."""
        await self.informer.synced.wait()
        self.objects.event_handlers.append(self.informer.on_event)
        self.objects.show_all()

    async def until_ready(self, ref: ObjectKey, seconds: float = 60.0) -> None:
        """Wait until an object is Ready, for its present generation."""
        await until(lambda: self.is_ready(ref), seconds)

    async def until_signed_with(self, ref: ObjectKey, pair: keys.KeyPair, seconds: float = 60.0) -> None:
        """Wait until an object is Ready with a key."""
        await until(lambda: self._fingerprint(ref) == pair.fingerprint and self.is_ready(ref), seconds)

    def _fingerprint(self, ref: ObjectKey) -> object:
        return self.objects.status(ref).get("publicKeyFingerprint")

    def is_ready(self, ref: ObjectKey) -> bool:
        """Return whether an object is Ready, for its present generation."""
        return self.objects.ready(ref) == READY and self.objects.is_current(ref)
