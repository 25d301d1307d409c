"""A manager over simulated days: numbers are signed, and the status shows it."""

import asyncio
from itertools import combinations

import pytest

from bek_operator.controller.due import CHECKS_EVERY
from support import keys
from support.builders import public_key, spec_body
from support.fakes import now, number, numbers
from support.virtual_time import until, virtual_time
from support.world import World

DAY = 24 * 3600.0


@virtual_time
async def test_a_new_object_gets_its_key_to_every_number_and_says_so() -> None:
    """Every number is read, published to once, read again; the status tells of it within a second."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref, 2.0)
    assert world.objects.status(ref)["signed"] == "3/3"
    assert world.phones.count("publish") == 3
    assert world.phones.count("read") == 6
    assert "Published" in world.events.reasons


@virtual_time
async def test_what_is_over_in_a_moment_takes_one_write() -> None:
    """A new object, a rotated key and a requested check are each one write where the numbers answer at once."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3), rollout={"type": "AllAtOnce"}))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"))
        world.objects.request_check(ref, "now")
        await asyncio.sleep(60)
    assert len(world.objects.writes) == 3
    assert world.objects.status(ref)["lastHandledReconcileAt"] == "now"


@virtual_time
async def test_a_new_object_whose_only_number_hangs_has_a_ready_condition_within_a_second() -> None:
    """It says that the number was not checked yet; an object without one is one that the operator has not seen."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    world.phones[number(1)].hang()
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "Progressing"), 1)
        assert world.objects.is_current(ref)
        await asyncio.sleep(20)
    assert len(world.objects.writes) == 1


@pytest.mark.parametrize("count", [1, 20, 50])
@pytest.mark.parametrize("rollout", ["FirstNumber", "AllAtOnce"])
@virtual_time
async def test_a_changed_secret_is_answered_within_a_tenth_of_a_second(count: int, rollout: str) -> None:
    """However slow the numbers are, nobody takes Ready for the new key's; that is one write more."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(count), rollout={"type": rollout}))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(5)
        for one in numbers(count):
            world.phones[one].seconds = 0.2
        world.objects.writes.clear()
        begin = now()
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"), 10)
        (at, _, told), _ = world.objects.writes
        assert at - begin <= 0.1 + 1e-6
        assert told["publicKeyFingerprint"] == keys.rsa("second").fingerprint
        assert {one["type"]: (one["status"], one["reason"]) for one in told["conditions"]} == {
            "Ready": ("False", "Progressing"),
            "Reconciling": ("True", "Progressing"),
        }


@virtual_time
async def test_nothing_is_written_while_nothing_changes() -> None:
    """A day of checks brings reads, but no write, no publish and no event."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        writes, events, reads = len(world.objects.writes), len(world.events.posted), world.phones.count("read")
        await asyncio.sleep(DAY)
    assert (len(world.objects.writes), len(world.events.posted)) == (writes, events)
    assert world.phones.count("publish") == 3
    assert world.phones.count("read") - reads >= 3 * 120


@virtual_time
async def test_a_restart_over_healthy_objects_publishes_and_writes_nothing() -> None:
    """What the status shows is taken up again, and checked within the interval, not all at once."""
    world = World()
    refs = [world.objects.create(f"flows-{index}", spec_body([number(index)])) for index in range(40)]
    async with world.operator():
        await until(lambda: all(world.is_ready(ref) for ref in refs))
    writes, calls = len(world.objects.writes), len(world.phones.calls)
    async with world.operator():
        await asyncio.sleep(120)
        soon = len(world.phones.calls) - calls
        await asyncio.sleep(540)
    assert len(world.objects.writes) == writes
    assert world.phones.count("publish") == 40
    # Eight are to be expected; of ten thousand runs one has none.
    assert 0 < soon < 25
    assert len(world.phones.calls) - calls >= 40


@virtual_time
async def test_a_rotated_key_reaches_every_number_but_the_one_that_hangs() -> None:
    """Of twenty numbers one hangs: the other nineteen have the new key within a second, as the status says."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(20)))
    async with world.operator():
        await world.until_ready(ref)
        world.phones[number(7)].hang()
        await asyncio.sleep(700)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.objects.status(ref)["signed"] == "19/20", 1.2)
        assert world.objects.status(ref)["publicKeyFingerprint"] == keys.rsa("second").fingerprint
        world.phones[number(7)].recover()
        await world.until_ready(ref, 700)


@virtual_time
async def test_a_new_key_cancels_a_read_under_way() -> None:
    """A read that hangs does not hold up the new key for its own number."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        phone = world.phones[number(1)]
        phone.seconds = 600.0
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.under_way)
        phone.recover()
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"), 2.0)
    assert [call.kind for call in world.phones.cut_off] == ["read"]


@virtual_time
async def test_a_publish_under_way_ends_before_the_next_key_is_published() -> None:
    """A new key never cuts off a publish; after it the number is read and gets the new key."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        phone = world.phones[number(1)]
        phone.seconds = 5.0
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.phones.count("publish") == 2)
        world.secrets.put_key(keys.rsa("third"))
        await asyncio.sleep(1)
        assert world.phones.under_way == 1
        await world.until_signed_with(ref, keys.rsa("third"))
    assert world.phones.cut_off == []
    assert world.phones.count("publish") == 3


@virtual_time
async def test_the_end_waits_for_a_publish_and_for_nothing_else() -> None:
    """Stopping cuts reads off at once and lets a publish come to its end; that alone is written."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        writes = len(world.objects.writes)
        world.phones[number(1)].overwrite(None)
        world.phones[number(1)].seconds = 4.0
        world.phones[number(2)].seconds = 400.0
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.count("publish", number(1)) == 2)
        began = now()
        writes = len(world.objects.writes)
    assert now() - began < 5.0
    assert world.phones[number(1)].holds(keys.rsa())
    assert len(world.phones.cut_off) == 1
    assert number(2)[1:] in world.phones.cut_off[0].url
    assert len(world.objects.writes) == writes + 1


@virtual_time
async def test_a_number_that_lost_its_signature_is_repaired() -> None:
    """Drift is found at the next check, repaired with one publish, and told in an event."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        world.phones[number(2)].lose_signature()
        await until(lambda: world.phones.count("publish", number(2)) == 2, 700)
        await asyncio.sleep(5)
        assert world.is_ready(ref)
    assert "StaleSignature" in world.events.reasons
    assert world.phones.count("publish", number(1)) == 1


@virtual_time
async def test_a_second_writer_meets_the_brake() -> None:
    """Somebody overwrites the key again and again, for two days: that is a few publishes, and a word about it."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        for _ in range(2 * 24 * 6):
            await asyncio.sleep(600)
            world.phones[number(1)].overwrite(public_key("foreign").fingerprint)
        assert world.objects.ready(ref) == ("False", "Contended")
        assert world.phones.count("publish") < 12
        world.objects.request_check(ref, "now")
        await world.until_ready(ref, 5)


@virtual_time
async def test_a_key_that_never_becomes_valid_is_published_a_few_times_a_day() -> None:
    """The API accepts and never signs: the brake bounds that, too, and a person is asked to look."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    world.phones[number(1)].settles = float("inf")
    async with world.operator():
        await asyncio.sleep(3 * DAY)
        assert world.objects.ready(ref) == ("False", "SignatureMismatch")
    assert 3 <= world.phones.count("publish") <= 12


@virtual_time
async def test_checks_that_nobody_waits_for_are_made_together() -> None:
    """Once a second at most the operator wakes up for them, and each number has its turn once an interval."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(100), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.phones.calls.clear()
        await asyncio.sleep(300)
        times = [call.at for call in world.phones.calls]
        assert {round(at % CHECKS_EVERY, 1) % CHECKS_EVERY for at in times} == {0.0}
        assert 400 <= len(times) <= 520
        assert len({round(at) for at in times}) > 40


@virtual_time
async def test_while_numbers_come_in_the_status_is_written_once_a_second() -> None:
    """A thousand numbers bring about one write a second and one more at most; so does a new key for them."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1000)))
    for one in numbers(1000):
        world.phones[one].seconds = 0.1
    async with world.operator():
        for pair in (keys.rsa(), keys.rsa("second")):
            world.objects.writes.clear()
            began = now()
            world.secrets.put_key(pair)
            await world.until_signed_with(ref, pair)
            assert now() - began < 10
            times = [at for at, _, _ in world.objects.writes]
            pairs = combinations(enumerate(times), 2)
            assert all(last - first <= later - earlier + 1.001 for (first, earlier), (last, later) in pairs)


@virtual_time
async def test_a_check_that_is_requested_at_once_hides_no_loss() -> None:
    """A user who asks right after the repair still finds the event of the loss, and another request posts none."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(60)
        world.phones[number(1)].lose_signature()
        # The status waits for a number that is slow.
        world.phones[number(2)].seconds = 1.5
        world.secrets.put_credentials("second")
        await until(lambda: world.phones[number(1)].holds(keys.rsa()))
        await asyncio.sleep(0.1)
        world.objects.request_check(ref, "at once")
        await until(lambda: world.objects.status(ref).get("lastHandledReconcileAt") == "at once")
        await until(lambda: world.events.reasons.count("StaleSignature") == 1)
        world.objects.request_check(ref, "later")
        await asyncio.sleep(60)
        assert world.objects.status(ref)["lastHandledReconcileAt"] == "later"
        assert world.events.reasons.count("StaleSignature") == 1
