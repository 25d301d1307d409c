"""Events: what is posted, and that what repeats grows a count instead of a crowd."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bek_operator.cluster.client import Client
from bek_operator.cluster.events import Events
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.status.events import Event
from support.builders import resource
from support.small_server import Asked, SmallServer, api_server, body

SIGNED = Event("Succeeded", "3 numbers signed with key 9f86d081ab12", warning=False)
DENIED = Event("AccessDenied", "1 of 3 numbers: access denied", warning=True)
FLOWS = resource()


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


class Bench:
    """Events, and the server that they are posted to."""

    def __init__(self, server: SmallServer, client: Client) -> None:
        self.server = server
        self.clock = Clock()
        self.events = Events(client, "operator-0", now=self.clock)

    async def post(self, *events_of: Event, of: BusinessEncryptionKey = FLOWS) -> list[Asked]:
        """Post, and return what the server was asked meanwhile."""
        before = len(self.server.check_requested)
        await self.events.post(of, events_of)
        return self.server.check_requested[before:]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Provide events, and a server that takes them all."""
    async with api_server() as (server, client):
        server.answers = [body({})]
        yield Bench(server, client)


async def test_an_event_says_what_happened_to_which_object(bench: Bench) -> None:
    """As events.k8s.io wants it."""
    first, second = await bench.post(SIGNED, DENIED)
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


async def test_what_happens_again_within_the_hour_is_counted(bench: Bench) -> None:
    """The event that there is grows a series, for as long as it repeats."""
    (created,) = await bench.post(SIGNED)
    series = []
    for _ in range(3):
        bench.clock.now += timedelta(minutes=50)
        (again,) = await bench.post(SIGNED)
        assert again.method == "PATCH"
        assert again.path.endswith(f"/events/{created.body['metadata']['name']}")
        assert again.headers["Content-Type"] == "application/merge-patch+json"
        series.append(again.body["series"])
    assert [one["count"] for one in series] == [2, 3, 4]
    assert series[-1]["lastObservedTime"] == "2026-11-22T12:30:00.123456Z"


@pytest.mark.parametrize("change", ["an hour later", "another note", "another object"])
async def test_what_is_not_the_same_is_an_event_of_its_own(bench: Bench, change: str) -> None:
    """A note cannot be changed afterwards, and after an hour the first one may be gone."""
    await bench.post(SIGNED)
    event, of = SIGNED, FLOWS
    if change == "an hour later":
        bench.clock.now += timedelta(hours=1)
    elif change == "another note":
        event = Event(SIGNED.reason, "4 numbers signed", warning=False)
    else:
        of = resource(uid="another")
    (check_requested,) = await bench.post(event, of=of)
    assert check_requested.method == "POST"


async def test_an_event_that_is_gone_is_posted_anew(bench: Bench) -> None:
    """The API server forgets events, sooner than it was told to when somebody deletes them."""
    await bench.post(SIGNED)
    bench.server.answers = [body({}, 404), body({})]
    assert [one.method for one in await bench.post(SIGNED)] == ["PATCH", "POST"]
    assert [one.body["series"]["count"] for one in await bench.post(SIGNED)] == [2]


async def test_an_event_that_cannot_be_posted_stops_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It is a line of the log; the next one is tried all the same, and it again when it happens again."""
    bench.server.answers = [body({}, 403), body({})]
    assert [one.method for one in await bench.post(SIGNED, DENIED)] == ["POST", "POST"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [one.method for one in await bench.post(SIGNED)] == ["POST"]


async def test_an_event_is_never_too_long(bench: Bench) -> None:
    """Its note is bounded in bytes, its name in characters that a name may end a part with."""
    name = "a" * 199 + "-" + "b" * 53
    (check_requested,) = await bench.post(Event("Succeeded", "ü…" * 600, warning=False), of=resource(name=name))
    assert 1000 < len(check_requested.body["note"].encode()) <= 1024
    assert set(check_requested.body["note"]) == {"ü", "…"}
    assert len(check_requested.body["metadata"]["name"]) <= 253
    assert "-." not in check_requested.body["metadata"]["name"]
    assert check_requested.body["regarding"]["name"] == name


async def test_memory_of_events_is_bounded(bench: Bench) -> None:
    """What was told longest ago is forgotten first."""
    events_of = [Event("Succeeded", f"{count} numbers", warning=False) for count in range(4097)]
    await bench.post(*events_of)
    again = await bench.post(events_of[-1], events_of[0])
    assert [check_requested.method for check_requested in again] == ["PATCH", "POST"]
