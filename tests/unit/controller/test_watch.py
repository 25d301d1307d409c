"""The watch on the objects: what comes of it when kopf, or the API server, does not do as it should."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.cluster.objects import Objects
from bek_operator.controller.kopf_run import Stream, WatchEnded, run_kopf
from bek_operator.controller.watch import ObjectWatch
from support.cluster.watched_api import OBJECTS, WatchedApi, key
from support.simulators.small_server import client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


class Run:
    """A watch at work; time passes only while `waits` says so, a second at each look."""

    def __init__(self, api: WatchedApi) -> None:
        self.api = api
        self.now = 1000.0
        self.waits: Callable[[], bool] = lambda: False
        self.heard: list[tuple[str | None, str, str]] = []
        self.lists = 0
        self.watch: ObjectWatch
        self.task: asyncio.Task[None]

    def hear(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Record an event."""
        self.heard.append((kind, body["metadata"]["name"], body["metadata"]["resourceVersion"]))

    def resync(self) -> None:
        """Count."""
        self.lists += 1

    async def sleep(self, seconds: float) -> None:
        """Let time pass, where it is waited for."""
        if self.waits():
            self.now += seconds
        await asyncio.sleep(0)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to become so; the time limit of the test is the limit."""
        while not condition():
            if self.task.done():
                self.task.result()
            await asyncio.sleep(0)


@asynccontextmanager
async def watching(api: WatchedApi, *namespaces: str, selector: str = "") -> AsyncIterator[Run]:
    """Watch a server meanwhile."""
    run = Run(api)
    async with api.listening(), client_of(api.url) as client:
        objects = Objects(client, namespaces)
        kopf = partial(
            run_kopf,
            on_event=run.hear,
            access=client.access,
            namespaces=namespaces,
            restore_signals=lambda: None,
            selector=selector,
            login_seconds=0.0,
        )
        run.watch = ObjectWatch(
            kopf=kopf,
            paths=objects.paths,
            discovery=objects,
            resync=run.resync,
            clock=lambda: run.now,
        )
        run.task = asyncio.create_task(run.watch.run(run.sleep))
        try:
            yield run
        finally:
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return what the operator itself logged from a level on; nobody may have logged a traceback."""
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("bek_operator") and record.levelno >= level
    ]


async def test_objects_are_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    """Those that come, change and go; those that are there are to be listed. It is up once the watch is open."""
    api = WatchedApi()
    api.objects = [key("old", "5")]
    async with watching(api) as run:
        assert not run.watch.is_up()
        await run.until(run.watch.is_up)
        assert api.watches == 1
        for kind, version in (("ADDED", "8"), ("MODIFIED", "9"), ("DELETED", "10")):
            api.say({"type": kind, "object": key("new", version)})
        await run.until(lambda: len(run.heard) == 3)
    assert run.lists == 1
    assert run.heard == [
        ("ADDED", "new", "8"),
        ("MODIFIED", "new", "9"),
        ("DELETED", "new", "10"),
    ]
    assert lines(caplog) == []


@pytest.mark.parametrize(("selector", "sent"), [("", None), ("tier in (gold,),!old", "tier in (gold,),!old")])
async def test_the_api_server_is_told_which_labels_are_watched(selector: str, sent: str | None) -> None:
    """By the list and the watch of every namespace, unchanged."""
    api = WatchedApi()
    async with watching(api, "a", "b", selector=selector) as run:
        await run.until(run.watch.is_up)
    assert api.selectors == [sent] * 4


async def test_a_discovery_that_misses_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    """Kopf was told of nothing to watch, though the operator's own client found it: it is run anew before long."""
    api = WatchedApi()
    api.misses = 2
    async with watching(api) as run:
        run.waits = lambda: api.discoveries == 1 or (api.discoveries == 2 and run.now < 1035)
        await run.until(lambda: api.discoveries == 2)
        assert not run.watch.is_up()
        await run.until(run.watch.is_up)
        assert (api.discoveries, api.watches) == (3, 1)
    assert lines(caplog, logging.ERROR) == [
        f"the watch on BusinessEncryptionKeys was down for {seconds} s; restarting it" for seconds in (10, 20)
    ]
    assert run.now < 1060
    assert run.lists == 5


async def test_a_definition_that_goes_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """In a line, and without a word of kopf's; what nobody told of is looked for, and it is watched when it is back."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.is_served = False
        api.end_watches()
        await run.until(lambda: run.lists == 2)
        assert not run.watch.is_up()
        requests = api.requests["/apis"]
        await run.until(lambda: api.requests["/apis"] > requests + 3)
        api.is_served = True
        await run.until(run.watch.is_up)
        assert run.lists == 4
    assert lines(caplog) == [
        "the CRD businessencryptionkeys.bek.dev is not installed; apply crds/ (the operator waits for it)"
    ]


async def test_every_namespace_has_its_watch() -> None:
    """It is up when all of them are open; the definition is gone from all at once."""
    api = WatchedApi()
    async with watching(api, "accounts", "messaging") as run:
        await run.until(run.watch.is_up)
        assert api.watches == 2
        api.say({"type": "ADDED", "object": key("flows", "8")})
        await run.until(lambda: run.heard == [("ADDED", "flows", "8")] * 2)
        api.is_served = False
        api.end_watches()
        await run.until(lambda: run.lists == 3)
        api.is_served = True
        await run.until(lambda: api.watches == 2)


async def test_a_watch_that_ends_is_begun_again_and_is_up_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    """The server ends each of them now and then."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.end_watches()
        await run.until(lambda: api.watches == 0)
        assert run.watch.is_up()
        await run.until(lambda: api.requests[f"{OBJECTS}?watch"] == 2)
        await run.until(lambda: api.watches == 1)
    assert (run.lists, lines(caplog)) == (1, [])


async def test_what_was_deleted_before_a_watch_begins_anew_is_looked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Kopf lists again after a watch that has expired."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.expire_watches()
        await run.until(lambda: run.lists == 2)
        await run.until(lambda: api.requests[f"{OBJECTS}?watch"] == 2)
    assert (run.lists, lines(caplog)) == (2, [])


async def test_a_watch_that_stays_away_for_a_minute_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """It is told as an error, it is not ready, and it is begun anew."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.answers_watches.clear()
        api.end_watches()
        await run.until(lambda: api.watches == 0)
        run.waits = lambda: run.lists == 1
        await run.until(lambda: run.lists > 1)
        assert run.now > 1060
        assert not run.watch.is_up()
        api.answers_watches.set()
        await run.until(run.watch.is_up)
    assert lines(caplog) == ["the watch on BusinessEncryptionKeys was down for 60 s; restarting it"]


def _error(code: int) -> dict[str, Any]:
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "sesame"}}


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (_error(500), "WatchingError"),
        (_error(429), "WatchingError"),
        ({"type": "ERROR", "object": {}}, "KeyError"),
        ({"metadata": "sesame"}, "KeyError"),
        ("sesame", "TypeError"),
    ],
)
async def test_a_watch_that_sends_an_error_is_begun_again(
    event: Any, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In words of our own: what the server wrote is not repeated. It is up meanwhile, and nothing is missed."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.say(event)
        await run.until(lambda: api.watches == 0)
        assert run.watch.is_up()
        await run.until(lambda: api.watches == 1)
        assert run.lists == 4
    # Kopf's own lines, with tracebacks, are not shown: `logs.set_up_logging`.
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("bek_operator")]
    assert ours == [f"the watch on BusinessEncryptionKeys failed: {cause}; restarting it"]


async def test_a_watch_that_fails_each_time_is_begun_again_with_back_off() -> None:
    """Four times a minute in the end; after one that has lasted it begins from the shortest pause."""
    seconds, lasts = 0.0, 0.0
    pauses: list[float] = []

    async def kopf(stream: Stream) -> None:
        nonlocal seconds
        stream.heard_at = seconds
        seconds += lasts
        raise ValueError("sesame")

    async def sleep(pause: float) -> None:
        nonlocal lasts
        await asyncio.sleep(0)
        pauses.append(pause)
        lasts = 60.0 if len(pauses) == 12 else 0.0
        if len(pauses) == 18:
            raise asyncio.CancelledError

    async with WatchedApi().listening() as api, client_of(api.url) as client:
        objects = Objects(client, ())
        watch = ObjectWatch(
            kopf=kopf, paths=objects.paths, discovery=objects, resync=lambda: None, clock=lambda: seconds
        )
        with pytest.raises(asyncio.CancelledError):
            await watch.run(sleep)
    # Every other one is the look whether kopf is at work.
    assert pauses[1::2] == [1.0, 2.0, 5.0, 15.0, 15.0, 15.0, 1.0, 2.0, 5.0]


async def test_kopf_that_cannot_be_stopped_ends_the_watch() -> None:
    """Another one cannot take its place then."""

    async def kopf(stream: Stream) -> None:
        del stream
        raise WatchEnded("kopf did not stop in time")

    async with WatchedApi().listening() as api, client_of(api.url) as client:
        objects = Objects(client, ())
        watch = ObjectWatch(kopf=kopf, paths=objects.paths, discovery=objects, resync=lambda: None, clock=lambda: 0.0)
        with pytest.raises(WatchEnded, match="kopf did not stop in time"):
            await watch.run()


async def test_what_else_goes_on_is_left_alone_when_kopf_is_run_again() -> None:
    """Kopf itself would take every task that was begun after it for its own, and cancel it."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        bystander = asyncio.create_task(asyncio.Event().wait())
        api.is_served = False
        api.end_watches()
        await run.until(lambda: run.lists == 2)
        assert not bystander.done()
        bystander.cancel()


async def test_a_token_that_is_refused_is_fetched_anew() -> None:
    """As often as it takes: the API server may be the one that is wrong."""
    api = WatchedApi()
    async with watching(api) as run:
        await run.until(run.watch.is_up)
        api.refuses = 5
        api.end_watches()
        await run.until(lambda: api.refuses == 0)
        await run.until(lambda: api.watches == 1)


@pytest.mark.parametrize("broken", ["/apis", "/apis/bek.dev/v1alpha1"])
async def test_a_discovery_that_fails_is_told_once(caplog: pytest.LogCaptureFixture, broken: str) -> None:
    """It is not known then whether the definition is there."""
    api = WatchedApi()
    api.breaks = broken
    async with watching(api) as run:
        await run.until(lambda: api.requests[broken] == 4)
        api.breaks = ""
        await run.until(run.watch.is_up)
    assert lines(caplog) == [f"cannot check whether the CRD is installed: GET {broken}: HTTP 503; retrying"]
