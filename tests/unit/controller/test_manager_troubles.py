"""A manager while the API server is unavailable, numbers hang, or calls fail unexpectedly."""

import asyncio

from bek_operator.cluster.errors import Forbidden, NotFound
from bek_operator.cluster.events import Events
from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from support import keys
from support.builders import NAMESPACE, on_premises, spec_body
from support.fakes import number, numbers, unavailable
from support.virtual_time import until, virtual_time
from support.world import World

HOUR = 3600.0
DAY = 24 * 3600.0


@virtual_time
async def test_an_api_server_that_takes_no_writes_costs_one_publish() -> None:
    """While no status can be written, a number is published to once, however often its key is lost."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.error = unavailable()
        phone = world.phones[number(1)]
        phone.overwrite(None)
        await until(lambda: phone.holds(keys.rsa()), 100)
        await asyncio.sleep(5)
        phone.overwrite(None)
        await asyncio.sleep(2 * HOUR)
        assert world.phones.count("publish") == 2
        world.objects.error = None
        await until(lambda: phone.holds(keys.rsa()), 120)
        await until(lambda: world.is_ready(ref), 120)


@virtual_time
async def test_reads_go_on_while_the_api_server_is_away() -> None:
    """An outage stops no check, and is over within a minute after it."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.error = world.secrets.error = unavailable()
        world.objects.touch(ref)
        reads = world.phones.count("read")
        await asyncio.sleep(2 * HOUR)
        assert world.phones.count("read") - reads > 3 * 90
        world.objects.error = world.secrets.error = None
        world.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(9)}])
        await world.until_ready(ref, 90)


@virtual_time
async def test_a_start_without_an_api_server_waits_for_it() -> None:
    """Without an API server, or without the CRD, the operator waits and is not ready."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    world.objects.error = unavailable()
    async with world.operator():
        await asyncio.sleep(60)
        assert not world.informer.synced.is_set()
        world.objects.error = NotFound("no such resource")
        await asyncio.sleep(60)
        assert not world.informer.synced.is_set()
        world.objects.error = None
        await world.until_ready(ref, 20)
        assert world.informer.synced.is_set()


@virtual_time
async def test_a_host_that_all_numbers_share_gets_no_more_than_its_share() -> None:
    """Numbers behind one host are worked on so many at a time, and nobody else waits for them."""
    world = World(per_host=3)
    api = on_premises(url="https://whatsapp/{digits}")
    crowd = world.objects.create("crowd", spec_body([number(index) for index in range(100, 150)], apis=[api]))
    for index in range(100, 150):
        world.phones.at(f"https://whatsapp.{NAMESPACE}.svc/{number(index)[1:]}").seconds = 20.0
    async with world.operator():
        await until(lambda: world.phones.under_way, 5)
        await asyncio.sleep(5)
        assert world.phones.most_under_way == 3
        lone = world.objects.create("lone", spec_body([number(1)]))
        await world.until_ready(lone, 3)
        assert not world.is_ready(crowd)


@virtual_time
async def test_many_sick_numbers_leave_room_for_healthy_ones() -> None:
    """With more hanging numbers than workers, healthy ones are checked on time and new ones signed at once."""
    world = World(numbers_at_once=10)
    sick = world.objects.create("sick", spec_body([number(index) for index in range(100, 160)], intervalSeconds=60))
    well = world.objects.create("well", spec_body([number(1)], intervalSeconds=60))
    async with world.operator():
        await until(lambda: world.is_ready(sick) and world.is_ready(well))
        for index in range(100, 160):
            world.phones[number(index)].hang()
        await asyncio.sleep(HOUR)
        reads = world.phones.count("read", number(1))
        await asyncio.sleep(HOUR)
        assert world.phones.count("read", number(1)) - reads >= 50
        new = world.objects.create("new", spec_body([number(2)]))
        await world.until_ready(new, 3)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: world.phones[number(1)].holds(keys.rsa("second")), 3)


@virtual_time
async def test_a_flood_of_new_numbers_leaves_room_for_those_that_answer() -> None:
    """Hundreds of numbers that never answered hold most of the workers, and not all."""
    world = World(numbers_at_once=10)
    well = world.objects.create("well", spec_body(numbers(20), intervalSeconds=60))
    async with world.operator():
        await world.until_ready(well)
        for index in range(100, 500):
            world.phones[number(index)].hang()
        world.objects.create("flood", spec_body([number(index) for index in range(100, 500)]))
        await until(lambda: world.phones.under_way == 7, 5)
        world.secrets.put_key(keys.rsa("second"))
        await until(lambda: all(world.phones[one].holds(keys.rsa("second")) for one in numbers(20)), 5)
        reads = world.phones.count("read", number(1))
        await asyncio.sleep(600)
        assert world.phones.count("read", number(1)) - reads >= 8


@virtual_time
async def test_a_passing_fault_shows_nowhere() -> None:
    """One failed check of a signed number is no write; a lasting one is told after five minutes."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    off = Failure(reason=Reason.UNREACHABLE, message="connection refused", pace=Pace.NORMAL)
    async with world.operator():
        await world.until_ready(ref)
        writes = len(world.objects.writes)
        world.phones[number(1)].failure = off
        await asyncio.sleep(700)
        world.phones[number(1)].failure = None
        await asyncio.sleep(HOUR)
        world.phones[number(1)].failure = off
        await until(lambda: world.objects.ready(ref) == ("False", "Unreachable"), 1500)
        world.phones[number(1)].failure = None
        await world.until_ready(ref, 700)
        assert len(world.objects.writes) >= writes + 2
    assert world.phones.count("publish") == 1


@virtual_time
async def test_a_server_that_asks_for_patience_is_left_alone() -> None:
    """Retry-After holds whatever happens meanwhile, a person's request included."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    phone = world.phones[number(1)]
    phone.failure = Failure(reason=Reason.RATE_LIMITED, message="slow down", retry_after=1800.0, pace=Pace.SLOW)
    async with world.operator():
        await until(lambda: world.phones.calls)
        phone.failure = None
        world.objects.request_check(ref, "1")
        world.secrets.put_key(keys.rsa("second"))
        await asyncio.sleep(1700)
        assert len(world.phones.calls) == 1
        await world.until_signed_with(ref, keys.rsa("second"), 200)


@virtual_time
async def test_an_error_of_our_own_stops_nobody_else() -> None:
    """A call that raises what it never should is tried again ever more rarely, and the other numbers go on."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(2)))
    world.phones[number(1)].error = RuntimeError("not foreseen")
    async with world.operator():
        await until(lambda: world.objects.reasons(ref).get(number(2)) == "Signed", 10)
        await asyncio.sleep(HOUR / 4)
        assert world.phones.count("read", number(1)) < 40
        world.phones[number(1)].recover()
        await world.until_ready(ref, 120)


@virtual_time
async def test_a_publish_that_raises_counts_for_the_brake() -> None:
    """Nobody knows what came of it, so it is followed by reads and not by another publish each second."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    phone = world.phones[number(1)]
    async with world.operator():
        await world.until_ready(ref)
        phone.overwrite(None)
        phone.seconds = 2.0
        world.objects.request_check(ref, "1")
        await until(lambda: world.phones.count("publish") == 2, 10)
        phone.error = RuntimeError("not foreseen")
        await until(lambda: not world.phones.under_way, 10)
        phone.error = None
        await asyncio.sleep(20)
        assert world.phones.count("publish") == 2
        await asyncio.sleep(HOUR)
    assert world.phones.count("publish") == 3


@virtual_time
async def test_a_refused_key_is_left_to_a_person() -> None:
    """A key that the API refuses is not pushed at it; another key is tried at once."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(1)))
    phone = world.phones[number(1)]
    phone.refusal = Failure(reason=Reason.KEY_REJECTED, message="refused", retry=Retry.TERMINAL)
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "KeyRejected"), 5)
        await asyncio.sleep(DAY)
        assert world.phones.count("publish") < 12
        phone.refusal = None
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"), 5)


@virtual_time
async def test_what_is_reported_in_the_middle_of_work_is_followed_by_how_it_ended() -> None:
    """Also where that is how it began, and nothing else would have the object looked at."""
    world = World()
    phone = world.phones[number(1)]
    phone.refusal = Failure(reason=Reason.NOT_REGISTERED, message="not registered", retry=Retry.TERMINAL)
    ref = world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=60))
    async with world.operator():
        await until(lambda: world.objects.ready(ref) == ("False", "NotRegistered"), 10)
        phone.seconds = 2.0
        tries = world.phones.count("publish")
        await until(lambda: world.phones.count("publish") > tries, 200)
        world.objects.touch(ref)
        await until(lambda: world.objects.ready(ref) == ("False", "NotPublished"), 2)
        await until(lambda: world.objects.ready(ref) == ("False", "NotRegistered"), 4)


@virtual_time
async def test_a_pod_that_never_gets_ready_is_published_to_ever_less_often() -> None:
    """An answer that may pass in seconds may also not."""
    world = World()
    phone = world.phones[number(1)]
    phone.refusal = Failure(reason=Reason.SERVICE_NOT_READY, message="not ready", retry=Retry.TRANSIENT, pace=Pace.SOON)
    world.objects.create(wanted=spec_body(numbers(1), intervalSeconds=600))
    async with world.operator():
        await asyncio.sleep(DAY)
        assert world.phones.count("publish") < DAY / 250
        phone.recover()
        await until(lambda: phone.holds(keys.rsa()), 700)


@virtual_time
async def test_a_status_that_cannot_be_written_is_tried_less_and_less_often() -> None:
    """At last once a minute, however often the write limit has the object wait in between."""
    world = World()
    ref = world.objects.create(wanted=spec_body(numbers(3)))
    async with world.operator():
        await world.until_ready(ref)
        world.objects.refusal = Forbidden("not for us")
        world.objects.edit(ref, intervalSeconds=700)
        await asyncio.sleep(300)
        before = world.objects.refused
        await asyncio.sleep(600)
        assert 8 <= world.objects.refused - before <= 16
        world.objects.refusal = None
        await world.until_ready(ref, seconds=80)


class HangingEvents:
    """An API server that accepts no event, and counts the requests that wait for it."""

    def __init__(self) -> None:
        self.waiting = 0

    async def request(self, method: str, path: str, **_: object) -> dict[str, object]:
        """Never answer."""
        assert (method, path) == ("POST", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")
        self.waiting += 1
        await asyncio.Event().wait()
        return {}


@virtual_time
async def test_statuses_are_written_while_no_event_is_accepted() -> None:
    """Events wait beside, a few requests at a time, and no status waits for one of them: not the next of an object."""
    world = World()
    server = HangingEvents()
    events = Events(server, "operator-0")
    world.poster = events
    refs = [world.objects.create(f"flows-{index}", spec_body([number(index)])) for index in range(100)]
    async with world.operator():
        for ref in refs:
            await world.until_ready(ref, 10)
        assert server.waiting == 2
        world.secrets.put_key(keys.rsa("second"))
        for ref in refs:
            await world.until_signed_with(ref, keys.rsa("second"), 10)
        assert server.waiting == 2
        assert events.waiting >= 200
