"""A bounded pool of idle connections with a time to live."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class IdlePool(Generic[K, V]):
    """Keeps idle connections for `seconds`, at most `size` in all; beyond that the oldest are closed."""

    def __init__(
        self,
        close: Callable[[V], Awaitable[None]],
        *,
        seconds: float,
        size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._close = close
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._ids = count()
        self._kept: OrderedDict[int, tuple[K, V, float]] = OrderedDict()  # oldest first
        self._by_key: dict[K, list[int]] = {}
        self._expirer: asyncio.Task[None] | None = None

    def take(self, key: K) -> V | None:
        """Remove and return the connection that was kept last for the key; `None` when there is none."""
        ids = self._by_key.get(key)
        if not ids or self._kept[ids[-1]][2] <= self._clock():
            return None
        return self._remove(ids[-1])

    async def keep(self, key: K, value: V) -> None:
        """Add an idle connection."""
        id_ = next(self._ids)
        self._kept[id_] = (key, value, self._clock() + self._seconds)
        self._by_key.setdefault(key, []).append(id_)
        if self._expirer is None or self._expirer.done():
            self._expirer = asyncio.create_task(self._expire())
        while len(self._kept) > self._size:
            await self._close(self._remove(next(iter(self._kept))))

    async def close(self) -> None:
        """Close every connection."""
        if self._expirer:
            self._expirer.cancel()
            await asyncio.gather(self._expirer, return_exceptions=True)
        while self._kept:
            await self._close(self._remove(next(iter(self._kept))))

    async def _expire(self) -> None:
        while self._kept:
            await asyncio.sleep(self._seconds)
            while self._kept:
                id_, (_, _, until) = next(iter(self._kept.items()))
                if self._clock() < until:
                    break
                await self._close(self._remove(id_))

    def _remove(self, id_: int) -> V:
        key, value, _ = self._kept.pop(id_)
        ids = self._by_key[key]
        ids.remove(id_)
        if not ids:
            del self._by_key[key]
        return value
