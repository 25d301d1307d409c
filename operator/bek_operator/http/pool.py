"""Things in good order that may be used again if that happens soon, such as open connections."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class IdlePool(Generic[K, V]):
    """Keep what is idle for a few seconds, and no more than `size` of it in all; the rest is closed."""

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
        self._serials = count()
        self._kept: OrderedDict[int, tuple[K, V, float]] = OrderedDict()  # oldest first
        self._by_key: dict[K, list[int]] = {}
        self._expirer: asyncio.Task[None] | None = None

    def take(self, key: K) -> V | None:
        """Hand out what was kept last for the key: the caller owns it from now on."""
        serials = self._by_key.get(key)
        if not serials or self._kept[serials[-1]][2] <= self._clock():
            return None
        return self._remove(serials[-1])

    async def keep(self, key: K, value: V) -> None:
        """Take over something that nobody uses at the moment."""
        serial = next(self._serials)
        self._kept[serial] = (key, value, self._clock() + self._seconds)
        self._by_key.setdefault(key, []).append(serial)
        if self._expirer is None or self._expirer.done():
            self._expirer = asyncio.create_task(self._expire())
        while len(self._kept) > self._size:
            await self._close(self._remove(next(iter(self._kept))))

    async def close(self) -> None:
        """Close everything."""
        if self._expirer:
            self._expirer.cancel()
            await asyncio.gather(self._expirer, return_exceptions=True)
        while self._kept:
            await self._close(self._remove(next(iter(self._kept))))

    async def _expire(self) -> None:
        while self._kept:
            await asyncio.sleep(self._seconds)
            while self._kept:
                serial, (_, _, until) = next(iter(self._kept.items()))
                if self._clock() < until:
                    break
                await self._close(self._remove(serial))

    def _remove(self, serial: int) -> V:
        key, value, _ = self._kept.pop(serial)
        serials = self._by_key[key]
        serials.remove(serial)
        if not serials:
            del self._by_key[key]
        return value
