"""A whole operator, and a namespace with more phone numbers than it serves."""

from support import keys
from support.builders import spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

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
            "with this object the namespace has more than 25 phone numbers (each object counts as 10 at least); "
            "remove some, or ask whoever runs the operator to raise --max-numbers-per-namespace"
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
