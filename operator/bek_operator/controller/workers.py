"""Workers: run a schedule, so many keys at once."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from bek_operator.controller.clock import Clock
from bek_operator.controller.schedule import Doubt, Priority, Schedule

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 60.0


class RetryLater(Exception):
    """The work could not be done for a passing reason; the message says which, and is logged."""


class Workers(Generic[K]):
    """At most `size` pieces of work at once, each for a key that the schedule picked."""

    def __init__(
        self,
        name: str,
        schedule: Schedule[K],
        work: Callable[[K], Coroutine[Any, Any, None]],
        size: int,
        clock: Clock,
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
        self, key: K, at: float, *, priority: Priority = Priority.CHECK, lane: str = "", doubt: Doubt = Doubt.NONE
    ) -> None:
        """Have a key worked on; see `Schedule.add`."""
        self._schedule.add(key, at, priority=priority, lane=lane, doubt=doubt)
        self._wake.set()

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on."""
        self._schedule.cancel(key)
        self._failures.pop(key, None)

    def interrupt(self, key: K) -> None:
        """End the work that is under way on a key, where it stands; what comes next is for the caller to decide."""
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
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _start_due(self) -> None:
        while len(self._tasks) < self._size:
            key = self._schedule.pick(self._clock())
            if key is None:
                return
            task = asyncio.create_task(self._work(key), name=f"{self._name} {key}")
            self._tasks[key] = task
            # Not a `finally` around the work: a task that is interrupted before its first step never gets there.
            task.add_done_callback(partial(self._ended, key))

    async def _sleep(self) -> None:
        at = self._schedule.next_at() if len(self._tasks) < self._size else None
        pause = None if at is None else max(at - self._clock(), 0.0)
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _ended(self, key: K, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        # What was interrupted is somebody else's to go on with; a cancellation that nobody asked for is an error.
        stray = task.cancelled() and not task.cancelling()
        self._schedule.done(key, again_at=self._next_try(key) if error or stray else None)
        if not (error or stray) or key not in self._schedule:
            self._failures.pop(key, None)
        if error:
            self._complain(key, error)
        self._wake.set()

    def _complain(self, key: K, error: BaseException) -> None:
        if isinstance(error, RetryLater):
            log.warning("%s: %s", self._name, error, extra={"key": str(key)})
        else:
            log.error(
                "%s: an unexpected error; trying again later", self._name, exc_info=error, extra={"key": str(key)}
            )

    def _next_try(self, key: K) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 20), _LONGEST_PAUSE)
        return self._clock() + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
