"""A whole operator, and a namespace with more phone numbers, or larger Secrets, than it serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bek_operator.controller.informer import RESYNC_SECONDS
from bek_operator.controller.quota import MOST_BEYOND
from support import keys
from support.builders import on_premises, spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from bek_operator.crd.types import ObjectKey

OVER = ("False", "TooManyNumbers")
YOUNG = numbers(26)[12:]
"""Fit beside eleven others of 25, and not beside twelve."""


@virtual_time
async def test_objects_beyond_the_quota_say_so_and_are_served_once_there_is_room() -> None:
    """Without a restart; the older object has its numbers all the while."""
    world = World(most_numbers=25)
    old = world.objects.create("a", spec_body(numbers(12)))
    async with world.operator():
        await world.until_ready(old)
        young = world.objects.create("b", spec_body(YOUNG))
        await until(lambda: world.objects.ready(young) == OVER, 3)
        shown = {one["type"]: one["message"] for one in world.objects.status(young)["conditions"]}
        assert shown["Stalled"] == (
            "with this object and older ones the namespace counts more than 25 phone numbers, at least 4 for "
            "each object; remove some, or ask whoever runs the operator to raise --max-numbers-per-namespace"
        )
        assert world.phones.count("read", YOUNG[0]) == world.phones.count("publish", YOUNG[0]) == 0
        assert "TooManyNumbers" in world.events.reasons

        world.objects.edit(old, **spec_body(numbers(11)))
        await world.until_ready(young, 5)
        assert world.objects.status(young)["signed"] == "14/14"


@virtual_time
async def test_an_object_that_falls_beyond_the_quota_keeps_its_rows() -> None:
    """They limit the publishes, so that leaving and coming back publishes nothing again."""
    world = World(most_numbers=25)
    old = world.objects.create("a", spec_body(numbers(11)))
    young = world.objects.create("b", spec_body(YOUNG))
    async with world.operator():
        await world.until_ready(old)
        await world.until_ready(young)
        rows = world.objects.status(young)["phoneNumbers"]
        world.objects.edit(old, **spec_body(numbers(12)))
        await until(lambda: world.objects.ready(young) == OVER, 3)
        assert world.objects.status(young)["phoneNumbers"] == rows
        assert (world.objects.status(young)["signed"], world.objects.status(young)["desiredNumbers"]) == ("14/14", 14)

        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(old, keys.rsa("second"), 5)
        assert world.phones.count("publish", YOUNG[0]) == 1

        world.objects.delete(old)
        await world.until_signed_with(young, keys.rsa("second"), 5)
        assert [row["publishes"] for row in world.objects.status(young)["phoneNumbers"]] == [1] * 14
        assert world.phones.count("publish", YOUNG[0]) == 2


@virtual_time
async def test_an_object_beyond_the_quota_is_left_alone_by_the_next_process() -> None:
    """It writes nothing, and takes no more memory than a name."""
    world = World(most_numbers=25)
    old = world.objects.create("a", spec_body(numbers(12)))
    young = world.objects.create("b", spec_body(YOUNG))
    async with world.operator():
        await world.until_ready(old)
        await until(lambda: world.objects.ready(young) == OVER, 3)
    writes = len(world.objects.writes)
    async with world.operator() as manager:
        await until(lambda: manager.store.get(young) is not None, 3)
        await until(lambda: world.phones.count("read", number(1)) > 1, 1200)
        assert len(world.objects.writes) == writes
        assert world.phones.count("read", YOUNG[0]) == 0
        held = next(one for one in world.informer if one.ref == young)
        assert not hasattr(held.spec, "numbers")
        assert len(held.status.rows) == 0


@virtual_time
async def test_of_very_many_objects_beyond_the_quota_the_youngest_are_not_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not by their names either; the log says how many. A later list has another one in the place of a deleted one."""
    world = World(most_numbers=4)
    served, *others = (
        world.objects.create(f"object-{index}", spec_body([number(1)]), created=float(index))
        for index in range(MOST_BEYOND + 3)
    )
    last, left_out = others[-3], others[-2:]

    async with world.operator() as manager:
        await world.until_ready(served)
        await until(lambda: world.objects.ready(last) == OVER, 600)
        await asyncio.sleep(RESYNC_SECONDS)
        assert {one.ref for one in world.informer} == {*manager.store} == {served, *others} - {*left_out}
        assert not {*left_out} & {*world.objects.reads}
        assert [ref for ref in left_out if world.objects.ready(ref) != ("", "")] == []
        # Once, and not after each list.
        assert caplog.messages.count(_left_out(2)) == 1

        world.objects.delete(others[0])
        await until(lambda: world.objects.ready(left_out[0]) == OVER, RESYNC_SECONDS + 60)
        assert world.objects.ready(left_out[1]) == ("", "")
        assert _left_out(1) in caplog.messages


def _left_out(count: int) -> str:
    return (
        f"namespace messaging: {count} objects are not reconciled, and their status is left unchanged: more than 1000 "
        "exceed --max-numbers-per-namespace"
    )


APIS = 31
"""With as large a CA bundle each as there can be, two objects of so many fit and three do not."""

NO_ROOM = ("False", "InvalidCredentials")


def create_with_large_bundles(world: World, index: int) -> ObjectKey:
    """Create an object with a CA bundle for each number; of objects with a lower index it is the younger one."""
    name, apis = f"object-{index}", [str(one) for one in range(APIS)]
    # In memory a text with such a character takes four times as much as another one.
    world.secrets.put(name, **dict.fromkeys(apis, "€" + "x" * 65_000))
    listed = [{"phoneNumber": number(100 * index + int(api)), "api": api} for api in apis]
    wanted = [on_premises(api, tls={"caSecretRef": {"name": name, "key": api}}) for api in apis]
    return world.objects.create(name, spec_body(apis=wanted, phoneNumbers=listed), created=float(index))


@virtual_time
async def test_objects_whose_secrets_take_too_much_memory_say_so_until_there_is_room() -> None:
    """The youngest ones; and nothing is held of their Secrets then."""
    world = World()
    two, three = (create_with_large_bundles(world, index) for index in (2, 3))
    async with world.operator() as manager:
        await world.until_ready(two)
        await world.until_ready(three)
        one = create_with_large_bundles(world, 1)
        await world.until_ready(one)
        await until(lambda: world.objects.ready(three) == NO_ROOM, 3)
        row, *_ = world.objects.status(three)["phoneNumbers"]
        assert row["message"].startswith(
            "the credentials and CA bundles of this object and of older ones in the namespace"
        )
        assert (state := manager.store.get(three))
        assert [facts.target.endpoint for facts in state.facts.values()] == [None] * APIS
        assert world.objects.ready(two)[0] == "True"

        world.objects.delete(one)
        await world.until_ready(three, 5)
        assert world.phones.count("publish", number(300)) == 1


@virtual_time
async def test_the_oldest_objects_have_the_first_claim_to_memory_at_a_start() -> None:
    """The others are not even called once, at no start."""
    world = World()
    two, *others = (create_with_large_bundles(world, index) for index in range(2, 10))
    one = create_with_large_bundles(world, 1)
    for _ in range(2):
        async with world.operator():
            await world.until_ready(one)
            await world.until_ready(two)
            await until(lambda: all(world.objects.ready(other) == NO_ROOM for other in others), 10)
        assert [index for index in range(3, 10) if world.phones.count("read", number(100 * index))] == []
