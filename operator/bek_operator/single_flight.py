"""Suppresses duplicate concurrent calls (as Go's x/sync/singleflight)."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """At most one call under way for each key; concurrent callers share its outcome."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def do(self, key: K, start: Callable[[], Awaitable[V]]) -> V:
        """Await the call under way for the key, or start one; cancelling a caller does not cancel the call."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(_run(start))
            self._tasks[key] = task
            task.add_done_callback(partial(self._done, key))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel all calls and their callers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: K, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # All callers may be cancelled; asyncio would warn about an exception that was never retrieved.
            task.exception()


async def _run(start: Callable[[], Awaitable[V]]) -> V:
    return await start()
