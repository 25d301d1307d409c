"""Units that tenants share: who gets how many of them, and in which order."""

import asyncio

import pytest

from bek_operator.shares import Shares
from support.virtual_time import virtual_time


class Users:
    """Those who use units, or wait for them."""

    def __init__(self, size: int, *, times: int = 1) -> None:
        self.shares = Shares(size, times=times)
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, tenant: str, name: str, units: int = 1) -> None:
        """Have one begin to use, or to wait for, some of them."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._use(tenant, name, units))
        await asyncio.sleep(0.01)

    async def end(self, name: str) -> None:
        """Have one end its use."""
        self._ends[name].set()
        await asyncio.sleep(0.01)

    async def _use(self, tenant: str, name: str, units: int) -> None:
        async with self.shares.reserve(tenant, units):
            self.order.append(name)
            await self._ends[name].wait()


@virtual_time
async def test_a_tenant_gets_half_and_the_next_does_not_wait_for_it() -> None:
    """Whatever is asked for at once, and however much."""
    users = Users(8)
    for index in range(100):
        await users.begin("a", f"a{index}", 2)
    await users.begin("b", "b0", 1000)
    assert users.order == ["a0", "a1", "b0"]
    await users.end("b0")
    await users.end("a0")
    assert users.order == ["a0", "a1", "b0", "a2"]


@virtual_time
@pytest.mark.parametrize(("times", "alone", "next_one"), [(0, 1, 1), (1, 50, 25), (3, 75, 18)])
async def test_whoever_has_some_leaves_some(times: int, alone: int, next_one: int) -> None:
    """At most so many times as many as stay free; whoever has none gets one while there is one."""
    users = Users(100, times=times)
    for tenant in "ab":
        for index in range(100):
            await users.begin(tenant, f"{tenant}{index}")
    assert "".join(name[0] for name in users.order) == "a" * alone + "b" * next_one
    for tenant in "cde":
        await users.begin(tenant, tenant)
    assert users.order[-3:] == ["c", "d", "e"]


@virtual_time
async def test_tenants_take_turns() -> None:
    """Of those who wait each gets something before the first gets more."""
    users = Users(8)
    await users.begin("a", "a0", 4)
    await users.begin("b", "b0", 4)
    for name in ("c0", "c1", "c2", "d0"):
        await users.begin(name[0], name)
    await users.end("a0")
    assert users.order == ["a0", "b0", "c0", "d0"]
    await users.end("b0")
    assert users.order == ["a0", "b0", "c0", "d0", "c1", "c2"]


@virtual_time
async def test_nobody_overtakes_who_waits_for_much() -> None:
    """Otherwise many small uses would keep a large one waiting."""
    users = Users(8)
    await users.begin("a", "a0", 4)
    await users.begin("b", "b0", 1)
    await users.begin("c", "c0", 4)
    await users.begin("d", "d0", 1)
    assert users.order == ["a0", "b0"]
    await users.end("b0")
    assert users.order == ["a0", "b0", "c0"]
    await users.end("a0")
    assert users.order[3:] == ["d0"]


@virtual_time
async def test_whoever_is_cancelled_while_it_waits_is_forgotten() -> None:
    """Those who waited behind it go on."""
    users = Users(8)
    await users.begin("a", "a0", 4)
    await users.begin("b", "b0", 2)
    await users.begin("c", "c0", 4)
    await users.begin("d", "d0", 2)
    users.tasks["c0"].cancel()
    await asyncio.sleep(0.01)
    assert users.order == ["a0", "b0", "d0"]


@virtual_time
async def test_whoever_is_cancelled_gives_back_what_it_has() -> None:
    """Also where it was granted at that very moment."""
    users = Users(4)
    for name in ("a0", "a1", "a2"):
        await users.begin("a", name, 2)
    users.tasks["a0"].cancel()
    await asyncio.sleep(0)
    users.tasks["a1"].cancel()
    await asyncio.sleep(0.01)
    assert users.order == ["a0", "a2"]
    await users.begin("b", "b0", 2)
    assert users.order == ["a0", "a2", "b0"]
