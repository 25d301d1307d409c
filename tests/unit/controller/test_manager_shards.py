"""Two shards in virtual time: what becomes of an object whose label moves from one to the other."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.controller.informer import RESYNC_SECONDS, Informer
from bek_operator.controller.manager import Manager, Ports
from bek_operator.crd.types import ObjectKey
from support import keys
from support.builders import egress, spec_body
from support.fakes import FakeEvents, FakeLimits, FakeObjects, FakePhones, now, number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bek_operator.crd.parse import BusinessEncryptionKey
    from bek_operator.crd.status import Status
    from bek_operator.numbers.answers import Accepted, Failure, Reading
    from bek_operator.numbers.endpoint import Endpoint

LABEL = "bek.dev/shard"
HOUR = 3600.0
NUMBERS = numbers(5)
FIRST, SECOND = keys.rsa(), keys.rsa("second")


class Selection:
    """The objects of one shard, as the API server shows them to a client with its label selector.

    Attributes:
        lag: Seconds by which the watch is late; `inf` when it delivers nothing.
        writes: Of which objects a status was written.
    """

    def __init__(self, objects: FakeObjects, shard: str) -> None:
        self._objects = objects
        self._shard = shard
        self._shown: set[ObjectKey] = set()
        self.lag = 0.0
        self.writes: list[ObjectKey] = []
        self.informer = Informer(self, 10_000)

    def on_event(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Hand on an event of an object that is, or was, in the selection, as the API server's watch does."""
        ref = ObjectKey(body["metadata"]["namespace"], body["metadata"]["name"])
        selected = kind != "DELETED" and body["metadata"].get("labels", {}).get(LABEL) == self._shard
        if not selected and ref not in self._shown:
            return
        kind = "DELETED" if not selected else "MODIFIED" if ref in self._shown else "ADDED"
        self._shown = self._shown | {ref} if selected else self._shown - {ref}
        if self.lag < math.inf:
            asyncio.get_running_loop().call_later(self.lag, self.informer.on_event, kind, deepcopy(dict(body)))

    async def list(self) -> AsyncIterator[BusinessEncryptionKey]:
        """Yield every object of the selection."""
        async for resource in self._objects.list():
            if self._selects(resource):
                self._shown.add(resource.ref)
                yield resource

    async def read(self, namespace: str, name: str) -> BusinessEncryptionKey | None:
        """Return an object of the selection."""
        found = await self._objects.read(namespace, name)
        return found if found and self._selects(found) else None

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace the status; the API server knows no selector here."""
        version = await self._objects.write_status(resource, status)
        self.writes.append(resource.ref)
        return version

    def _selects(self, resource: BusinessEncryptionKey) -> bool:
        labels = self._objects.body(resource.ref)["metadata"].get("labels", {})
        return bool(labels.get(LABEL) == self._shard)


class Calls:
    """The calls of one shard to the numbers' APIs."""

    def __init__(self, phones: FakePhones) -> None:
        self._phones = phones
        self.kinds: list[str] = []

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Pass a read on."""
        self.kinds.append("read")
        return await self._phones.read(endpoint)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Pass a publish on."""
        self.kinds.append("publish")
        return await self._phones.publish(endpoint, public_key)

    async def close(self) -> None:
        """Do nothing."""


class Shard:
    """An operator for the objects with one value of the label."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.objects = Selection(world.objects, name)
        self.calls = Calls(world.phones)
        self.events = FakeEvents()
        self._secrets = world.secrets
        self._endpoints = world.endpoints

    @property
    def traces(self) -> tuple[int, int, int]:
        """Return how many calls, status writes and events there were."""
        return len(self.calls.kinds), len(self.objects.writes), len(self.events.posted)

    async def run(self) -> None:
        """Work until cancelled."""
        ports = Ports(
            objects=self.objects.informer,
            secrets=self._secrets,
            events=self.events,
            backend=self.calls,
            endpoints=self._endpoints,
            limits=FakeLimits(8),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.objects.informer.run())
            group.create_task(Manager(ports, egress(), 50, now).run())


class Shards(World):
    """A world with two shards, a and b, and one object, which is in a."""

    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.a, self.b = Shard(self, "a"), Shard(self, "b")
        self.ref = self.objects.create(wanted=spec_body(NUMBERS, **spec))
        self.objects.label(self.ref, LABEL, "a")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run both; shard a has made the object Ready."""
        tasks = [asyncio.create_task(one.run()) for one in (self.a, self.b)]
        self.objects.event_handlers = [one.objects.on_event for one in (self.a, self.b)]
        self.secrets.event_handlers = [one.objects.informer.on_secret_event for one in (self.a, self.b)]
        try:
            await until(lambda: self.objects.ready(self.ref) == ("True", "Succeeded"))
            await asyncio.sleep(1)
            yield
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def move(self, to: Shard) -> None:
        """Change the label."""
        self.objects.label(self.ref, LABEL, to.name)


@virtual_time
async def test_a_healthy_object_is_handed_over_without_a_trace() -> None:
    """No publish, no write and no event by either; the new shard checks on, the old one calls nobody any more."""
    world = Shards()
    async with world.working():
        status, writes = deepcopy(world.objects.status(world.ref)), len(world.objects.writes)
        for old, new in ((world.a, world.b), (world.b, world.a), (world.a, world.b)):
            world.move(new)
            await asyncio.sleep(1)
            before = old.traces
            calls = len(new.calls.kinds)
            await asyncio.sleep(2 * HOUR)
            assert old.traces == before
            assert new.calls.kinds[calls:].count("read") >= 5 * 10
    assert [world.phones.count("publish", one) for one in NUMBERS] == [1] * 5
    assert world.objects.status(world.ref) == status
    assert len(world.objects.writes) == writes
    assert world.b.events.posted == []


@virtual_time
async def test_what_is_asked_after_the_move_is_done_by_the_new_shard() -> None:
    """An edit, a new key and a request for a check."""
    world = Shards()
    async with world.working():
        world.move(world.b)
        await asyncio.sleep(1)
        before = world.a.traces
        world.objects.edit(world.ref, phoneNumbers=[{"phoneNumber": number(9)}])
        world.secrets.put_key(SECOND)
        world.objects.request_check(world.ref, "now")
        await world.until_signed_with(world.ref, SECOND)
        assert world.objects.status(world.ref)["lastHandledReconcileAt"] == "now"
        assert world.phones[number(9)].holds(SECOND)
        assert world.a.traces == before


DELAYS = (0.0, 0.01, 0.03, 0.05, 0.07, 0.1, 1.0, 2.0, 5.0)


@pytest.mark.parametrize("lag", [0.0, 0.05, 3.0, math.inf])
@pytest.mark.parametrize("settles", [0.0, 3.0])
@pytest.mark.parametrize("delay", DELAYS)
@virtual_time
async def test_a_rotation_that_is_cut_by_a_move_ends_with_the_new_key(delay: float, settles: float, lag: float) -> None:
    """Each number is published to once more at most, however late the old shard hears of the move."""
    world = Shards()
    async with world.working():
        for one in NUMBERS:
            world.phones[one].settles = settles
        world.a.objects.lag = lag
        world.secrets.put_key(SECOND)
        await asyncio.sleep(delay)
        world.move(world.b)
        written = len(world.a.objects.writes)
        await world.until_signed_with(world.ref, SECOND)
        await asyncio.sleep(2 * HOUR)
        assert len(world.a.objects.writes) == written
        assert world.is_ready(world.ref)
    assert all(world.phones[one].holds(SECOND) for one in NUMBERS)
    assert {world.phones.count("publish", one) for one in NUMBERS} <= {2, 3}


@virtual_time
async def test_a_move_in_the_pause_of_a_rollout_does_not_begin_it_again() -> None:
    """The first number holds the new key; the others follow when its pause is over, each with one publish."""
    world = Shards(rollout={"type": "FirstNumber", "firstNumber": {"phoneNumber": number(1), "pauseSeconds": 600}})
    async with world.working():
        world.secrets.put_key(SECOND)
        await until(lambda: world.phones[number(1)].holds(SECOND))
        await asyncio.sleep(300)
        world.move(world.b)
        await asyncio.sleep(200)
        assert not any(world.phones[one].holds(SECOND) for one in NUMBERS[1:])
        await world.until_signed_with(world.ref, SECOND, 300)
    assert [world.phones.count("publish", one) for one in NUMBERS] == [2] * 5


@virtual_time
async def test_a_shard_that_hears_nothing_of_a_move_finds_out() -> None:
    """By its own list, at the latest; what differs from it is read, and a read knows the labels."""
    world = Shards()
    async with world.working():
        world.a.objects.lag = math.inf
        world.move(world.b)
        await asyncio.sleep(RESYNC_SECONDS + 5)
        before = world.a.traces
        await asyncio.sleep(2 * HOUR)
        assert world.a.traces == before
        assert list(world.a.objects.informer) == []
    assert [world.phones.count("publish", one) for one in NUMBERS] == [1] * 5
