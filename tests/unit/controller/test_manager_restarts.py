"""Restarts, and two processes at once, in virtual time: what the status holds is enough to go on from."""

from __future__ import annotations

import asyncio
import math

import pytest

from support.builders import LOST_ANSWER, spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

MINUTE, HOUR = 60.0, 3600.0


@virtual_time
async def test_a_request_that_is_not_handled_clears_the_back_off_once() -> None:
    """Though the operator is restarted again and again before another number has answered."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2), rollout={"type": "AllAtOnce"}))
    async with world.operator():
        await world.until_ready(ref)
    before = world.phones.count("publish", number(1))
    world.phones[number(1)].settles = math.inf
    world.phones[number(1)].lose_signature()
    world.phones[number(2)].seconds = math.inf
    world.objects.request_check(ref, "now")
    for _ in range(6):
        async with world.operator():
            await asyncio.sleep(10.5 * MINUTE)
    assert world.objects.status(ref).get("lastHandledReconcileAt") is None
    assert world.phones.count("publish", number(1)) - before == 3


@virtual_time
async def test_a_restart_changes_no_verdict_after_lost_answers() -> None:
    """The key was published, and no answer came: that is no signature that the user has to look after."""
    world = World()
    ref = world.objects.create(wanted=spec_body([number(1)]))
    world.phones[number(1)].refusal = LOST_ANSWER
    async with world.operator():
        await asyncio.sleep(30 * MINUTE)
        before = world.objects.ready(ref), world.objects.reasons(ref), world.phones.count("publish")
    async with world.operator():
        await asyncio.sleep(10 * MINUTE)
        assert (world.objects.ready(ref), world.objects.reasons(ref), world.phones.count("publish")) == before


@pytest.mark.parametrize("later", [0.0, 0.01, 0.3, 5.0])
@virtual_time
async def test_two_processes_over_the_same_objects_settle(later: float) -> None:
    """Each adopts what the other has published: none publishes a third time, and in the end nobody writes."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(20), rollout={"type": "AllAtOnce"}))
    other = world.beside()
    async with world.operator():
        await asyncio.sleep(later)
        async with other.operator():
            await until(lambda: world.is_ready(ref), MINUTE)
            await asyncio.sleep(MINUTE)
            assert max(world.phones.count("publish", one) for one in numbers(20)) <= 2
            written, published = len(world.objects.writes), world.phones.count("publish")
            assert written <= 20
            world.phones[number(3)].lose_signature()
            await asyncio.sleep(HOUR)
            assert world.is_ready(ref)
            assert world.phones.count("publish") - published <= 2
            assert len(world.objects.writes) - written <= 10
            written = len(world.objects.writes)
            await asyncio.sleep(HOUR)
            assert len(world.objects.writes) == written
