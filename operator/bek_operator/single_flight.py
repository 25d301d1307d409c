"""Work that several callers want at once and that is done once for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """At most one piece of work under way for each key; whoever asks meanwhile shares its outcome."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, start: Callable[[], Awaitable[V]]) -> V:
        """Share the work under way, or begin it; cancelling a caller leaves it to the others."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(_run(start))
            self._tasks[key] = task
            task.add_done_callback(partial(self._landed, key))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End all work; its callers are cancelled."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # All callers may be gone; unasked, asyncio would complain about an error that nobody saw.
            task.exception()


async def _run(start: Callable[[], Awaitable[V]]) -> V:
    return await start()
