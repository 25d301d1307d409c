"""Runs what must not end by itself: `asyncio.TaskGroup` takes no notice of a task that returns or is cancelled."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, NoReturn


class Ended(Exception):
    """Something ended by itself; the message names it."""


async def supervise(parts: Mapping[str, Coroutine[Any, Any, None]]) -> NoReturn:
    """Run all parts, each under its name, until cancelled.

    When one ends, in whatever way, the others are cancelled and awaited.

    Raises:
        ExceptionGroup: of what made a part fail, or of `Ended` when it returned or was cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work, name=name) for name, work in parts.items()]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # One that failed has cancelled this wait, or does so at the next.
            for task in done:
                if task.cancelled() or not task.exception():
                    raise Ended(f"{task.get_name()}: ended by itself")
            await asyncio.Event().wait()
    except ExceptionGroup:
        # If our cancellation was requested before, a group of Python 3.13 requests it once more, which would cut the
        # clean-up of our caller short and take the place of the failure.
        if (caller := asyncio.current_task()) is not None:
            caller.uncancel()
        raise
    raise AssertionError("a part has failed")
