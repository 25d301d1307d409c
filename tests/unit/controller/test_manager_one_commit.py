"""A key and `bek.dev/requested-at` in one commit: two events, shortly after each other, and one look at each number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.builders import REJECTED, spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

NEW = keys.rsa("second")
GAPS = [0.0, 0.003, 0.03, 0.1, 0.2, 1.0]


async def commit(world: World, ref: ObjectKey, gap: float, *, secret_first: bool) -> None:
    """Put the new key, and request a check, so many seconds apart."""
    if secret_first:
        world.secrets.put_key(NEW)
    else:
        world.objects.request_check(ref, "commit")
    if gap:
        await asyncio.sleep(gap)
    if secret_first:
        world.objects.request_check(ref, "commit")
    else:
        world.secrets.put_key(NEW)


async def rotated(
    world: World, gap: float, seconds: float, *, secret_first: bool, count: int = 3, rollout: str = "FirstNumber"
) -> ObjectKey:
    """Make an object that is well, and then a commit while calls take so many seconds."""
    ref = world.objects.create(wanted=spec_body(numbers(count), rollout={"type": rollout}))
    await world.until_ready(ref)
    await asyncio.sleep(60)
    for one in numbers(count):
        world.phones[one].seconds = seconds
    world.phones.calls.clear()
    await commit(world, ref, gap, secret_first=secret_first)
    return ref


def is_handled(world: World, ref: ObjectKey) -> bool:
    """Return whether the status says that the request was handled."""
    return world.objects.status(ref).get("lastHandledReconcileAt") == "commit"


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.15, 0.5])
@pytest.mark.parametrize("rollout", ["FirstNumber", "AllAtOnce"])
@virtual_time
async def test_a_key_and_then_a_request_are_one_publish(gap: float, seconds: float, rollout: str) -> None:
    """As if only the key had changed; a number that was looked at by then is looked at once more."""
    world = World()
    async with world.operator():
        ref = await rotated(world, gap, seconds, secret_first=True, rollout=rollout)
        await world.until_signed_with(ref, NEW)
        await until(lambda: is_handled(world, ref))
        await asyncio.sleep(60)
        for one in numbers(3):
            assert world.phones.count("publish", one) == 1
            assert world.phones.count("read", one) in ({1} if gap <= seconds else {1, 2})
    assert world.phones.cut_off == []


@pytest.mark.parametrize("gap", [0.2, 1.0, 1.8, 2.5])
@virtual_time
async def test_a_request_after_a_rotation_is_a_look_of_its_own(gap: float) -> None:
    """However soon it comes: what was lost since then is found."""
    world = World()
    async with world.operator():
        ref = world.objects.create(wanted=spec_body(numbers(3)))
        await world.until_ready(ref)
        world.secrets.put_key(NEW)
        await world.until_signed_with(ref, NEW)
        await asyncio.sleep(gap)
        world.phones.calls.clear()
        world.objects.request_check(ref, "commit")
        await until(lambda: is_handled(world, ref))
        assert [world.phones.count("read", one) for one in numbers(3)] == [1, 1, 1]
        assert world.phones.count("publish") == 0


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.15, 0.5])
@virtual_time
async def test_a_request_and_then_a_key_are_one_publish(gap: float, seconds: float) -> None:
    """The requested read is made before the key is there, or cut off when it comes; no other is made for it."""
    world = World()
    async with world.operator():
        ref = await rotated(world, gap, seconds, secret_first=False)
        await world.until_signed_with(ref, NEW)
        await until(lambda: is_handled(world, ref))
        await asyncio.sleep(60)
        requested = 1 if gap else 0
        for one in numbers(3):
            assert (world.phones.count("publish", one), world.phones.count("read", one)) == (1, 1 + requested)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.15, 0.5])
@pytest.mark.parametrize("secret_first", [True, False], ids=["the Secret first", "the object first"])
@virtual_time
async def test_a_key_that_is_refused_is_published_once(gap: float, seconds: float, *, secret_first: bool) -> None:
    """The first number is asked to take it for either of the two, or for both; a later request asks once more."""
    world = World()
    async with world.operator():
        world.phones[number(1)].refusal = REJECTED
        world.phones[number(1)].overwrite(keys.rsa().fingerprint)
        ref = await rotated(world, gap, seconds, secret_first=secret_first)
        await until(lambda: world.objects.ready(ref) == ("False", "KeyRejected"), 10)
        await until(lambda: is_handled(world, ref))
        await asyncio.sleep(60)
        assert (world.phones.count("publish"), world.phones.count("publish", number(1))) == (1, 1)
        world.objects.request_check(ref, "later")
        await asyncio.sleep(5)
        assert world.phones.count("publish", number(1)) == 2


@virtual_time
async def test_a_request_during_a_publish_hears_what_came_of_it() -> None:
    """A refusal is not forgotten because somebody asked for a check while it was on its way."""
    world = World()
    async with world.operator():
        ref = await rotated(world, 5.0, 10.0, secret_first=True, count=1)
        world.phones[number(1)].refusal = REJECTED
        await until(lambda: is_handled(world, ref))
        await until(lambda: world.objects.ready(ref) == ("False", "KeyRejected"))
        await asyncio.sleep(60)
        assert [call.kind for call in world.phones.calls] == ["publish", "read"]
