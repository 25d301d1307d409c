"""Workers: run a schedule, so many keys at once."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from bek_operator.controller.clock import Clock
from bek_operator.controller.schedule import Priority, Schedule

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 60.0


class RetryLater(Exception):
    """The work could not be done for a passing reason; the message says which, and is logged."""


class Workers(Generic[K]):
    """At most `size` pieces of work at once, each for a key that the schedule picked."""

    def __init__(
        self, name: str, schedule: Schedule[K], work: Callable[[K], Awaitable[None]], size: int, clock: Clock
    ) -> None:
        self._name = name
        self._schedule = schedule
        self._work = work
        self._size = size
        self._clock = clock
        self._wake = asyncio.Event()
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._failures: dict[K, int] = {}

    def add(
        self, key: K, at: float, *, priority: Priority = Priority.CHECK, lane: str = "", suspect: bool = False
    ) -> None:
        """Have a key worked on; see `Schedule.add`."""
        self._schedule.add(key, at, priority=priority, lane=lane, suspect=suspect)
        self._wake.set()

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on."""
        self._schedule.cancel(key)
        self._failures.pop(key, None)

    def interrupt(self, key: K) -> None:
        """End the work that is under way on a key, where it stands."""
        task = self._tasks.get(key)
        if task:
            task.cancel()

    async def run(self) -> None:
        """Work until cancelled; what is under way is ended and waited for."""
        try:
            while True:
                self._wake.clear()
                self._start_due()
                await self._sleep()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _start_due(self) -> None:
        while len(self._tasks) < self._size:
            key = self._schedule.pick(self._clock())
            if key is None:
                return
            self._tasks[key] = asyncio.create_task(self._do(key), name=f"{self._name} {key}")

    async def _sleep(self) -> None:
        at = self._schedule.next_at() if len(self._tasks) < self._size else None
        pause = None if at is None else max(at - self._clock(), 0.0)
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _do(self, key: K) -> None:
        try:
            await self._work(key)
            self._failures.pop(key, None)
        except asyncio.CancelledError:
            # Interrupted by another target, or by the end of the process: in both cases somebody else decides
            # what comes next. Being cancelled is not passed on, since nobody awaits this task for its outcome.
            pass
        except RetryLater as reason:
            self._again(key)
            log.warning("%s: %s", self._name, reason, extra={"key": str(key)})
        except Exception:
            self._again(key)
            log.exception("%s: an unexpected error; trying again later", self._name, extra={"key": str(key)})
        finally:
            del self._tasks[key]
            self._schedule.done(key)
            self._wake.set()

    def _again(self, key: K) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 20), _LONGEST_PAUSE)
        self._schedule.add(key, self._clock() + pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
