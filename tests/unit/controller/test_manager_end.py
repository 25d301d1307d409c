"""How a manager ends: a publish that is under way goes on to its end, and the status shows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cluster.errors import NotLeader
from support import keys
from support.builders import spec_body
from support.fakes import now, number, numbers, unavailable
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

SECOND = keys.rsa("second")


def row(world: World, ref: ObjectKey, of: str) -> dict[str, Any]:
    """Return the row of a number."""
    (found,) = (one for one in world.objects.status(ref)["phoneNumbers"] if one["phoneNumber"] == of)
    return dict(found)


async def until_publishing(world: World, ref: ObjectKey) -> None:
    """Wait until the second key is being published to each number, which takes five seconds."""
    await world.until_ready(ref)
    await asyncio.sleep(10)
    for one in numbers(3):
        world.phones[one].seconds = 5.0
    world.secrets.put_key(SECOND)
    await until(lambda: world.phones.count("publish") == 6)
    world.objects.writes.clear()


@virtual_time
async def test_a_publish_that_ends_after_the_work_is_in_the_status() -> None:
    """One write shows all of an object; the next manager has nothing to publish, and counts from there."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3), rollout={"type": "AllAtOnce"}))
    async with world.operator():
        await until_publishing(world, ref)
        begun = row(world, ref, number(1))["lastPublishTime"]
        await world.stop_manager()
        rows = [row(world, ref, one) for one in numbers(3)]
        assert [(one["reason"], one["publishes"]) for one in rows] == [("Pending", 1)] * 3
        assert all(one["lastPublishTime"] > begun for one in rows)
        assert world.objects.status(ref)["publicKeyFingerprint"] == SECOND.fingerprint
        assert len(world.objects.writes) == 1

        world.start_manager()
        await world.until_signed_with(ref, SECOND)
        assert world.phones.count("publish") == 6
        assert [row(world, ref, one)["publishes"] for one in numbers(3)] == [1] * 3


@virtual_time
async def test_an_end_at_rest_writes_nothing() -> None:
    """Every publish is in the status."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(10)
        world.objects.writes.clear()
    assert world.objects.writes == []


@pytest.mark.parametrize("fault", ["away", "silent", "lease lost"])
@virtual_time
async def test_the_end_does_not_wait_for_an_api_server(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """As after a crash, the next manager finds the key at the number, and does not publish it again."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3), rollout={"type": "AllAtOnce"}))
    async with world.operator():
        await until_publishing(world, ref)
        match fault:
            case "away":
                world.objects.error = unavailable()
            case "silent":
                world.objects.seconds = 3600.0
            case "lease lost":
                world.objects.error = NotLeader("not sent, another process may be the leader by now")
        stopped_at = now()
        await world.stop_manager()
        assert now() - stopped_at < 9
        assert "publishes that have just ended are not in the status: " in caplog.text

        world.objects.error, world.objects.seconds = None, 0.0
        world.start_manager()
        await world.until_signed_with(ref, SECOND)
        assert world.phones.count("publish") == 6
