"""Probes: what the kubelet is told."""

from collections.abc import Callable

from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from bek_operator.controller.health import Health
from bek_operator.times import steady_clock


async def ask(unready: Callable[[], str], path: str) -> tuple[int, str]:
    """Return status and text of a probe."""
    port = unused_port()
    async with (
        Health("127.0.0.1", port, unready=unready),
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_a_process_that_answers_is_alive() -> None:
    """Whether it is ready or not."""
    assert await ask(lambda: "not yet", "/healthz") == (200, "ok\n")


async def test_a_process_is_ready_when_nothing_is_said_against_it() -> None:
    """Otherwise the probe says what is."""
    assert await ask(lambda: "not yet", "/readyz") == (503, "not yet\n")
    assert await ask(lambda: "", "/readyz") == (200, "ok\n")


async def test_nothing_else_is_served() -> None:
    """A probe that is misspelt is told so."""
    assert (await ask(lambda: "", "/"))[0] == 404


def test_the_clock_tells_the_time_and_never_goes_back() -> None:
    """Seconds since the epoch."""
    clock = steady_clock()
    first, second = clock(), clock()
    assert first > 1_700_000_000
    assert second >= first
