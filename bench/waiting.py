"""Waiting for a condition, with a limit."""

import asyncio
from collections.abc import Callable

_POLL_SECONDS = 0.01


async def until(holds: Callable[[], bool], *, seconds: float = 60.0, every: float = _POLL_SECONDS) -> None:
    """Return when a condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not holds():
        if loop.time() > end:
            raise TimeoutError(f"not within {seconds:g} s")
        await asyncio.sleep(every)
