"""The watch on the BusinessEncryptionKeys: kopf is run for it, over and over, and what it really does is looked at.

Kopf asks the API server's discovery once which resources there are. Where that answer does not name ours, because the
definition was installed a moment ago or another replica of the API server answered, kopf watches nothing, and says so
in a warning alone. And it ends when the definition is deleted.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn, Protocol

from bek_operator.cluster.errors import ClusterError
from bek_operator.cluster.objects import NOT_INSTALLED
from bek_operator.controller.clock import Clock
from bek_operator.controller.kopf_run import KopfError, Stream

log = logging.getLogger(__name__)

DOWN_SECONDS: Final = 60.0
"""A watch that was not open for so long is down; the API server ends each now and then, which is nothing."""

_FIRST_SECONDS: Final = 10.0
"""How long kopf is given for its first request for objects; doubled each time that it did not make any."""

_LOOK_SECONDS: Final = 1.0
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)


class WatchEnded(Exception):
    """The watch ended, and it is not known how to go on; the message says why in words of our own."""


class Discovery(Protocol):
    """What the API server serves."""

    async def are_served(self) -> bool:
        """Return whether it names the BusinessEncryptionKeys.

        Raises:
            ClusterError: it did not answer.
        """
        ...


Sleep = Callable[[float], Awaitable[None]]


class ObjectWatch:
    """Watches when run, until cancelled.

    Args:
        kopf: Runs kopf once, until cancelled.
        paths: Where the objects are listed and watched.
        list_anew: Called when objects may have gone without a word.
    """

    def __init__(
        self,
        *,
        kopf: Callable[[Stream], Awaitable[None]],
        paths: Iterable[str],
        discovery: Discovery,
        list_anew: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._kopf = kopf
        self._paths = tuple(paths)
        self._discovery = discovery
        self._list_anew = list_anew
        self._clock = clock
        self._stream: Stream | None = None
        self._open_at = -math.inf

    def is_up(self) -> bool:
        """Return whether there is a watch; between two of them, too."""
        is_open = self._stream is not None and self._stream.is_open()
        return is_open or self._clock() - self._open_at <= DOWN_SECONDS

    async def run(self, sleep: Sleep = asyncio.sleep) -> NoReturn:
        """Watch until cancelled.

        Raises:
            WatchEnded: kopf ended, and not for want of the definition.
        """
        limit = _FIRST_SECONDS
        await self._wait_for_definition(sleep)
        while True:
            self._stream = stream = Stream(self._paths, self._clock)
            await self._watch(stream, limit, sleep)
            self._stream, self._open_at = None, -math.inf
            limit = min(limit * 2, DOWN_SECONDS) if stream.heard_at is None else _FIRST_SECONDS
            # Without the definition there are no objects; and nobody tells which ones went while nobody watched.
            self._list_anew()
            await sleep(_LOOK_SECONDS)
            await self._wait_for_definition(sleep)
            self._list_anew()

    async def _wait_for_definition(self, sleep: Sleep) -> None:
        logged = ""
        pauses = iter(_PAUSES)
        while True:
            try:
                if await self._discovery.are_served():
                    return
                message = NOT_INSTALLED
            except ClusterError as error:
                message = f"it is not known whether the CRD is installed: {error}"
            if message != logged:
                log.warning(message)
                logged = message
            await sleep(next(pauses, _PAUSES[-1]))

    async def _watch(self, stream: Stream, limit: float, sleep: Sleep) -> None:
        """Run kopf until the definition is gone, or kopf does not watch for too long."""
        running = (self._run_kopf(stream), stream.gone.wait(), self._down(stream, limit, sleep))
        tasks = [asyncio.create_task(one) for one in running]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _run_kopf(self, stream: Stream) -> None:
        try:
            await self._kopf(stream)
        except Exception as error:
            raise WatchEnded(f"the watch on BusinessEncryptionKeys ended: {_words(error)}") from error

    async def _down(self, stream: Stream, limit: float, sleep: Sleep) -> None:
        """Return when the watch is down, and say so."""
        alive_at = self._clock()
        while True:
            now = self._clock()
            if stream.is_open():
                self._open_at = alive_at = now
            allowed = limit
            if stream.heard_at is not None:
                allowed, alive_at = DOWN_SECONDS, max(alive_at, stream.heard_at)
            if now - alive_at > allowed:
                log.error("the watch on BusinessEncryptionKeys was not up for %g s; it is begun anew", allowed)
                return
            await sleep(_LOOK_SECONDS)


def _words(error: Exception) -> str:
    """Return what kind of error it is; what the API server wrote is not repeated."""
    if isinstance(error, KopfError):
        return str(error)
    status = getattr(error, "status", None)
    message = type(error).__name__ + (f" (HTTP {status})" if isinstance(status, int) else "")
    return f"{message}, from {type(error.__cause__).__name__}" if error.__cause__ else message
