"""What many small objects cost the API server, and one another."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, spec_body
from support.fakes import number, unavailable
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

COUNT = 1000


def requests(world: World) -> int:
    """Return how many requests the API server had that a posted event is one of."""
    return len(world.objects.reads) + len(world.objects.writes) + len(world.secrets.reads) + len(world.events.posted)


def forget(world: World) -> None:
    """Forget all requests."""
    for kept in (world.objects.reads, world.objects.writes, world.secrets.reads, world.events.posted):
        kept.clear()


def create(world: World, count: int) -> list[ObjectKey]:
    """Create objects of one number each."""
    return [world.objects.create(f"flows-{index}", spec_body([number(index)])) for index in range(count)]


@pytest.mark.parametrize("watch_secrets", [True, False], ids=["Secrets watched", "not watched"])
@virtual_time
async def test_many_objects_start_with_one_read_of_each_secret(*, watch_secrets: bool) -> None:
    """And one status each, where the numbers answer at once; the objects themselves came with the list."""
    world = World(numbers_at_once=COUNT, watch_secrets=watch_secrets)
    world.objects.seconds = world.secrets.seconds = 0.01
    refs = create(world, COUNT)
    async with world.operator():
        await until(lambda: all(world.is_ready(ref) for ref in refs))
        assert sorted(world.secrets.reads) == [KEY_SECRET, LOGIN_SECRET]
        assert (len(world.objects.reads), len(world.objects.writes)) == (0, COUNT)


@pytest.mark.parametrize(("at_once", "most"), [(COUNT, 1), (50, 2)], ids=["all at once", "in turn"])
@virtual_time
async def test_an_object_of_one_number_costs_a_status_and_an_event_in_a_rotation(at_once: int, most: int) -> None:
    """The changed Secret is read once for all of them; where a number must wait, one more status says so."""
    world = World(numbers_at_once=at_once)
    world.objects.seconds = world.secrets.seconds = 0.01
    refs = create(world, COUNT)
    async with world.operator():
        await until(lambda: all(world.is_ready(ref) for ref in refs))
        forget(world)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: all(world.phones[number(one)].holds(keys.rsa("second")) for one in range(COUNT)))
        await until(lambda: all(world.is_ready(ref) for ref in refs))
        await asyncio.sleep(10)
        writes = Counter(ref for _, ref, _ in world.objects.writes)
        assert (len(writes), max(writes.values())) == (COUNT, most)
        assert requests(world) <= 2 * most * COUNT + 2


@virtual_time
async def test_an_edit_of_an_unwatched_secret_before_one_of_the_object_is_seen() -> None:
    """However short a while before it the Secret was read for another object."""
    world = World(watch_secrets=False)
    first, second = create(world, 2)
    async with world.operator():
        await world.until_ready(first)
        await world.until_ready(second)
        world.objects.request_check(first, "1")
        await asyncio.sleep(0.5)
        world.secrets.put_key(keys.rsa("second"))
        world.objects.request_check(second, "1")
        await world.until_signed_with(second, keys.rsa("second"), 5)
        assert world.objects.status(first)["publicKeyFingerprint"] == keys.rsa().fingerprint


@virtual_time
async def test_a_new_manager_takes_up_what_the_informer_holds() -> None:
    """Of what happened while no manager worked nothing is lost, and nothing is read for it."""
    world = World()
    refs = create(world, 3)
    async with world.operator():
        await until(lambda: all(world.is_ready(ref) for ref in refs))
        forget(world)
        await world.stop_manager()
        world.objects.edit(refs[0], phoneNumbers=[{"phoneNumber": number(7)}])
        world.objects.delete(refs[1])
        new = world.objects.create("new", spec_body([number(8)]))
        calls = len(world.phones.calls)
        await asyncio.sleep(1500)
        assert (len(world.phones.calls), requests(world)) == (calls, 0)
        world.start_manager()
        for ref in (refs[0], new):
            await world.until_ready(ref)
        assert world.objects.reads == []
        assert world.phones.count("publish", number(1)) == 1


@virtual_time
async def test_a_status_write_of_unknown_outcome_holds_up_no_edit() -> None:
    """An edit that the watch delivers during a write which fails is worked on at once, not after a back-off."""
    world = World()
    (ref,) = create(world, 1)
    async with world.operator():
        await world.until_ready(ref)
        world.objects.seconds = 10.0
        world.phones[number(0)].lose_signature()
        await until(lambda: len(world.objects.writes) == 2, 700)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(5)}])
        world.objects.error = unavailable()
        await until(lambda: world.phones.count("publish", number(5)) == 1, 12)
        world.objects.error, world.objects.seconds = None, 0.0
        await world.until_ready(ref, 20)


@virtual_time
async def test_status_writes_hold_up_no_number_at_the_start() -> None:
    """Every object has its turn before the first status is written: numbers have their key however slow writes are."""
    world = World()
    world.secrets.seconds = 0.05
    refs = []
    for index in range(200):
        world.secrets.put(f"key-{index}", public_pem=keys.rsa().public)
        wanted = spec_body([number(index)], keySecretRef={"name": f"key-{index}"})
        refs.append(world.objects.create(f"flows-{index}", wanted))
    async with world.operator():
        await world.informer.synced.wait()
        world.objects.seconds = 1.0
        await until(lambda: all(world.phones[number(one)].holds(keys.rsa()) for one in range(200)), 4)
        await until(lambda: all(world.is_ready(ref) for ref in refs))
