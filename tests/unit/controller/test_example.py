"""The example of CONTRIBUTING.md: a whole operator between fakes, in virtual time."""

from support import keys
from support.builders import spec_body
from support.fakes import number, numbers
from support.virtual_time import until, virtual_time
from support.world import World


@virtual_time
async def test_a_lost_signature_is_repaired_at_the_next_check() -> None:
    """The number that lost its signature gets the key once more, and the status and an event say so."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)

        world.phones[number(2)].lose_signature()
        await until(lambda: world.phones.count("publish", number(2)) == 2, seconds=700)
        await world.until_ready(ref)

        assert world.phones[number(2)].holds(keys.rsa())
        assert world.phones.count("publish") == 4
        assert world.objects.status(ref)["signed"] == "3/3"
        assert "StaleSignature" in world.events.reasons
