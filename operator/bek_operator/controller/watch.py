"""Watches the BusinessEncryptionKeys with kopf, and restarts kopf when it does not watch.

Kopf reads the API server's discovery once. If our resource is missing there, because the CRD was installed a moment ago
or another replica of the API server responded, kopf logs a warning and watches nothing. It ends with the CRD, and with
whatever it does not expect: an error that is sent on the watch, a line that is not JSON, a refused request.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn, Protocol

from bek_operator.cluster.errors import ClusterError
from bek_operator.cluster.objects import NOT_INSTALLED
from bek_operator.controller.kopf_run import Stream, WatchEnded
from bek_operator.times import Clock

log = logging.getLogger(__name__)

DOWN_SECONDS: Final = 60.0
"""A watch that is closed for longer is down; the API server regularly closes watches."""

_START_SECONDS: Final = 10.0
"""Seconds until kopf must have requested objects; doubled after each run in which it did not."""

_POLL_SECONDS: Final = 1.0
_BACKOFFS: Final = (0.5, 1.0, 2.0, 5.0)
_RESTART_BACKOFFS: Final = (1.0, 2.0, 5.0, 15.0)


class Discovery(Protocol):
    """The API server's discovery."""

    async def are_served(self) -> bool:
        """Return whether it has the BusinessEncryptionKeys.

        Raises:
            ClusterError: the request failed.
        """
        ...


Sleep = Callable[[float], Awaitable[None]]


class ObjectWatch:
    """Keeps a watch on the objects open while `run` runs.

    Args:
        kopf: Runs kopf once, until cancelled.
        paths: The paths that kopf lists and watches.
        resync: Called when deletions may have been missed.
    """

    def __init__(
        self,
        *,
        kopf: Callable[[Stream], Awaitable[None]],
        paths: Iterable[str],
        discovery: Discovery,
        resync: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._kopf = kopf
        self._paths = tuple(paths)
        self._discovery = discovery
        self._resync = resync
        self._clock = clock
        self._stream: Stream | None = None
        self._open_at = -math.inf

    def is_up(self) -> bool:
        """Return whether the watch is open, or was a moment ago."""
        is_open = self._stream is not None and self._stream.is_open()
        return is_open or self._clock() - self._open_at <= DOWN_SECONDS

    async def run(self, sleep: Sleep = asyncio.sleep) -> NoReturn:
        """Watch until cancelled.

        Raises:
            WatchEnded: kopf cannot be stopped.
        """
        limit, backoffs = _START_SECONDS, iter(_RESTART_BACKOFFS)
        await self._wait_for_crd(sleep)
        while True:
            begun_at = self._clock()
            self._stream = stream = Stream(self._paths, self._resync, self._clock)
            await self._watch(stream, limit, sleep)
            self._stream = None
            if stream.gone.is_set():
                self._open_at = -math.inf
            limit = min(limit * 2, DOWN_SECONDS) if stream.heard_at is None else _START_SECONDS
            # Without the CRD there are no objects, and deletions during the gap were missed.
            self._resync()
            if self._clock() - begun_at >= DOWN_SECONDS:
                backoffs = iter(_RESTART_BACKOFFS)
            await sleep(next(backoffs, _RESTART_BACKOFFS[-1]))
            await self._wait_for_crd(sleep)
            self._resync()

    async def _wait_for_crd(self, sleep: Sleep) -> None:
        logged = ""
        backoffs = iter(_BACKOFFS)
        while True:
            try:
                if await self._discovery.are_served():
                    return
                message = NOT_INSTALLED
            except ClusterError as error:
                message = f"cannot check whether the CRD is installed: {error}; retrying"
            if message != logged:
                log.warning(message)
                logged = message
            await sleep(next(backoffs, _BACKOFFS[-1]))

    async def _watch(self, stream: Stream, limit: float, sleep: Sleep) -> None:
        """Run kopf until it fails, the CRD is deleted or the watch is down."""
        running = (self._run_kopf(stream), stream.gone.wait(), self._until_down(stream, limit, sleep))
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
            cause = "kopf stopped"
        except WatchEnded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, only kopf is restarted
            cause = _describe(error)
        log.warning("the watch on BusinessEncryptionKeys failed: %s; restarting it", cause)

    async def _until_down(self, stream: Stream, limit: float, sleep: Sleep) -> None:
        """Wait until the watch is down, and log it."""
        alive_at = self._clock()
        while True:
            now = self._clock()
            if stream.is_open():
                self._open_at = alive_at = now
            allowed = limit
            if stream.heard_at is not None:
                allowed, alive_at = DOWN_SECONDS, max(alive_at, stream.heard_at)
            if now - alive_at > allowed:
                log.error("the watch on BusinessEncryptionKeys was down for %g s; restarting it", allowed)
                return
            await sleep(_POLL_SECONDS)


def _describe(error: Exception) -> str:
    """Return the class and HTTP status of an error, without the API server's text."""
    status = getattr(error, "status", None)
    message = type(error).__name__ + (f" (HTTP {status})" if isinstance(status, int) else "")
    return f"{message}, from {type(error.__cause__).__name__}" if error.__cause__ else message
