"""How a manager handles edits, Secrets, deletions and duplicate numbers, in whatever order the events arrive."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bek_operator.cluster.errors import NotFound
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import ObjectKey
from bek_operator.numbers.answers import Failure, Pace
from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, NAMESPACE, on_premises, spec_body
from support.fakes import number, numbers, unavailable
from support.virtual_time import until, virtual_time
from support.world import READY, World

MINUTE, HOUR = 60.0, 3600.0
DAY = 24 * 3600.0


@virtual_time
async def test_an_edit_while_the_object_is_read_is_not_lost() -> None:
    """An answer that was old when it arrived does not hide the edit that was heard of meanwhile."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.seconds = 0.5
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(2)}])
        await asyncio.sleep(0.1)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(3)}])
        await until(lambda: list(world.objects.reasons(ref)) == [number(3)], 10)
        await world.until_ready(ref, 10)


@virtual_time
async def test_a_request_while_the_object_is_read_is_not_lost() -> None:
    """The same holds where nothing has to be written that would run into a conflict."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.seconds = 0.5
        world.objects.touch(ref)
        await asyncio.sleep(0.1)
        world.objects.request_check(ref, "1")
        await until(lambda: world.objects.status(ref).get("lastHandledReconcileAt") == "1", 10)


@virtual_time
async def test_an_edit_while_a_new_object_is_first_read_is_not_lost() -> None:
    """The same holds for an object that nothing is known of yet."""
    world = World()
    async with world.operator():
        await asyncio.sleep(1)
        world.objects.seconds = 0.5
        ref = world.objects.create(wanted=spec_body(numbers(1)))
        await asyncio.sleep(0.1)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(2)}])
        await until(lambda: list(world.objects.reasons(ref)) == [number(2)], 10)
        await world.until_ready(ref, 10)


@virtual_time
async def test_a_secret_that_arrives_while_it_is_looked_for_is_not_lost() -> None:
    """A Secret that is created between our read and its answer is seen all the same."""
    world = World()
    world.secrets.remove(KEY_SECRET)
    async with world.operator():
        await asyncio.sleep(1)
        world.secrets.seconds = 0.5
        ref = world.objects.create(wanted=spec_body(numbers(1)))
        await asyncio.sleep(0.1)
        world.secrets.put_key(keys.rsa())
        await world.until_ready(ref, 10)


@virtual_time
async def test_the_echo_of_an_own_write_is_not_read_again() -> None:
    """The watch delivers a write before its answer is here; neither object nor Secrets are read for that."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.seconds = 0.2
        objects, secrets = len(world.objects.reads), len(world.secrets.reads)
        world.phones[number(1)].overwrite(None)
        await until(lambda: world.phones.count("publish", number(1)) == 2, 100)
        await asyncio.sleep(20)
        assert len(world.objects.writes) == 2
        assert (len(world.objects.reads), len(world.secrets.reads)) == (objects, secrets)


@virtual_time
async def test_an_edit_of_metadata_calls_nobody() -> None:
    """A label on the object or on a Secret leads to no call and no write."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        calls, writes = len(world.phones.calls), len(world.objects.writes)
        world.objects.touch(ref)
        world.secrets.put_key(keys.rsa())
        world.secrets.put_credentials("first")
        await asyncio.sleep(5)
        assert (len(world.phones.calls), len(world.objects.writes)) == (calls, writes)


@virtual_time
async def test_new_credentials_are_tried_at_once() -> None:
    """A changed password leads to a read with it, and to no publish."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        reads = world.phones.count("read")
        world.secrets.put_credentials("second")
        await until(lambda: world.phones.count("read") == reads + 1, 2)
    assert world.phones.count("publish") == 1


@virtual_time
async def test_a_secret_that_is_replaced_is_given_two_seconds() -> None:
    """Deleting and creating a Secret at once is no event in the life of its object, except for its new key."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        writes = len(world.objects.writes)
        world.secrets.remove(KEY_SECRET)
        await asyncio.sleep(1.5)
        world.secrets.put_key(keys.rsa())
        await asyncio.sleep(10)
        assert len(world.objects.writes) == writes
        world.secrets.remove(KEY_SECRET)
        await until(lambda: world.objects.ready(ref) == ("False", "SecretNotFound"), 3)
        calls = len(world.phones.calls)
        await asyncio.sleep(DAY)
        assert len(world.phones.calls) == calls
        assert world.objects.status(ref)["signed"] == "1/1"
        world.secrets.put_key(keys.rsa())
        await world.until_ready(ref, 5)
    assert world.phones.count("publish") == 1


@virtual_time
async def test_an_edit_while_a_secret_is_away_for_a_moment_is_not_called_ready() -> None:
    """Nothing is claimed of a spec before its Secrets were there to plan it from."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.remove(KEY_SECRET)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(5)}])
        world.phones[number(5)].failure = Failure(reason=Reason.UNREACHABLE, message="off", pace=Pace.SOON)
        await asyncio.sleep(1)
        assert not world.is_ready(ref)
        world.secrets.put_key(keys.rsa())
        await asyncio.sleep(60)
        assert not world.is_ready(ref)
        assert world.objects.reasons(ref) == {number(5): "Unreachable"}


@virtual_time
async def test_a_role_that_is_mended_is_noticed() -> None:
    """A Secret that may not be read is looked for again each minute."""
    world = World()
    world.secrets.forbidden = {LOGIN_SECRET}
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await until(lambda: world.objects.ready(ref)[1] == "CredentialsNotFound", 10)
        world.secrets.forbidden = set()
        await world.until_ready(ref, 70)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(KEY_SECRET, "SecretNotFound"), (LOGIN_SECRET, "CredentialsNotFound")],
    ids=["key", "login"],
)
@virtual_time
async def test_a_secret_that_may_not_be_read_for_a_moment_is_no_event(secret: str, reason: str) -> None:
    """Roles may be replaced one by one: nothing is made of that, unless it lasts."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(20)))
    async with world.operator():
        await world.until_ready(ref)
        await asyncio.sleep(MINUTE)
        before = (len(world.events.posted), len(world.objects.writes), len(world.phones.calls))
        world.secrets.forbidden = {secret}
        world.secrets.notify(NAMESPACE, secret, "touched")
        await asyncio.sleep(1.5)
        world.secrets.forbidden = set()
        await asyncio.sleep(10)
        assert world.secrets.reads.count(secret) > 2
        assert (len(world.events.posted), len(world.objects.writes), len(world.phones.calls)) == before
        assert world.is_ready(ref)

        world.secrets.forbidden = {secret}
        world.secrets.notify(NAMESPACE, secret, "touched")
        await asyncio.sleep(1.5)
        assert world.is_ready(ref)
        await until(lambda: world.objects.ready(ref) == ("False", reason), 3)
        world.secrets.forbidden = set()
        await world.until_ready(ref, 70)
    assert world.phones.count("publish") == 20


@virtual_time
async def test_a_secret_that_may_not_be_read_is_looked_at_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    """And not whenever one of the other numbers has come to an end: nobody would find anything else in the log."""
    world = World(numbers_at_once=5)
    second = on_premises("second", "https://second-{digits}")
    second["onPremises"]["credentialsSecretRef"]["name"] = "second-admin"
    world.secrets.put("second-admin", username="admin", password="x")
    world.secrets.forbidden = {"second-admin"}
    for one in numbers(100):
        world.phones[one].seconds = 0.5
    ref = world.objects.create(
        wanted={
            **spec_body(numbers(100)),
            "apis": [on_premises(), second],
            "phoneNumbers": [
                *({"phoneNumber": one, "api": "default"} for one in numbers(100)),
                {"phoneNumber": number(101), "api": "second"},
            ],
        }
    )
    async with world.operator():
        await asyncio.sleep(55)
        assert world.objects.status(ref)["signed"] == "100/101"
        assert len(world.objects.writes) > 5
        assert world.secrets.reads.count("second-admin") == 1
        await asyncio.sleep(5 * MINUTE)
    assert world.secrets.reads.count("second-admin") == 6
    assert [record.getMessage() for record in caplog.records].count("cannot read a Secret: not for us") == 6


@virtual_time
async def test_a_changed_secret_is_found_without_any_watch() -> None:
    """With the watch on Secrets off, or narrowed, the sweep finds a new key."""
    world = World(watch_secrets=False)
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.phones[number(1)].holds(keys.rsa("second")), 1300)


@virtual_time
async def test_a_re_created_object_is_another() -> None:
    """An object that comes back under its name while its numbers are in flight starts from nothing known."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        first = world.objects.resource(ref).uid
        world.phones[number(1)].seconds = 10.0
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.under_way)
        world.objects.delete(ref)
        assert world.objects.create(wanted=spec_body(numbers(1))) == ref
        await world.until_ready(ref, 40)
        assert world.objects.resource(ref).uid != first
    assert world.objects.refused == 0
    assert world.phones.count("publish") == 2


@virtual_time
async def test_a_deleted_object_is_left_alone_at_once() -> None:
    """Deleting cancels what is under way; nobody is called for it afterwards."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(5)))
    async with world.operator():
        await world.until_ready(ref)
        for one in numbers(5):
            world.phones[one].seconds = 100.0
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.under_way == 5)
        world.objects.delete(ref)
        await asyncio.sleep(1)
        assert world.phones.under_way == 0
        calls = len(world.phones.calls)
        await asyncio.sleep(DAY)
        assert len(world.phones.calls) == calls


@virtual_time
async def test_a_ghost_is_laid_by_the_sweep() -> None:
    """An object whose deletion nobody told of is called for no longer than until the next sweep."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.event_handlers = []
        world.objects.delete(ref)
        other = world.objects.create("other", spec_body([number(8)]))
        world.objects.event_handlers = [world.informer.on_event]
        await asyncio.sleep(700)
        calls = world.phones.count("read", number(1))
        await asyncio.sleep(DAY)
        assert world.phones.count("read", number(1)) == calls
        assert world.is_ready(other)


@virtual_time
async def test_without_its_definition_no_object_is_left() -> None:
    """All are forgotten at once when they are listed anew; what appears under their names later is new."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.event_handlers = []
        world.objects.delete(ref)
        world.objects.list_error = NotFound("no such resource")
        world.informer.resync()
        await asyncio.sleep(1)
        calls = len(world.phones.calls)
        await asyncio.sleep(HOUR)
        assert len(world.phones.calls) == calls
        world.objects.list_error = None
        again = world.objects.create(wanted=spec_body(numbers(2)))
        world.informer.resync()
        await world.until_ready(again, 10)
        assert world.objects.status(again)["phoneNumbers"][0]["reason"] == "Signed"


@virtual_time
async def test_a_list_that_fails_forgets_nothing() -> None:
    """An API server that doesn't answer says nothing of any object."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.list_error = unavailable()
        world.informer.resync()
        calls = world.phones.count("read", number(1))
        await asyncio.sleep(HOUR)
        assert world.phones.count("read", number(1)) > calls + 50


@virtual_time
async def test_a_conflict_is_planned_again() -> None:
    """Somebody else's write between our read and our write costs a refused write, and no more."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.event_handlers = []
        world.objects.touch(ref)
        world.phones[number(1)].overwrite(None)
        await until(lambda: world.phones.count("publish") == 2, 100)
        await asyncio.sleep(5)
        assert world.objects.refused == 1
        assert world.objects.status(ref)["phoneNumbers"][0]["publishes"] == 2


@virtual_time
async def test_a_status_that_somebody_else_wrote_is_put_right() -> None:
    """What another writer made of the status is replaced by what is so, without a publish."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        status = world.objects.status(ref)
        world.objects.overwrite_status(ref, {"observedGeneration": -1})
        await until(lambda: world.objects.status(ref).get("phoneNumbers") == status["phoneNumbers"], 5)
    assert world.phones.count("publish") == 1


@virtual_time
async def test_a_suspended_object_calls_nobody_until_it_is_resumed() -> None:
    """Suspending ends what is under way; resuming takes the work up again."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.edit(ref, suspend=True)
        await asyncio.sleep(1)
        assert world.objects.ready(ref) == READY
        calls = len(world.phones.calls)
        world.phones[number(1)].overwrite(None)
        world.objects.request_check(ref, "1")
        await asyncio.sleep(DAY)
        assert len(world.phones.calls) == calls
        world.objects.edit(ref, suspend=False)
        await until(lambda: world.phones[number(1)].holds(keys.rsa()), 5)
        await world.until_ready(ref, 5)


@virtual_time
async def test_a_suspended_object_whose_secret_is_deleted_stays_as_it_was() -> None:
    """Neither its key nor a restart changes what was known; another key is one that no number was checked for."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.edit(ref, suspend=True)
        await world.until_ready(ref, 1)
        writes = len(world.objects.writes)
        world.secrets.remove(KEY_SECRET)
        await asyncio.sleep(DAY)
    async with world.operator():
        await asyncio.sleep(DAY)
        world.secrets.put_key(keys.rsa())
        await asyncio.sleep(DAY)
        assert (world.objects.ready(ref), len(world.objects.writes)) == (READY, writes)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.objects.ready(ref) == ("False", "Suspended"), 5)


RESTS: dict[str, tuple[int, Callable[[World, ObjectKey], None], Callable[[World, ObjectKey], None]]] = {
    "suspended": (
        604800,
        lambda world, ref: world.objects.edit(ref, suspend=True),
        lambda world, ref: world.objects.edit(ref, suspend=False),
    ),
    "resumed with an edit": (
        604800,
        lambda world, ref: world.objects.edit(ref, suspend=True),
        lambda world, ref: world.objects.edit(ref, suspend=False, intervalSeconds=600000),
    ),
    "without a key for longer than the interval": (
        1800,
        lambda world, _ref: world.secrets.put(KEY_SECRET, **{"private.pem": "broken"}),
        lambda world, _ref: world.secrets.put_key(keys.rsa()),
    ),
}


@pytest.mark.parametrize(("interval", "rest", "wake"), RESTS.values(), ids=RESTS.keys())
@virtual_time
async def test_what_was_well_before_a_rest_is_not_believed_after_it(
    interval: int, rest: Callable[[World, ObjectKey], None], wake: Callable[[World, ObjectKey], None]
) -> None:
    """Anything may have happened to numbers that nobody was to call: READY waits until they were looked at."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2), intervalSeconds=interval))
    async with world.operator():
        await world.until_ready(ref)
        rest(world, ref)
        await asyncio.sleep(HOUR)
        world.phones[number(1)].overwrite(keys.rsa("foreign").fingerprint)
        world.phones[number(2)].hang()
        wake(world, ref)
        await until(lambda: world.phones[number(1)].holds(keys.rsa()), 5)
        await until(lambda: world.objects.ready(ref) == ("False", "Progressing"), 5)
        world.phones[number(2)].recover()
        await world.until_ready(ref, MINUTE)


@virtual_time
async def test_suspending_stops_a_number_whose_publish_waits_for_the_status() -> None:
    """A publish that waited for the last one to be recorded is not made once the object is suspended."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=60))
    phone = world.phones[number(1)]
    async with world.operator():
        await world.until_ready(ref)
        world.objects.error = unavailable()
        phone.overwrite(None)
        await until(lambda: phone.holds(keys.rsa()), 100)
        await asyncio.sleep(5)
        phone.overwrite(None)
        await asyncio.sleep(300)
        calls = len(world.phones.calls)
        world.objects.error = None
        world.objects.edit(ref, suspend=True)
        await asyncio.sleep(HOUR)
        assert len(world.phones.calls) == calls


@virtual_time
async def test_suspending_stops_numbers_that_wait_for_the_rollout() -> None:
    """A key that has proven itself does not go to the others once its pause is over."""
    world = World()
    rollout = {"firstNumber": {"phoneNumber": number(1), "pauseSeconds": 300}}
    ref = world.objects.create(wanted=spec_body(numbers(3), rollout=rollout))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.objects.status(ref)["signed"] == "1/3", 10)
        world.objects.edit(ref, suspend=True)
        await asyncio.sleep(1)
        calls = len(world.phones.calls)
        await asyncio.sleep(310)
        assert len(world.phones.calls) == calls
        world.objects.edit(ref, suspend=False)
        await world.until_signed_with(ref, keys.rsa("second"), 5)


@virtual_time
async def test_a_new_interval_while_a_rollout_publishes_leaves_no_number_unlooked_at() -> None:
    """The publish comes to its end, and what it led to is read at once, not after the new interval."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    phone = world.phones[number(2)]
    async with world.operator():
        await world.until_ready(ref)
        phone.seconds = 5.0
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.phones.count("publish", number(2)) == 2, 60)
        await asyncio.sleep(1)
        world.objects.edit(ref, intervalSeconds=3600)
        await until(lambda: phone.holds(keys.rsa("second")), 10)
        phone.seconds = 0.02
        await world.until_signed_with(ref, keys.rsa("second"), 10)
    assert world.phones.count("publish") == 4


@virtual_time
async def test_an_older_objects_claim_wakes_the_younger_one() -> None:
    """When the older object lets a number go, by edit, suspension or deletion, the younger one takes it."""
    world = World()
    older = world.objects.create("older", spec_body(numbers(1)), created=0)
    younger = world.objects.create("younger", spec_body(numbers(1)), created=1)
    async with world.operator():
        await world.until_ready(older)
        await until(lambda: world.objects.ready(younger) == ("False", "DuplicateNumber"), 5)
        world.objects.edit(older, suspend=True)
        await world.until_ready(younger, 5)
        world.objects.edit(older, suspend=False)
        await until(lambda: world.objects.ready(younger) == ("False", "DuplicateNumber"), 5)
        world.objects.edit(older, phoneNumbers=[{"phoneNumber": number(2)}])
        await world.until_ready(younger, 5)
        world.objects.edit(older, phoneNumbers=[{"phoneNumber": number(1)}])
        await until(lambda: world.objects.ready(younger) == ("False", "DuplicateNumber"), 5)
        world.objects.delete(older)
        await world.until_ready(younger, 5)
    assert world.phones.count("publish", number(1)) == 1


@virtual_time
async def test_an_object_that_asks_for_the_impossible_says_so_and_heals() -> None:
    """An unusable key is told; the rows stay, nobody is called, and the right key heals it."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    async with world.operator():
        await world.until_ready(ref)
        world.secrets.put(KEY_SECRET, public_pem="not a key")
        await until(lambda: world.objects.ready(ref) == ("False", "InvalidKey"), 3)
        assert world.objects.status(ref)["publicKeyFingerprint"] == keys.rsa().fingerprint
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"), 5)


@virtual_time
async def test_a_spec_that_is_not_understood_is_told_and_heals() -> None:
    """An object that an older CRD let through is refused by name of its field, and others are not harmed."""
    world = World()
    broken: dict[str, Any] = {"keySecretRef": {"name": KEY_SECRET}, "apis": [], "phoneNumbers": [{"phoneNumber": "1"}]}
    ref = world.objects.create(wanted=broken)
    other = world.objects.create("other", spec_body([number(2)]))
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "InvalidSpec"), 3)
        await world.until_ready(other, 5)
        world.objects.edit(ref, **spec_body(numbers(1)))
        await world.until_ready(ref, 5)


@virtual_time
async def test_numbers_that_are_added_and_removed_are_followed() -> None:
    """Editing the list signs what is new and lets go of what is gone, at once."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(3)}, {"phoneNumber": number(4)}])
        await world.until_ready(ref, 5)
        assert list(world.objects.reasons(ref)) == [number(3), number(4)]
        reads = world.phones.count("read", number(1))
        await asyncio.sleep(DAY)
        assert world.phones.count("read", number(1)) == reads
    assert world.phones.count("publish") == 4
