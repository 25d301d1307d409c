"""Requests to the API server, as the probe sees them: bytes of a watch, answers, refusals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import ClientSession
from yarl import URL

from bek_operator.cluster.errors import Unavailable
from bek_operator.cluster.traffic import AWAY_SECONDS, Observer
from support.cluster.watched_api import OBJECTS, WatchedApi, key
from support.virtual_time import until, virtual_time

WATCH = f"{OBJECTS}?watch=true"


class Observed:
    """An API server, an observer with a clock of the test's own, and a session that it observes."""

    def __init__(self, api: WatchedApi) -> None:
        self.api = api
        self.now = 100.0
        self.observer = Observer(lambda: self.now)
        self.session = ClientSession(api.url, middlewares=[self.observer], headers={"User-Agent": "test"})

    def heard_at(self) -> dict[str, float]:
        """Return when each watch delivered something."""
        return dict(self.observer.traffic().delivered_at)

    async def say(self, at: float) -> None:
        """Have the watch deliver an event, and wait until it is here."""
        self.now = at
        self.api.say({"type": "ADDED", "object": key("one")})
        await until(lambda: self.heard_at()[OBJECTS] == at)


@asynccontextmanager
async def observed() -> AsyncIterator[Observed]:
    """Provide them."""
    async with WatchedApi().listening() as api:
        one = Observed(api)
        async with one.session:
            yield one


async def test_a_watch_is_heard_when_bytes_come() -> None:
    """That it was accepted, also anew, says nothing: the request is only where the count begins."""
    async with observed() as one, one.session.get(WATCH) as response:
        assert one.heard_at() == {OBJECTS: 100.0}
        one.now = 200.0
        assert one.heard_at() == {OBJECTS: 100.0}
        await one.say(250.0)
        assert one.observer.traffic().answered_at == 250.0
        response.close()
        one.now = 300.0
        async with one.session.get(WATCH):
            assert one.heard_at() == {OBJECTS: 250.0}
            await one.say(310.0)


async def test_a_watch_counts_from_its_request() -> None:
    """Also one that is never answered."""
    async with observed() as one:
        one.api.answers_watches.clear()
        waiting = asyncio.create_task(one.session.request("GET", WATCH))
        await until(lambda: one.api.requests[f"{OBJECTS}?watch"] > 0)
        assert one.heard_at() == {OBJECTS: 100.0}
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        one.api.answers_watches.set()


async def test_a_watch_that_is_refused_is_waited_for_no_more() -> None:
    """As without the CRD or the permission; a server that is broken refuses nothing, and answers nothing."""
    async with observed() as one:
        async with one.session.get(WATCH):
            await one.say(150.0)
        one.now, one.api.breaks = 160.0, OBJECTS
        async with one.session.get(WATCH):
            assert one.heard_at() == {OBJECTS: 150.0}
            assert one.observer.traffic().answered_at == 150.0
        one.api.breaks, one.api.is_served = "", False
        async with one.session.get(WATCH):
            assert one.heard_at() == {}
            assert one.observer.traffic().answered_at == 160.0


async def test_an_answer_to_any_other_request_counts() -> None:
    """It is no sign of life of a watch."""
    async with observed() as one, one.session.get(WATCH):
        one.now = 170.0
        async with one.session.get("/apis"):
            assert one.observer.traffic().answered_at == 170.0
            assert one.heard_at() == {OBJECTS: 100.0}


@virtual_time
async def test_something_is_asked_while_nothing_else_is_answered() -> None:
    """So often that an API server that answers never counts as away; one that does not, or refuses, is asked on."""
    clock, asked = asyncio.get_running_loop().time, list[float]()
    observer = Observer(clock)
    url = URL("https://10.0.0.1/version")

    async def answer(_: object) -> Any:
        return SimpleNamespace(ok=True, status=200)

    async def request() -> None:
        await observer(cast("Any", SimpleNamespace(url=url)), answer)

    async def ask() -> None:
        asked.append(clock())
        if is_away:
            raise Unavailable("no response in time")
        await request()

    is_away = False
    asking = asyncio.create_task(observer.ask_when_quiet(ask))
    for _ in range(120):
        await asyncio.sleep(10)
        assert clock() < AWAY_SECONDS or not observer.traffic().is_away(clock())
    assert 20 <= len(asked) <= 40
    is_away = True
    await asyncio.sleep(600)
    assert observer.traffic().is_away(clock())
    is_away = False
    await asyncio.sleep(60)
    assert not observer.traffic().is_away(clock())
    asked.clear()
    for _ in range(120):
        await request()
        await asyncio.sleep(10)
    assert asked == []
    asking.cancel()
