"""Workers: run a schedule, so many keys at once."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from bek_operator.controller.clock import Clock
from bek_operator.controller.workqueue import Doubt, Priority, WorkQueue

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 0.25
"""Work that takes longer may well hang, and has others take its place."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 60.0


class RetryLater(Exception):
    """The work could not be done for a passing reason; the message says which, and is logged."""


class Workers(Generic[K]):
    """At most `size` pieces of work at once, each for a key that the schedule picked.

    Up to `spare` that are slow do not count, so that a few that hang take nothing from the others.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue[K],
        work: Callable[[K], Coroutine[Any, Any, None]],
        size: int,
        clock: Clock,
        *,
        spare: int = 0,
    ) -> None:
        self._name = name
        self._queue = queue
        self._work = work
        self._size = size
        self._spare = spare
        self._clock = clock
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._begun: dict[K, float] = {}  # oldest first
        self._failures: dict[K, int] = {}
        self._open = False
        self._next_look: asyncio.Handle | None = None
        self._looks_at = math.inf

    def add(
        self,
        key: K,
        at: float,
        *,
        priority: Priority = Priority.CHECK,
        limiter_key: str = "",
        doubt: Doubt = Doubt.NONE,
    ) -> None:
        """Have a key worked on; see `Schedule.add`."""
        self._queue.add(key, at, priority=priority, limiter_key=limiter_key, doubt=doubt)
        self._look_by(at)

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on."""
        self._queue.cancel(key)
        self._failures.pop(key, None)

    def interrupt(self, key: K) -> None:
        """End the work that is under way on a key, where it stands; what comes next is for the caller to decide."""
        task = self._tasks.get(key)
        if task:
            task.cancel()

    async def run(self) -> None:
        """Work until cancelled; what is under way is ended and waited for."""
        self._open = True
        self._look()
        try:
            await asyncio.Event().wait()
        finally:
            self._open = False
            self._look_by(math.inf)
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _look_by(self, at: float) -> None:
        """Look at the schedule at an instant, unless that is going to happen before; never when it is infinite."""
        if self._next_look and (at < self._looks_at or not self._open):
            self._next_look.cancel()
            self._next_look, self._looks_at = None, math.inf
        if self._open and at < self._looks_at:
            self._looks_at = at
            pause = max(at - self._clock(), 0.0)
            self._next_look = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        """Begin what is due, as far as there is room; the next look is when there is more of either."""
        self._next_look, self._looks_at = None, math.inf
        while True:
            now = self._clock()
            capacity_at = self._capacity_at(now)
            if capacity_at > now:
                self._look_by(capacity_at)
                return
            key = self._queue.pick(now)
            if key is None:
                next_at = self._queue.next_at()
                self._look_by(math.inf if next_at is None else next_at)
                return
            task = asyncio.create_task(self._work(key), name=f"{self._name} {key}")
            self._tasks[key], self._begun[key] = task, now
            # Not a `finally` around the work: a task that is interrupted before its first step never gets there.
            task.add_done_callback(partial(self._ended, key))

    def _capacity_at(self, now: float) -> float:
        """Return when there is room by the clock alone: `now` if there is, never if it takes an end of work."""
        taken = len(self._tasks) - self._size
        if taken < 0:
            return now
        if taken >= self._spare:
            return math.inf
        # As many as are too many, and one more, have to be slow.
        return max(now, next(islice(self._begun.values(), taken, None)) + SLOW_SECONDS)

    def _ended(self, key: K, task: asyncio.Task[None]) -> None:
        del self._tasks[key], self._begun[key]
        error = None if task.cancelled() else task.exception()
        # What was interrupted is somebody else's to go on with; a cancellation that nobody asked for is an error.
        stray = task.cancelled() and not task.cancelling()
        self._queue.done(key, again_at=self._next_try(key) if error or stray else None)
        if not (error or stray) or key not in self._queue:
            self._failures.pop(key, None)
        if error:
            self._complain(key, error)
        self._look_by(self._clock())

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
