"""The budget that tenants share: who gets how much of it, and in which order."""

import asyncio
from contextlib import AsyncExitStack

from bek_operator.controller.budget import Budget
from support.virtual_time import virtual_time


class Users:
    """Those who use a budget, or wait for it."""

    def __init__(self, total: int) -> None:
        self.budget = Budget(total)
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, tenant: str, name: str, units: int) -> None:
        """Have one begin to use, or to wait for, some of it."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._use(tenant, name, units))
        await asyncio.sleep(0.01)

    async def end(self, name: str) -> None:
        """Have one end its use."""
        self._ends[name].set()
        await asyncio.sleep(0.01)

    async def _use(self, tenant: str, name: str, units: int) -> None:
        async with self.budget.reserve(tenant, units):
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
    await users.end("a0")
    assert users.order == ["a0", "a1", "b0", "a2"]


@virtual_time
async def test_tenants_take_turns() -> None:
    """Of those who wait each gets something before the first gets more."""
    users = Users(4)
    await users.begin("a", "a0", 2)
    await users.begin("b", "b0", 2)
    for name in ("c0", "c1", "c2", "d0"):
        await users.begin(name[0], name, 2)
    await users.end("a0")
    await users.end("b0")
    await users.end("c0")
    assert users.order == ["a0", "b0", "c0", "d0", "c1"]


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
async def test_who_is_cancelled_gives_back_what_it_has_or_waits_for() -> None:
    """Before it was granted anything, or at that very moment."""
    users = Users(4)
    for name in ("a0", "a1", "a2", "a3"):
        await users.begin("a", name, 2)
    users.tasks["a1"].cancel()
    await asyncio.sleep(0.01)
    await users.end("a0")
    users.tasks["a3"].cancel()
    users.tasks["a2"].cancel()
    await asyncio.sleep(0.01)
    async with AsyncExitStack() as stack, asyncio.timeout(1):
        await stack.enter_async_context(users.budget.reserve("b", 2))
        await stack.enter_async_context(users.budget.reserve("a", 2))
    assert users.order == ["a0", "a2"]
