"""Events: what is posted, and that repeated events become a series."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.events import Events
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.status.events import Event
from support.builders import resource
from support.simulators.small_server import Received, SmallServer, api_server, body, missing
from support.virtual_time import until

SIGNED = Event("Succeeded", "3 numbers signed with key 9f86d081ab12", warning=False)
DENIED = Event("AccessDenied", "1 of 3 numbers: access denied", warning=True)
FLOWS = resource()


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


class Harness:
    """Events, and the server that they are posted to."""

    def __init__(self, server: SmallServer, client: Client) -> None:
        self.server = server
        self.clock = Clock()
        self.events = Events(client, "operator-0", now=self.clock)

    async def post(self, *events: Event, of: BusinessEncryptionKey = FLOWS) -> list[Received]:
        """Post events, and return the requests that this made."""
        before = len(self.server.requests)
        for event in events:
            self.events.post(of, event)
        await self.until_posted()
        return self.server.requests[before:]

    async def until_posted(self) -> None:
        """Wait until nothing waits to be posted; the time limit of the test is the limit."""
        await until(lambda: not self.events.waiting, seconds=10)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Provide events, and a server that accepts them."""
    async with api_server() as (server, client):
        server.answers = [body({})]
        harness = Harness(server, client)
        posting = asyncio.create_task(harness.events.run())
        yield harness
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)


async def test_an_event_has_reason_note_and_object(harness: Harness) -> None:
    """In the form of events.k8s.io/v1."""
    first, second = await harness.post(SIGNED, DENIED)
    assert (first.method, first.path) == ("POST", "/apis/events.k8s.io/v1/namespaces/messaging/events")
    assert first.body["eventTime"] == "2026-11-22T10:00:00.123456Z"
    assert (first.body["type"], first.body["reason"], first.body["note"]) == ("Normal", SIGNED.reason, SIGNED.note)
    assert first.body["regarding"] == {
        "apiVersion": "bek.dev/v1alpha1",
        "kind": "BusinessEncryptionKey",
        "namespace": "messaging",
        "name": "flows",
        "uid": FLOWS.uid,
    }
    assert first.body["reportingInstance"] == "operator-0"
    assert first.body["metadata"]["name"].startswith("flows.")
    assert (second.body["type"], second.body["reason"]) == ("Warning", "AccessDenied")
    assert first.body["metadata"]["name"] != second.body["metadata"]["name"]


async def test_a_repeated_event_extends_its_series(harness: Harness) -> None:
    """As long as it repeats within an hour."""
    (created,) = await harness.post(SIGNED)
    series = []
    for _ in range(3):
        harness.clock.now += timedelta(minutes=50)
        (again,) = await harness.post(SIGNED)
        assert again.method == "PATCH"
        assert again.path.endswith(f"/events/{created.body['metadata']['name']}")
        assert again.headers["Content-Type"] == "application/merge-patch+json"
        series.append(again.body["series"])
    assert [one["count"] for one in series] == [2, 3, 4]
    assert series[-1]["lastObservedTime"] == "2026-11-22T12:30:00.123456Z"


@pytest.mark.parametrize("change", ["an hour later", "another note", "another object"])
async def test_a_different_event_is_created(harness: Harness, change: str) -> None:
    """A note is immutable, and after an hour the first event may be deleted."""
    await harness.post(SIGNED)
    event, of = SIGNED, FLOWS
    if change == "an hour later":
        harness.clock.now += timedelta(hours=1)
    elif change == "another note":
        event = Event(SIGNED.reason, "4 numbers signed", warning=False)
    else:
        of = resource(uid="another")
    (received,) = await harness.post(event, of=of)
    assert received.method == "POST"


async def test_a_deleted_event_is_created_again(harness: Harness) -> None:
    """The API server deletes events after their TTL, and users may do so before."""
    (created,) = await harness.post(SIGNED)
    known = created.body["metadata"]["name"]
    harness.server.answers = [missing("events", known), body({})]
    assert [one.method for one in await harness.post(SIGNED)] == ["PATCH", "POST"]
    assert [one.body["series"]["count"] for one in await harness.post(SIGNED)] == [2]


async def test_a_failed_post_is_logged(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """The next event is posted all the same, and so is this one when it repeats."""
    harness.server.answers = [body({}, 403), body({})]
    assert [one.method for one in await harness.post(SIGNED, DENIED)] == ["POST", "POST"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [one.method for one in await harness.post(SIGNED)] == ["POST"]


async def test_an_event_is_truncated(harness: Harness) -> None:
    """The note in bytes, the name so that it stays valid."""
    name = "a" * 199 + "-" + "b" * 53
    (received,) = await harness.post(Event("Succeeded", "ü…" * 600, warning=False), of=resource(name=name))
    assert 1000 < len(received.body["note"].encode()) <= 1024
    assert set(received.body["note"]) == {"ü", "…"}
    assert len(received.body["metadata"]["name"]) <= 253
    assert "-." not in received.body["metadata"]["name"]
    assert received.body["regarding"]["name"] == name


async def test_memory_of_events_is_bounded(harness: Harness) -> None:
    """The least recent event is evicted first."""
    events = [Event("Succeeded", f"{count} numbers", warning=False) for count in range(4097)]
    for at in range(0, len(events), 32):
        await harness.post(*events[at : at + 32])
    again = await harness.post(events[-1], events[0])
    assert [received.method for received in again] == ["PATCH", "POST"]


async def test_events_that_wait_are_bounded_and_those_dropped_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever posts does not wait; one object's events leave room for others', and each object's keep their order."""
    async with api_server() as (server, client):
        server.answers = [body({})]
        events = Events(client, "operator-0")
        notes = [f"{count} numbers" for count in range(40)]
        for note in notes:
            events.post(FLOWS, Event("Succeeded", note, warning=False))
        for count in range(5000):
            events.post(resource(name="other", uid=f"other-{count}"), SIGNED)
        assert events.waiting == 4096
        posting = asyncio.create_task(events.run())
        await until(lambda: events.waiting <= 3000)
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        assert events.waiting == 0
        posted = [one.body["note"] for one in server.requests if one.body["regarding"]["name"] == FLOWS.ref.name]
    assert posted == notes[:32]
    counts = [int(record.getMessage().split()[0]) for record in caplog.records]
    assert sum(counts) + len(server.requests) in {5040, 5041, 5042, 5043, 5044}
    assert counts[0] == 5040 - 4096
