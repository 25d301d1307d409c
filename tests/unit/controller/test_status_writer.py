"""Report: when a status is written, and what follows from it."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

import pytest

from bek_operator.cluster.errors import ClusterError, Conflict, NotFound, Unavailable
from bek_operator.controller.status_writer import BATCHING_SECONDS, StatusWriter
from bek_operator.controller.store import Store
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey
from bek_operator.status.events import Event
from support.builders import NOW, NUMBER, observation, public_key, signed, spec_body, target
from support.fakes import FakeLimits, FakeObjects, unavailable
from support.virtual_time import virtual_time
from support.world import World


class Bench:
    """A reporter of one object, and the order in which it acts."""

    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.ref = self.objects.create()
        self.store = Store()
        self.entry = self.store.adopt(self.objects.resource(self.ref))
        self.entry.key = public_key()
        self.now = NOW
        self.acts: list[str] = []
        self.again: list[float] = []
        self.events_of: list[Event] = []
        self.limits = FakeLimits(8)
        self.reporter = StatusWriter(
            store=self.store,
            objects=self.objects,
            events=self,
            again=self._look_again,
            recorded=lambda _, __: self.acts.append("recorded"),
            limits=self.limits,
            clock=lambda: self.now,
        )

    def _look_again(self, ref: ObjectKey, at: float) -> None:
        assert ref == self.ref
        self.again.append(at - NOW)

    async def post(self, resource: BusinessEncryptionKey, events_of: Iterable[Event]) -> None:
        """Take events as the API server would."""
        assert resource.ref == self.ref
        self.events_of.extend(events_of)
        self.acts.append("events")

    async def report(self) -> None:
        """Report the object."""
        await self.reporter.report(self.ref, self.entry)

    @property
    def written(self) -> int:
        """Return how often the status was written."""
        return len(self.objects.writes)


@virtual_time
async def test_nothing_is_said_of_an_object_that_was_not_planned() -> None:
    """Without a key or an obstacle there is nothing to say."""
    bench = Bench()
    bench.entry.key = None
    await bench.report()
    assert (bench.written, bench.acts) == (0, [])


@virtual_time
async def test_a_status_that_says_something_new_is_written_once() -> None:
    """Then numbers that waited for it go on, then events go out; a second time nothing is written."""
    bench = Bench()
    bench.store.put(bench.ref, signed())
    await bench.report()
    assert bench.objects.ready(bench.ref) == ("True", "Succeeded")
    assert bench.acts == ["recorded", "events"]
    assert [one.reason for one in bench.events_of] == ["Succeeded"]
    assert not bench.store.hear(bench.ref, bench.objects.resource(bench.ref).version)
    bench.now += 100
    await bench.report()
    assert bench.written == 1
    assert bench.acts == ["recorded", "events", "recorded"]


@virtual_time
async def test_while_numbers_come_in_a_write_waits_for_company() -> None:
    """One that is still being worked on, or was not looked at, holds back the next write and no more than that."""
    bench = Bench()
    bench.store.put(bench.ref, signed())
    await bench.report()
    bench.store.put(bench.ref, replace(signed(), message="news"))
    bench.entry.active.add(NUMBER)
    for _ in range(2):
        await bench.report()
        bench.now += BATCHING_SECONDS * 0.4
    assert bench.written == 1
    assert bench.again == [BATCHING_SECONDS] * 2
    assert bench.acts == ["recorded", "events"]
    bench.now = NOW + BATCHING_SECONDS
    await bench.report()
    assert bench.written == 2


@virtual_time
async def test_what_waits_for_room_says_so() -> None:
    """Numbers that were not looked at for want of calls are told from those whose answer is about to come."""
    bench = Bench()
    bench.store.put(bench.ref, observation())
    limiter_key = target().limiter_key
    for until, words in ((NOW + 60, "; 1 wait for room under the API's limit of calls"), (NOW, "")):
        bench.limits.closed_until[limiter_key, True] = until
        bench.now += 10
        for _ in range(2):
            await bench.report()
            bench.now += 10
        message = bench.objects.status(bench.ref)["conditions"][0]["message"]
        assert message == f"0 of 1 number looked at since the last change (not yet {NUMBER}){words}"


@virtual_time
async def test_the_first_news_waits_a_moment_for_company() -> None:
    """Numbers that answer at once bring about one write; each wait begins anew after a write."""
    bench = Bench()
    for count in range(1, 3):
        began = bench.now
        bench.store.put(bench.ref, observation(message=f"news {count}"))
        await bench.report()
        assert bench.written == count - 1
        assert bench.again.pop() == pytest.approx(began - NOW + BATCHING_SECONDS)
        bench.now += BATCHING_SECONDS
        await bench.report()
        assert bench.written == count
        bench.now += 100


@virtual_time
async def test_the_last_news_is_written_at_once() -> None:
    """Nothing is waited for when nothing more is about to come."""
    bench = Bench()
    bench.store.put(bench.ref, observation())
    await bench.report()
    assert bench.written == 0
    bench.store.put(bench.ref, signed())
    await bench.report()
    assert bench.written == 1
    bench.store.put(bench.ref, replace(signed(), message="news"))
    await bench.report()
    assert bench.written == 2


@pytest.mark.parametrize("gone", [False, True], ids=["somebody else wrote", "the object is gone"])
def test_a_write_that_is_refused_has_the_object_read_and_planned_again(*, gone: bool) -> None:
    """No event tells of what was not written, and nobody goes on as if it were."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        bench.store.begin_reading(bench.ref)
        bench.store.put(bench.ref, signed())
        if gone:
            bench.objects.delete(bench.ref)
        else:
            bench.objects.touch(bench.ref)
        await bench.report()
        assert (bench.acts, bench.again) == ([], [0.0])
        assert bench.store.begin_reading(bench.ref)

    run()


@pytest.mark.parametrize("refusal", [NotFound("no such page"), Conflict("never")], ids=["not found", "conflict"])
@virtual_time
async def test_a_write_that_is_refused_for_ever_is_tried_once_a_second(
    refusal: ClusterError, caplog: pytest.LogCaptureFixture
) -> None:
    """A definition that has no status is told in the log, and calls neither the API server nor a number on end."""
    caplog.set_level(logging.INFO)
    world = World()
    world.objects.seconds = 0.01
    world.objects.refusal = refusal
    ref = world.objects.create(wanted=spec_body([NUMBER]))
    async with world.operator():
        await asyncio.sleep(30)
        assert 20 < world.objects.refused < 35
        assert len(world.objects.reads) < 40
        assert len(world.phones.calls) < 5
        told = [record for record in caplog.records if record.getMessage() == f"the status was not taken: {refusal}"]
        assert len(told) == world.objects.refused
        assert {vars(record)["object"] for record in told} == {f"{ref.namespace}/{ref.name}"}
        world.objects.refusal = None
        await world.until_ready(ref, 5)


@virtual_time
async def test_an_api_server_that_does_not_answer_is_for_others_to_wait_for() -> None:
    """The error is passed on, and nothing else happens."""
    bench = Bench()
    bench.store.put(bench.ref, signed())
    bench.objects.error = unavailable()
    with pytest.raises(Unavailable):
        await bench.report()
    assert (bench.acts, bench.again) == ([], [])
    bench.objects.error = None
    await bench.report()
    assert bench.acts == ["recorded", "events"]


@virtual_time
async def test_an_event_names_why_a_key_was_published_again() -> None:
    """The cause is that of the number when it was published."""
    bench = Bench()
    seen = signed(target(uid=bench.entry.resource.uid), published_at=NOW, publishes=1)
    bench.store.put(bench.ref, seen)
    await bench.report()
    lost = observation(observed=True, fingerprint=public_key("foreign").fingerprint)
    bench.events_of.clear()
    bench.store.put(bench.ref, replace(seen, published_at=NOW + 9, publishes=2, cause=lost.finding))
    await bench.report()
    assert [one.reason for one in bench.events_of] == ["ForeignKey"]
