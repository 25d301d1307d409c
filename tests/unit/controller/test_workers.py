"""Workers: so many pieces of work at once, and what becomes of those that fail or are interrupted."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from bek_operator.cluster.errors import Unavailable
from bek_operator.controller.result import Enqueue, Result
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import Due, WorkQueue
from bek_operator.crd.types import ObjectKey
from support.fakes import now
from support.virtual_time import until, virtual_time


class Bench:
    """Workers whose work is told by each test, and what they did and applied."""

    def __init__(self, size: int = 2, queue: WorkQueue[str] | None = None) -> None:
        queue = queue or WorkQueue(size)
        self.workers: Workers[str] = Workers("test", queue, self, self._apply, now)
        self.results: dict[str, Result] = {}
        self.applied: list[tuple[Result, int]] = []
        self.jobs: dict[str, Callable[[], Awaitable[object]]] = {}
        self.begun: list[tuple[str, float]] = []
        self.ended: list[str] = []
        self.cut_off: list[str] = []
        self.at_once = 0

    def _apply(self, result: Result) -> None:
        self.applied.append((result, len(self.ended)))

    async def reconcile(self, key: str) -> Result:
        """Work on a key."""
        self.begun.append((key, now()))
        self.at_once = max(self.at_once, len(self.begun) - len(self.ended))
        try:
            if key in self.jobs:
                await self.jobs[key]()
        except asyncio.CancelledError:
            self.cut_off.append(key)
            raise
        finally:
            self.ended.append(key)
        return self.results.get(key, Result())

    def add(self, key: str, *, after: float = 0.0) -> None:
        """Have a key worked on."""
        self.workers.add(key, Due(at=now() + after))

    def times(self, key: str) -> list[float]:
        """Return when work on a key began."""
        return [at for name, at in self.begun if name == key]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Have the workers run meanwhile."""
        task = asyncio.create_task(self.workers.run())
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def fail(error: BaseException) -> Callable[[], Awaitable[object]]:
    """Return work that ends in an error."""

    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    return work


def last(seconds: float) -> Callable[[], Awaitable[object]]:
    """Return work that takes so long."""
    return lambda: asyncio.sleep(seconds)


@virtual_time
async def test_so_many_pieces_of_work_are_under_way_at_once() -> None:
    """More wait until one of them is done, and then begin at once."""
    bench = Bench(size=2)
    async with bench.running():
        for key in "abcd":
            bench.jobs[key] = last(0.2)
            bench.add(key)
        start = now()
        await until(lambda: len(bench.ended) == 4, 30)
    assert bench.at_once == 2
    assert [round(at - start, 1) for _, at in bench.begun] == [0, 0, 0.2, 0.2]


@virtual_time
async def test_what_a_reconcile_returns_is_applied_before_anything_else_happens() -> None:
    """The same key is due when it says, and what it says of others is handed on, in the step in which it ended."""
    bench = Bench()
    other = Enqueue(ObjectKey("messaging", "flows"), Due(at=0.0))
    async with bench.running():
        start = now()
        bench.results["x"] = Result(requeue=Due(at=start + 60), enqueue=(other,))
        bench.add("x")
        await asyncio.sleep(1)
        assert bench.applied == [(bench.results["x"], 1)]
        bench.results["x"] = Result()
        await asyncio.sleep(1000)
    assert [round(at - start) for at in bench.times("x")] == [0, 60]


@virtual_time
async def test_an_earlier_addition_wakes_a_worker_that_waits_for_a_later_one() -> None:
    """Workers that sleep until something is due hear of what is due before."""
    bench = Bench()
    async with bench.running():
        start = now()
        bench.add("later", after=100)
        await asyncio.sleep(1)
        bench.add("sooner", after=4)
        await asyncio.sleep(200)
    assert [(key, round(at - start)) for key, at in bench.begun] == [("sooner", 5), ("later", 100)]


@virtual_time
async def test_work_that_fails_is_tried_again_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """Pauses double up to a minute, begin anew after a success, and the log names every error."""
    bench = Bench()
    async with bench.running():
        bench.jobs["x"] = fail(RuntimeError("not foreseen"))
        bench.add("x")
        await asyncio.sleep(600)
        pauses = [later - earlier for earlier, later in pairwise(bench.times("x"))]
        assert pauses[0] < 0.3
        assert all(later > earlier for earlier, later in pairwise(pauses[:7]))
        assert max(pauses) <= 72
        bench.jobs["x"] = last(0)
        await asyncio.sleep(100)
        count = len(bench.times("x"))
        await asyncio.sleep(1000)
        assert len(bench.times("x")) == count
        bench.jobs["x"] = fail(RuntimeError("again"))
        bench.add("x")
        await asyncio.sleep(0.5)
        assert len(bench.times("x")) >= count + 2
    records = [record for record in caplog.records if record.exc_info]
    assert "not foreseen" in str(records[0].exc_info)


@virtual_time
async def test_a_passing_reason_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What was foreseen is a warning without a traceback."""
    bench = Bench()
    async with bench.running():
        bench.jobs["x"] = fail(Unavailable("the API server is away"))
        bench.add("x")
        await asyncio.sleep(0.1)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "test: the API server is away")
    ]
    assert caplog.records[0].exc_info is None


@virtual_time
async def test_an_error_leaves_all_others_alone() -> None:
    """Work that fails neither stops the workers nor holds a place."""
    bench = Bench(size=1)
    async with bench.running() as running:
        bench.jobs["x"] = fail(RuntimeError("not foreseen"))
        bench.add("x")
        await asyncio.sleep(0.05)
        bench.add("y")
        await until(lambda: "y" in bench.ended, 1)
        assert not running.done()


@virtual_time
async def test_work_that_is_interrupted_is_left_to_whoever_did_it() -> None:
    """It ends where it stands, is not tried again by itself, and may be added at once."""
    bench = Bench()
    async with bench.running():
        bench.jobs["x"] = last(100)
        bench.add("x")
        await asyncio.sleep(1)
        bench.workers.cancel("x")
        await asyncio.sleep(1000)
        assert bench.cut_off == ["x"]
        assert len(bench.times("x")) == 1
        bench.add("x")
        await asyncio.sleep(1)
        bench.workers.cancel("x")
        bench.add("x")
        await asyncio.sleep(1)
        assert len(bench.times("x")) == 3


@virtual_time
async def test_work_that_is_interrupted_before_its_first_step_frees_its_place() -> None:
    """A key that was picked, and taken back before anything ran, can be worked on afterwards."""
    bench = Bench(size=2)

    async def take_back() -> None:
        bench.workers.cancel("picked at once with it")

    async with bench.running():
        bench.jobs["x"] = take_back
        bench.add("x")
        bench.add("picked at once with it")
        await asyncio.sleep(1)
        assert bench.ended == ["x"]
        for key in ("picked at once with it", "y", "z"):
            bench.add(key)
        await until(lambda: bench.ended == ["x", "picked at once with it", "y", "z"], 1)


@virtual_time
async def test_work_that_was_cancelled_is_not_tried_again_when_it_fails() -> None:
    """Nothing brings a key back that was to be left alone, and nothing is remembered of it."""
    bench = Bench()

    async def fail_late() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
        raise RuntimeError("too late")

    async with bench.running():
        bench.jobs["x"] = fail_late
        bench.add("x")
        await asyncio.sleep(1)
        bench.workers.cancel("x")
        await asyncio.sleep(1000)
    assert len(bench.times("x")) == 1
    assert bench.workers._failures == {}


@virtual_time
async def test_a_cancellation_that_nobody_asked_for_is_tried_again() -> None:
    """Work that is cancelled from within, by what it waited for, is not lost."""
    bench = Bench()
    async with bench.running():
        bench.jobs["x"] = fail(asyncio.CancelledError())
        bench.add("x")
        await asyncio.sleep(1)
        bench.jobs["x"] = last(0)
        await asyncio.sleep(10)
        count = len(bench.times("x"))
        assert count >= 2
        await asyncio.sleep(100)
        assert len(bench.times("x")) == count


@virtual_time
async def test_the_end_waits_for_work_that_is_not_to_be_cut_off() -> None:
    """Everything under way is cancelled; what refuses that is waited for."""
    bench = Bench()
    done: list[float] = []

    async def insist() -> None:
        work = asyncio.create_task(asyncio.sleep(7))
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(work)
        done.append(now())

    async with bench.running():
        bench.jobs.update(x=insist, y=last(1000))
        for key in "xy":
            bench.add(key)
        start = now()
        await asyncio.sleep(1)
    assert [round(at - start) for at in done] == [7]
    assert bench.cut_off == ["y"]
    assert round(now() - start) == 7


class BrokenQueue(WorkQueue[str]):
    """A queue that fails between two reconciles."""

    def done(self, key: str, *, retry_at: float | None = None) -> None:
        """Fail."""
        raise ValueError(f"{key} is not under way, to {retry_at}")


@virtual_time
async def test_a_queue_that_fails_ends_the_workers() -> None:
    """The event loop would only log it, and nothing would be worked on any more."""
    bench = Bench(queue=BrokenQueue(2))
    bench.add("a")
    with pytest.raises(ValueError, match="a is not under way"):
        await bench.workers.run()
