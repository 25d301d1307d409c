"""Runs expensive TLS work in threads, one piece at a time for each tenant.

OpenSSL releases the interpreter while it computes, so the event loop stays free; and as each tenant uses one thread at
most, the work of one delays that of another by no more than the machine's CPUs force it to.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from bek_operator.shares import Shares

T = TypeVar("T")

_THREADS = 4


class Turns:
    """The threads, and whose turn it is; `tenant` is empty for work that the operator's settings cause."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "tls")
        # One for each tenant, and for any number of them: who waits for a thread waits in the order of arrival.
        self._shares = Shares(sys.maxsize, times=0)

    async def run(
        self,
        tenant: str,
        work: Callable[[], T],
        *,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[], float] = lambda: 0.0,
    ) -> T:
        """Return what `work` returns in a thread, when it is the tenant's turn.

        `begin` is called before, and may raise. `end` is called after, though the caller may be cancelled by then; it
        returns the seconds after which the tenant's next turn begins.
        """
        await self._shares.acquire(tenant)
        try:
            begin()
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._threads, work)
        except BaseException:
            self._shares.release(tenant)
            raise

        def ended(future: asyncio.Future[T]) -> None:
            with suppress(BaseException):
                # All callers may be gone; asyncio would warn about an exception that was never retrieved.
                future.exception()
            loop.call_later(end(), self._shares.release, tenant)

        future.add_done_callback(ended)
        # Unlike awaiting it, this does not cancel it.
        await asyncio.wait([future])
        return future.result()

    def close(self) -> None:
        """Start no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
