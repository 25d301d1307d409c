"""A small web server for whoever reaches the pod's ports: probes and metrics."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from bek_operator.settings import Address

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_CONNECTIONS: Final = 64

_BATCH: Final = MOST_CONNECTIONS // 8
"""So many connections are accepted before the event loop does other work. It answers a request that is complete in four
rounds, so that no connection is closed as the oldest before that, however many wait."""

_WAITING: Final = 1024
"""So many connections wait in the kernel to be accepted; others are tried again by the client a second later."""

CONNECTION_SECONDS: Final = 20.0
_SHUTDOWN_SECONDS: Final = 1.0


class WebServer:
    """Serves GET and HEAD on a few paths, used as an asynchronous context manager.

    A connection is for one request, and open for at most `seconds` whatever the client does. It is closed when
    `MOST_CONNECTIONS` newer ones have come, so that requests that are never completed take neither memory nor
    file descriptors, and keep no probe from being answered.
    """

    def __init__(
        self, flag: str, address: Address, handlers: Mapping[str, Handler], seconds: float = CONNECTION_SECONDS
    ) -> None:
        """Take the flag that names the address, for an error's message, and the handler of each path."""
        self._seconds = seconds
        self._flag = flag
        self._address = address
        app = web.Application()
        app.on_response_prepare.append(_close_afterwards)
        for path, handler in handlers.items():
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS, lingering_time=0.0
        )
        self._server: asyncio.Server | None = None
        self._newest: deque[tuple[web.RequestHandler, asyncio.TimerHandle]] = deque()

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: that is not possible, at an address that is in use for example; the message names the flag.
        """
        await self._runner.setup()
        host, port = self._address.host, self._address.port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept, host or None, port, backlog=_BATCH
            )
        except OSError as error:
            await self._runner.cleanup()
            known = error.errno is not None and error.errno > 0
            reason = os.strerror(error.errno or 0) if known else error.strerror or error
            raise OSError(f"--{self._flag}: cannot listen on {host}:{port}: {reason}") from None
        for listener in self._server.sockets:
            # asyncio has as many connections wait as it accepts at a time.
            with listener.dup() as same:
                same.listen(_WAITING)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        while self._newest:
            self._drop_oldest()
        await self._runner.cleanup()

    def _accept(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        if self._runner.server is None:
            raise RuntimeError("not set up")
        handler = self._runner.server()
        while len(self._newest) >= MOST_CONNECTIONS:
            self._drop_oldest()
        timer = asyncio.get_running_loop().call_later(self._seconds, _abort, handler)
        self._newest.append((handler, timer))
        return handler

    def _drop_oldest(self) -> None:
        handler, timer = self._newest.popleft()
        timer.cancel()
        _abort(handler)


def _abort(handler: web.RequestHandler) -> None:
    # It has no transport any more once it is closed.
    if isinstance(handler.transport, asyncio.WriteTransport):
        handler.transport.abort()


async def _close_afterwards(_: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
