"""Workers: reconcile the keys of a work queue concurrently, and apply the results."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Generic, NamedTuple, TypeVar
from uuid import uuid4

from bek_operator.cluster.errors import ClusterError
from bek_operator.controller.result import Reconciler, Result
from bek_operator.controller.workqueue import Due, WorkQueue
from bek_operator.logs import about
from bek_operator.times import Clock

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.2
_LONGEST_BACKOFF = 60.0

_RELAPSE_SECONDS = 5.0
"""An error so soon after a retry was due continues the back-off."""


class _Failures(NamedTuple):
    """How many errors of a key followed each other, and when it is retried."""

    errors: int
    retry_at: float


class Workers(Generic[K]):
    """The workers of one queue.

    Args:
        apply: Takes the part of a result that is about other keys.
        fields: Returns the fields of every log line about a key.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue[K],
        reconciler: Reconciler[K],
        apply: Callable[[Result], None],
        clock: Clock,
        fields: Callable[[K], Mapping[str, str]] = lambda key: {"key": str(key)},
    ) -> None:
        self._name = name
        self._queue = queue
        self._reconciler = reconciler
        self._apply = apply
        self._fields = fields
        self._clock = clock
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._failures: dict[K, _Failures] = {}
        self._open = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._broken: asyncio.Future[None] | None = None

    def add(self, key: K, due: Due) -> None:
        """Enqueue a key."""
        self._queue.add(key, due)
        self._wake_by(due.at)

    def cancel(self, key: K) -> None:
        """Forget a key, and cancel its running reconcile."""
        self._queue.cancel(key)
        self._failures.pop(key, None)
        task = self._tasks.get(key)
        if task:
            task.cancel()

    async def run(self) -> None:
        """Work until cancelled; then running reconciles are cancelled and awaited.

        Raises:
            Exception: the queue failed, between two reconciles.
        """
        self._broken = asyncio.get_running_loop().create_future()
        self._open = True
        self._start_due()
        try:
            await self._broken
        finally:
            self._open = False
            self._wake_by(math.inf)
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _wake_by(self, at: float) -> None:
        """Arm the timer for `at`, unless it is armed for an earlier instant; never for an infinite one."""
        if self._timer and (at < self._timer_at or not self._open):
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf
        if self._open and at < self._timer_at:
            self._timer_at = at
            self._timer = asyncio.get_running_loop().call_later(max(at - self._clock(), 0.0), self._start_due)

    def _start_due(self) -> None:
        """Start reconciles of due keys while there are free workers; called again when one ends."""
        with self._ending_run():
            self._timer, self._timer_at = None, math.inf
            while (key := self._queue.pick(now := self._clock())) is not None:
                # In a context of its own: the log fields of whoever enqueued the key are not its fields.
                task = asyncio.create_task(self._work(key), name=f"{self._name} {key}", context=Context())
                self._tasks[key] = task
                # Not a `finally` around the work: a task that is cancelled before its first step never gets there.
                task.add_done_callback(partial(self._ended, key))
            self._wake_by(self._queue.next_at(now))

    async def _work(self, key: K) -> None:
        with about(**self._fields(key), reconcileID=str(uuid4())):
            try:
                result = await self._reconciler.reconcile(key)
                # In the same step as the end of the reconcile: nothing can happen in between.
                if result.requeue:
                    self._queue.requeue(key, result.requeue)
                self._apply(result)
            except Exception as error:
                self._log(error)
                raise

    def _ended(self, key: K, task: asyncio.Task[None]) -> None:
        with self._ending_run():
            del self._tasks[key]
            error = None if task.cancelled() else task.exception()
            # After a requested cancellation the caller decides what is next; any other cancellation is an error.
            failed = error is not None or (task.cancelled() and not task.cancelling())
            self._queue.done(key, retry_at=self._retry_at(key) if failed else None)
            if not self._is_failing(key) or key not in self._queue:
                self._failures.pop(key, None)
            self._wake_by(self._clock())

    @contextmanager
    def _ending_run(self) -> Iterator[None]:
        """Have an error end `run`: the event loop, which calls us, would log it, and nothing be started any more."""
        try:
            yield
        except Exception as error:
            if self._broken is None or self._broken.done():
                raise
            self._broken.set_exception(error)

    def _log(self, error: Exception) -> None:
        if isinstance(error, ClusterError):
            log.warning("%s: %s", self._name, error)
        else:
            log.error("%s: unexpected error; retrying with back-off", self._name, exc_info=error)

    def _is_failing(self, key: K) -> bool:
        """Return whether an error now continues the back-off; a success may be a reconcile that only waited."""
        return key in self._failures and self._clock() - self._failures[key].retry_at < _RELAPSE_SECONDS

    def _retry_at(self, key: K) -> float:
        errors = self._failures[key].errors + 1 if self._is_failing(key) else 1
        backoff = min(_FIRST_BACKOFF * 2.0 ** min(errors - 1, 20), _LONGEST_BACKOFF)
        retry_at = self._clock() + backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._failures[key] = _Failures(errors, retry_at)
        return retry_at
