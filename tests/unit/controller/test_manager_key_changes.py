"""A manager whose key Secret keeps changing, as with two controllers that overwrite each other."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from support import keys
from support.builders import DENIED, spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

MINUTE, HOUR = 60.0, 3600.0
COUNT = 5
FLIPS, SECONDS = 30, 104.0
WAITS = ("False", "KeyChangesTooOften")
SPREAD = ["FirstNumber", "AllAtOnce"]


async def flip(world: World, times: int = FLIPS, seconds: float = SECONDS) -> None:
    """Have two writers put their keys into the Secret in turn, of which one is the key that numbers had first."""
    for turn in range(times):
        world.secrets.writer, name = [("external-secrets", "second"), ("cert-manager", "")][turn % 2]
        world.secrets.put_key(keys.rsa(name) if name else keys.rsa())
        await asyncio.sleep(seconds / times)


def publishes(world: World) -> list[int]:
    """Return how often each number was published to."""
    return [world.phones.count("publish", one) for one in numbers(COUNT)]


def warnings(world: World) -> set[str]:
    """Return the notes of the warnings about it."""
    return {one.note for one in world.events.posted if one.reason == "KeyChangesTooOften" and one.warning}


def names(world: World) -> set[str]:
    """Return the field managers that the warnings name."""
    return {note.rpartition("; the Secret's field managers: ")[2] for note in warnings(world)}


@pytest.mark.parametrize("spread", SPREAD)
@virtual_time
async def test_a_secret_that_flips_is_published_six_times_at_most(spread: str) -> None:
    """Thirty flips in 104 s: six publishes to each number, then the reason, and who writes the Secret."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT), rollout={"type": spread}))
    async with world.operator():
        await world.until_ready(ref)
        reads = world.phones.count("read")
        await flip(world)
        assert world.objects.ready(ref) == WAITS
        assert publishes(world) == [6] * COUNT
        assert world.phones.count("read") - reads == 5 * COUNT
        [note] = warnings(world)
        assert note.endswith("; the Secret's field managers: cert-manager, external-secrets, kubectl")
        assert "the key in the Secret keeps changing; find out what writes the Secret" in note
        assert set(world.objects.reasons(ref).values()) == {WAITS[1]}

        await asyncio.sleep(HOUR - 2 * MINUTE)
        assert publishes(world) == [6] * COUNT
        await world.until_signed_with(ref, keys.rsa(), 15 * MINUTE)
        assert publishes(world) == [7] * COUNT


@virtual_time
async def test_ever_new_keys_are_published_ever_more_rarely() -> None:
    """A generator that makes a key each time: six at once, then one each 1 h, 2 h, 4 h … while it goes on."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    names = [f"generated-{index}" for index in range(12)]
    async with world.operator():
        await world.until_ready(ref)
        for turn in range(int(8 * HOUR / MINUTE)):
            world.secrets.put_key(keys.rsa(names[turn % len(names)]))
            await asyncio.sleep(MINUTE)
    times = [call.at for call in world.phones.calls if call.kind == "publish"]
    assert [round((after - before) / HOUR) for before, after in pairwise(times[5:])] == [1, 2, 4]


@virtual_time
async def test_who_wrote_the_secret_of_late_is_named() -> None:
    """Not who wrote it hours ago, nor more than four, nor who wrote another one that is named no longer."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world)
        await asyncio.sleep(5 * HOUR)
        world.events.posted.clear()
        world.secrets.writer = "generator"
        for turn in range(8):
            world.secrets.put_key(keys.rsa() if turn % 2 else keys.rsa("second"))
            await asyncio.sleep(3)
        assert names(world) == {"cert-manager, generator"}
        await asyncio.sleep(5 * HOUR)
        world.events.posted.clear()
        for turn in range(7):
            world.secrets.writer = f"writer-{turn}"
            world.secrets.put_key(keys.rsa() if turn % 2 else keys.rsa("second"))
            await asyncio.sleep(3)
        assert names(world) == {"writer-3, writer-4, writer-5, writer-6"}
        world.secrets.writer = "another"
        world.secrets.put("other-key", public_pem=keys.rsa().public)
        world.events.posted.clear()
        world.objects.edit(ref, keySecretRef={"name": "other-key"})
        await world.until_ready(ref, 5)
        world.secrets.put("other-key", public_pem=keys.rsa("third").public)
        await until(lambda: world.objects.ready(ref) == WAITS, 5)
        assert names(world) == {"another"}


@virtual_time
async def test_while_it_waits_a_flip_back_is_no_call() -> None:
    """Numbers that hold the key which is back are Signed, going by the last answer; another flip has them wait."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT)))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world)
        calls = len(world.phones.calls)
        for _ in range(5):
            world.secrets.put_key(keys.rsa("second"))
            await world.until_signed_with(ref, keys.rsa("second"), 5)
            world.secrets.put_key(keys.rsa())
            await until(lambda: world.objects.ready(ref) == WAITS, 5)
        assert len(world.phones.calls) == calls


@pytest.mark.parametrize("spread", SPREAD)
@virtual_time
async def test_a_restart_in_the_middle_forgets_nothing(spread: str) -> None:
    """The status remembers the publishes of every key; the new process publishes as often as one would have."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT), rollout={"type": spread}))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world, 2, 10)
    rows = world.objects.status(ref)["phoneNumbers"]
    assert {(row["publishes"], *row["earlierPublishes"]) for row in rows} == {(1, 5, 5)}
    async with world.operator():
        await asyncio.sleep(5)
        await flip(world)
        assert world.objects.ready(ref) == WAITS
        assert publishes(world) == [6] * COUNT
    writes = len(world.objects.writes)
    async with world.operator():
        await asyncio.sleep(HOUR / 2)
        assert len(world.objects.writes) == writes
        assert publishes(world) == [6] * COUNT
        assert world.objects.ready(ref) == WAITS


@virtual_time
async def test_a_crash_loop_while_it_waits_publishes_nothing() -> None:
    """However often a process begins anew, with a flip in each of its lives."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT)))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world)
    for _ in range(10):
        async with world.operator():
            await asyncio.sleep(5)
            await flip(world, 3, 15)
    assert publishes(world) == [6] * COUNT


@virtual_time
async def test_a_rotation_a_rollback_and_another_try_go_through_unhindered() -> None:
    """Within minutes of the first key, and nobody hears of a limit; the next day it is the same again."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT)))
    async with world.operator():
        await world.until_ready(ref)
        for _ in range(3):
            for pair in (keys.rsa("second"), keys.rsa(), keys.rsa("second"), keys.rsa("third"), keys.rsa()):
                await asyncio.sleep(MINUTE)
                world.secrets.put_key(pair)
                await world.until_signed_with(ref, pair, 5)
            await asyncio.sleep(2 * HOUR)
    assert publishes(world) == [16] * COUNT
    assert not warnings(world)
    assert "earlierPublishes" in world.objects.status(ref)["phoneNumbers"][0]


@virtual_time
async def test_a_first_key_leaves_nothing_to_remember() -> None:
    """The status of a healthy object is not a byte longer for the limit, nor is it a day after a rotation."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        assert "earlierPublishes" not in world.objects.status(ref)["phoneNumbers"][0]
        await asyncio.sleep(HOUR)
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"))
        assert "earlierPublishes" not in world.objects.status(ref)["phoneNumbers"][0]


@virtual_time
async def test_whoever_asks_for_a_check_has_the_key_published_at_once() -> None:
    """The annotation lifts the limit, and it counts anew."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(COUNT)))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world)
        world.objects.request_check(ref, "1")
        await world.until_signed_with(ref, keys.rsa(), 5)
        assert publishes(world) == [7] * COUNT
        assert "earlierPublishes" not in world.objects.status(ref)["phoneNumbers"][0]
        await flip(world)
        assert publishes(world) == [12] * COUNT


@virtual_time
async def test_a_request_that_is_never_met_does_not_lift_the_limit_in_each_life() -> None:
    """A process that ends before all numbers were tried, again and again, costs one publish each time at most."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        await flip(world)
    world.phones[number(2)].seconds = 1000.0
    world.objects.request_check(ref, "1")
    before = world.phones.count("publish", number(1))
    for _ in range(5):
        async with world.operator():
            await asyncio.sleep(5)
            await flip(world, 5, 25)
    assert world.phones.count("publish", number(1)) - before <= 5


@virtual_time
async def test_a_key_that_is_refused_is_not_offered_at_each_flip() -> None:
    """What the API turns away for reasons of its own counts once for each key."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    world.phones[number(1)].refusal = DENIED
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "AccessDenied"), 10)
        await flip(world)
        assert publishes(world)[0] == 6
