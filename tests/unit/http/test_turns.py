"""Work in threads, one piece at a time for each tenant."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from bek_operator.http.turns import Turns
from support.virtual_time import virtual_time

SECONDS = 10.0


class Held:
    """Work that takes until it is released."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self._released = threading.Event()
        self.thread = 0

    def __call__(self) -> int:
        """Wait in a thread."""
        self.thread = threading.get_ident()
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._released.wait(SECONDS)
        return 1

    def release(self) -> None:
        """Let it end."""
        self._released.set()


@asynccontextmanager
async def taking_turns() -> AsyncIterator[Turns]:
    """Make turns and close them."""
    turns = Turns()
    try:
        async with asyncio.timeout(SECONDS):
            yield turns
    finally:
        turns.close()


async def test_the_event_loop_and_other_tenants_go_on() -> None:
    """While a tenant's work takes its time, and its other work waits."""
    async with taking_turns() as turns:
        held, order = Held(), list[str]()
        first = asyncio.create_task(turns.run("a", held))
        await held.begun.wait()
        second = asyncio.create_task(turns.run("a", lambda: 2, begin=lambda: order.append("second")))
        assert await turns.run("b", lambda: 3, begin=lambda: order.append("another tenant's")) == 3
        held.release()
        assert (await first, await second) == (1, 2)
        assert held.thread != threading.get_ident()
        assert order == ["another tenant's", "second"]


async def test_work_ends_though_its_caller_is_gone() -> None:
    """Until then the tenant's next turn does not begin; so nobody has more threads by giving up."""
    async with taking_turns() as turns:
        held, order = Held(), list[str]()

        def end() -> float:
            order.append("end")
            return 0.0

        caller = asyncio.create_task(turns.run("a", held, end=end))
        await held.begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        following = asyncio.create_task(turns.run("a", lambda: 2, begin=lambda: order.append("next")))
        await turns.run("b", lambda: 3)
        assert order == []
        held.release()
        assert await following == 2
        assert order == ["end", "next"]


async def test_errors_reach_the_caller_and_end_the_turn() -> None:
    """Those of the work, and those of what decides whether it can begin."""

    def fail() -> None:
        raise LookupError

    async with taking_turns() as turns:
        with pytest.raises(LookupError):
            await turns.run("a", fail)
        with pytest.raises(LookupError):
            await turns.run("a", lambda: pytest.fail("not called"), begin=fail)
        assert await turns.run("a", lambda: 1) == 1


@virtual_time
async def test_a_pause_is_for_the_tenant_alone() -> None:
    """Its next turn begins after it; others, and any number of them, do not wait for that."""
    times = dict[str, list[float]]()
    clock = asyncio.get_running_loop().time
    with closing(Turns()) as turns:

        async def work(tenant: str) -> None:
            await turns.run(tenant, lambda: times.setdefault(tenant, []).append(clock()), end=lambda: 60.0)

        await asyncio.gather(*(work(f"tenant-{index % 100}") for index in range(300)))
    assert len(times) == 100
    assert all(found == [0.0, 60.0, 120.0] for found in times.values())
