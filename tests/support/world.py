"""A whole operator between fakes: an API server and phone numbers in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bek_operator.controller.instruments import Instruments, NoInstruments
from bek_operator.controller.manager import Manager, Ports
from bek_operator.controller.workqueue import Limits
from bek_operator.crd.types import ObjectKey
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.whatsapp.backend import Backend
from support import keys
from support.builders import egress
from support.fakes import FakeEvents, FakeLimits, FakeObjects, FakePhones, FakeSecrets, now
from support.virtual_time import until

READY = ("True", "Succeeded")


class World:
    """Fakes and an operator that can be started and stopped, in virtual time.

    Attributes:
        backend: Calls the numbers' APIs; `phones`, unless replaced before the operator starts.
        limits: How many numbers of one limiter key are worked on at once, likewise.
        instruments: Measure the work; by default not at all.
    """

    def __init__(self, *, numbers_at_once: int = 50, per_host: int = 8, watch_secrets: bool = True) -> None:
        self.objects = FakeObjects()
        self.secrets = FakeSecrets()
        self.events = FakeEvents()
        self.phones = FakePhones()
        self._numbers_at_once = numbers_at_once
        self.backend: Backend[Endpoint] = self.phones
        self.limits: Limits = FakeLimits(per_host)
        self.instruments: Instruments = NoInstruments()
        self._watch_secrets = watch_secrets
        self.secrets.put_key(keys.rsa())
        self.secrets.put_credentials("first")

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Manager]:
        """Run an operator inside the block."""
        ports = Ports(
            objects=self.objects,
            secrets=self.secrets,
            events=self.events,
            backend=self.backend,
            limits=self.limits,
            instruments=self.instruments,
        )
        manager = Manager(ports, egress(), self._numbers_at_once, now)
        self.objects.event_handlers = [manager.on_object_event]
        self.secrets.event_handlers = [manager.on_secret_event] if self._watch_secrets else []
        task = asyncio.create_task(manager.run())
        try:
            yield manager
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.objects.event_handlers = self.secrets.event_handlers = []

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
