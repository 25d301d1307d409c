"""A whole reign between fakes: an API server, phone numbers, and an operator that can be started and stopped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bek_operator.controller.reign import Ports, Reign
from bek_operator.controller.schedule import Lanes
from bek_operator.model.endpoint import Endpoint
from bek_operator.model.spec import ObjectRef
from bek_operator.whatsapp.protocol import Backend
from kit import keys
from kit.builders import reach
from kit.fakes import FakeEvents, FakeLanes, FakeObjects, FakePhones, FakeSecrets, now
from kit.virtual_time import until

READY = ("True", "Succeeded")


class World:
    """What happens in it takes virtual time only.

    Attributes:
        backend: What speaks to the numbers' APIs; `phones` unless it is replaced before there is an operator.
        lanes: What tells how much each of them can take, likewise.
    """

    def __init__(self, *, numbers_at_once: int = 50, per_host: int = 8, watch_secrets: bool = True) -> None:
        self.objects = FakeObjects()
        self.secrets = FakeSecrets()
        self.events = FakeEvents()
        self.phones = FakePhones()
        self._numbers_at_once = numbers_at_once
        self.backend: Backend[Endpoint] = self.phones
        self.lanes: Lanes = FakeLanes(per_host)
        self._watch_secrets = watch_secrets
        self.secrets.put_key(keys.rsa())
        self.secrets.put_credentials("first")

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Reign]:
        """Run an operator meanwhile."""
        ports = Ports(
            objects=self.objects, secrets=self.secrets, events=self.events, backend=self.backend, lanes=self.lanes
        )
        reign = Reign(ports, reach(), self._numbers_at_once, now)
        self.objects.hints = [reign.object_hint]
        self.secrets.hints = [reign.secret_hint] if self._watch_secrets else []
        task = asyncio.create_task(reign.run())
        try:
            yield reign
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.objects.hints = self.secrets.hints = []

    async def until_ready(self, ref: ObjectRef, seconds: float = 60.0) -> None:
        """Wait until an object is ready, for its present generation."""
        await until(lambda: self.is_ready(ref), seconds)

    async def until_signed_with(self, ref: ObjectRef, pair: keys.KeyPair, seconds: float = 60.0) -> None:
        """Wait until an object is ready with a key."""
        await until(lambda: self._fingerprint(ref) == pair.fingerprint and self.is_ready(ref), seconds)

    def _fingerprint(self, ref: ObjectRef) -> object:
        return self.objects.status(ref).get("publicKeyFingerprint")

    def is_ready(self, ref: ObjectRef) -> bool:
        """Tell whether an object is ready, for its present generation."""
        return self.objects.ready(ref) == READY and self.objects.is_current(ref)
