"""Probes: what the kubelet is told."""

import asyncio
from collections.abc import Callable

from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from bek_operator.controller.clock import steady_clock
from bek_operator.controller.health import Health


async def ask(is_ready: Callable[[], bool], path: str) -> tuple[int, str]:
    """Return status and text of a probe."""
    port = unused_port()
    async with (
        Health("127.0.0.1", port, is_ready=is_ready),
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_a_process_that_answers_is_alive() -> None:
    """Whether it is ready or not."""
    assert await ask(lambda: False, "/healthz") == (200, "ok\n")


async def test_a_process_is_ready_once_it_has_read_every_object() -> None:
    """Before that it says what it waits for."""
    settled = asyncio.Event()
    status, text = await ask(settled.is_set, "/readyz")
    assert (status, "not every object" in text) == (503, True)
    settled.set()
    assert await ask(settled.is_set, "/readyz") == (200, "ok\n")


async def test_nothing_else_is_served() -> None:
    """A probe that is misspelt is told so."""
    assert (await ask(lambda: True, "/"))[0] == 404


def test_the_clock_tells_the_time_and_never_goes_back() -> None:
    """Seconds since the epoch."""
    clock = steady_clock()
    first, second = clock(), clock()
    assert first > 1_700_000_000
    assert second >= first
