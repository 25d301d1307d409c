"""Shares: units of something (workers, threads, bytes) that tenants share, so that none takes all of them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pool:
    """Units that tenants share: each gets some if they are free, and more up to so many times as many as stay free.

    Three times as many are three quarters of the pool for a tenant alone, and three sevenths for each of two. So some
    are left for the next tenant, whatever each of them has to do. With none as many, each has one use at a time.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._used: Counter[str] = Counter()

    def used(self, tenant: str) -> int:
        """Return how many a tenant uses."""
        return self._used[tenant]

    def has_room(self, tenant: str, times: int, units: int = 1) -> bool:
        """Return whether a tenant gets so many more."""
        used, free = self._used[tenant], self._free - units
        return free >= 0 and (not used or used + units <= times * free)

    def take(self, tenant: str, units: int = 1) -> None:
        """Have a tenant use more."""
        self._free -= units
        self._used[tenant] += units

    def give_back(self, tenant: str, units: int = 1) -> None:
        """Have a tenant use less."""
        self._free += units
        self._used[tenant] -= units
        if not self._used[tenant]:
            del self._used[tenant]


class Shares:
    """A pool whose units are waited for: tenants take turns, and whoever waits for its own units delays no other.

    Whoever asks for more than a tenant alone can have gets that, and so waits for its own alone.
    """

    def __init__(self, size: int, *, times: int) -> None:
        self._pool = Pool(size)
        self._times = times
        self._most = max(size * times // (times + 1), 1)
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}

    async def acquire(self, tenant: str, units: int = 1) -> None:
        """Wait for units; `release` must follow, when what uses them has ended, though the caller may be gone."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append((min(units, self._most), granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._grant()
            else:
                self.release(tenant, units)
            raise

    def release(self, tenant: str, units: int = 1) -> None:
        """Give back as many units as were asked for."""
        self._pool.give_back(tenant, min(units, self._most))
        self._grant()

    @asynccontextmanager
    async def reserve(self, tenant: str, units: int = 1) -> AsyncIterator[None]:
        """Have units inside the block; they are waited for."""
        await self.acquire(tenant, units)
        try:
            yield
        finally:
            self.release(tenant, units)

    def _grant(self) -> None:
        while (tenant := self._next()) is not None:
            # The last of those that take turns now.
            waiting = self._waiting[tenant] = self._waiting.pop(tenant)
            units, granted = waiting.popleft()
            self._pool.take(tenant, units)
            granted.set_result(None)

    def _next(self) -> str | None:
        """Return whose turn it is; nobody overtakes who has nothing and waits for units that others use."""
        for tenant, waiting in list(self._waiting.items()):
            while waiting and waiting[0][1].cancelled():
                waiting.popleft()
            if not waiting:
                del self._waiting[tenant]
            elif self._pool.has_room(tenant, self._times, waiting[0][0]):
                return tenant
            elif not self._pool.used(tenant):
                return None
        return None
