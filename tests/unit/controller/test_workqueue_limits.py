"""Limiters that close and open again: the urgent passes, nothing is forgotten, and nobody asks in vain all the time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.controller.result import Result
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import Due, Priority, WorkQueue
from support.fakes import FakeLimits, now
from support.virtual_time import VirtualLoop, until, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHECK, REPAIR, KEY = Priority.CHECK, Priority.REPAIR, Priority.KEY


class Counting(FakeLimits):
    """Limiters that count how often they are asked, and may say what is not so of when they open."""

    def __init__(self, capacity: int = 8) -> None:
        super().__init__(capacity)
        self.asked = 0
        self.says: float | None = None

    def close(self, limiter_key: str, seconds: float, *, urgent: float = 0.0) -> None:
        """Close a limiter from now on, for what is urgent for another time."""
        self.closed_until[limiter_key, False] = now() + seconds
        self.closed_until[limiter_key, True] = now() + urgent

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many of a limiter may be worked on at once."""
        self.asked += 1
        return self._room if now >= super().available_at(limiter_key, now, urgent=urgent) else 0

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there is room again, or so it is said."""
        return super().available_at(limiter_key, now, urgent=urgent) if self.says is None else self.says


class Bench:
    """Workers under limits, and when each key was worked on."""

    def __init__(self, limits: Counting, size: int = 4, seconds: float = 0.5) -> None:
        self.limits = limits
        self.begun: defaultdict[str, list[float]] = defaultdict(list)
        self.order: list[str] = []
        self.intruders: list[str] = []
        self.work: Callable[[str], object] = lambda _: None
        self._seconds = seconds
        queue: WorkQueue[str] = WorkQueue(size, limits=limits)
        self.workers: Workers[str] = Workers("test", queue, self, lambda _: None, now)

    async def reconcile(self, key: str) -> Result:
        """Work on a key."""
        self.begun[key].append(now())
        self.order.append(key)
        if all(now() < self.limits.closed_until.get((key[0], urgent), 0.0) for urgent in (True, False)):
            self.intruders.append(key)
        await asyncio.sleep(self._seconds)
        self.work(key)
        return Result()

    def add(self, key: str, priority: Priority = CHECK, *, after: float = 0.0, limiter_key: str = "a") -> None:
        """Have a key worked on."""
        self.workers.add(key, Due(at=now() + after, priority=priority, limiter_key=limiter_key))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have the workers run meanwhile."""
        task = asyncio.create_task(self.workers.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@virtual_time
async def test_what_waits_behind_a_closed_limiter_begins_when_it_opens() -> None:
    """At that instant, the urgent first, though nothing else happens that would wake the workers."""
    bench = Bench(Counting())
    bench.limits.close("a", 3600, urgent=600)
    start = now()
    async with bench.running():
        bench.add("check")
        bench.add("repair", REPAIR)
        bench.add("elsewhere", limiter_key="b")
        await asyncio.sleep(1)
        assert bench.order == ["elsewhere"]
        await asyncio.sleep(7200)
    assert [round(bench.begun[key][0] - start) for key in ("repair", "check")] == [600, 3600]


@virtual_time
async def test_a_closed_limiter_is_not_asked_all_the_time() -> None:
    """Hundreds of keys wait for hours, and while others are busy the limiter is left alone."""
    bench = Bench(Counting())
    bench.limits.close("a", 3600, urgent=3600)
    async with bench.running():
        for index in range(300):
            bench.add(f"check {index}")
            bench.add(f"key {index}", KEY)
        await asyncio.sleep(3599)
        assert bench.limits.asked <= 4
        bench.limits.closed_until.clear()
        await until(lambda: len(bench.order) == 600, 200)
    assert all(key.startswith("key") for key in bench.order[:300])
    assert bench.limits.asked < 5 * 600


@virtual_time
async def test_work_that_goes_on_behind_a_limiter_that_is_closed_for_checks_piles_nothing_up() -> None:
    """Urgent keys come one by one for an hour: the checks are thought of after each, and remembered once."""
    bench = Bench(Counting())
    bench.limits.close("a", 7200)
    async with bench.running():
        bench.add("check")
        for index in range(1800):
            bench.add(f"repair {index}", REPAIR)
            await asyncio.sleep(2)
        assert len(bench.workers._queue._opening) <= 2
        assert bench.limits.asked < 10 * 1800
        await until(lambda: bench.begun["check"], 7200)
    assert len(bench.order) == 1801


@virtual_time
async def test_a_limiter_that_closes_again_is_waited_for_again() -> None:
    """One look is let through, what it leads to closes the limiter, and so on: everything gets its turn."""
    bench = Bench(Counting())
    bench.limits.close("a", 60, urgent=60)
    bench.work = lambda _: bench.limits.close("a", 60, urgent=60)
    async with bench.running():
        for index in range(12):
            bench.add(str(index))
        await asyncio.sleep(12 * 61)
    assert sorted(bench.begun, key=int) == [str(index) for index in range(12)]


@virtual_time
async def test_a_limiter_that_tells_the_wrong_time_is_asked_ten_times_a_second_at_most() -> None:
    """One that says it is open and takes nothing keeps nobody busy; others go on."""
    bench = Bench(Counting())
    bench.limits.close("a", 100, urgent=100)
    bench.limits.says = 0.0
    async with bench.running():
        bench.add("x", KEY)
        bench.add("y")
        await asyncio.sleep(10)
        assert bench.limits.asked <= 2 * 101 + 2
        bench.add("other", limiter_key="b")
        await asyncio.sleep(1)
        assert bench.order == ["other"]
        await asyncio.sleep(100)
    assert sorted(bench.begun) == ["other", "x", "y"]


@virtual_time
async def test_a_limiter_that_opens_while_all_workers_are_busy_is_not_missed() -> None:
    """As soon as one of them is free the most urgent key of all is next."""
    bench = Bench(Counting(), size=1, seconds=50.0)
    bench.limits.close("a", 20, urgent=20)
    start = now()
    async with bench.running():
        bench.add("long", limiter_key="b")
        await asyncio.sleep(1)
        bench.add("waits too", limiter_key="b")
        bench.add("key", KEY)
        await asyncio.sleep(200)
    assert bench.order == ["long", "key", "waits too"]
    assert [round(bench.begun[key][0] - start) for key in bench.order] == [0, 50, 100]


STEP = st.tuples(
    st.sampled_from(["add", "add", "add", "close", "cancel", "pass"]),
    st.integers(0, 9),
    st.sampled_from(["a", "b"]),
    st.sampled_from(list(Priority)),
    st.floats(0, 30),
    st.floats(0, 30),
)


@settings(max_examples=60)
@given(steps=st.lists(STEP, max_size=25), size=st.integers(1, 3), capacity=st.integers(1, 3))
def test_whatever_opens_and_closes_everything_gets_its_turn(
    steps: list[tuple[str, int, str, Priority, float, float]], size: int, capacity: int
) -> None:
    """Nothing begins behind a closed limiter, nothing that is due waits for more than capacity and a worker."""

    async def play() -> None:
        bench = Bench(Counting(capacity), size)
        wanted: set[str] = set()
        bench.work = wanted.discard
        async with bench.running():
            for what, index, limiter_key, priority, seconds, more in steps:
                key = f"{limiter_key}{index}"
                if what == "add":
                    wanted.add(key)
                    bench.add(key, priority, after=seconds, limiter_key=limiter_key)
                elif what == "close":
                    bench.limits.close(limiter_key, seconds + more, urgent=seconds)
                elif what == "cancel":
                    wanted.discard(key)
                    bench.workers.cancel(key)
                # What was picked has to begin before the limiter closes on it.
                await asyncio.sleep(seconds if what == "pass" else 0.001)
                await asyncio.sleep(0.001)
            # As long as anything is put off or closed at most, and then as long as all of them take.
            await asyncio.sleep(90 + 0.5 * len(steps) + 1)
            assert (wanted, bench.intruders) == (set(), [])
            asked = bench.limits.asked
            await asyncio.sleep(1000)
            assert bench.limits.asked == asked

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play())
