"""A budget that tenants share: each uses half of it at most, and those who wait take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """So many units for all tenants; whoever needs more than half of them gets half, and so waits for its own only."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._share = total // 2
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}

    @asynccontextmanager
    async def reserve(self, tenant: str, units: int) -> AsyncIterator[None]:
        """Have units inside the block; they are waited for."""
        units = min(units, self._share)
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append((units, granted))
        self._grant()
        try:
            await granted
            yield
        finally:
            if not granted.cancelled():
                self._free += units
                self._used[tenant] -= units
            self._grant()

    def _grant(self) -> None:
        while (tenant := self._next()) is not None:
            # The last of those that take turns now.
            waiting = self._waiting[tenant] = self._waiting.pop(tenant)
            units, granted = waiting.popleft()
            self._free -= units
            self._used[tenant] += units
            granted.set_result(None)

    def _next(self) -> str | None:
        """Return whose turn it is; nobody overtakes who waits for units that others use."""
        for tenant, waiting in list(self._waiting.items()):
            while waiting and waiting[0][1].cancelled():
                waiting.popleft()
            if not waiting:
                del self._waiting[tenant]
            elif self._used[tenant] + waiting[0][0] <= self._share:
                return tenant if waiting[0][0] <= self._free else None
        # Whoever uses nothing is remembered no longer.
        self._used = +self._used
        return None
