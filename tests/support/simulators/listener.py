"""A TLS port that can be closed, frozen and opened again while it has clients."""

import asyncio
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from aiohttp import web

from support.simulators.port import Port
from support.tls import Certificate

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_HANDSHAKE_LIMIT = 30
_IDLE_LIMIT = 600


class Listener:
    """One port; only `address` and `connections` may be used outside of the loop that opened it.

    Attributes:
        connections: How many connections were accepted so far.
    """

    def __init__(self, serve: Serve, certificate: Certificate, host: str, port: int = 0) -> None:
        self.connections = 0
        self._port = Port(host, port)
        self._serve = serve
        self._context = _context(certificate)
        self._web: web.Server | None = None
        self._arriving: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; fixed once it was open."""
        return self._port.address

    async def open(self) -> None:
        """Listen, for the first time or again."""
        self._web = self._web or web.Server(
            self._serve,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_IDLE_LIMIT,
            lingering_time=1,
        )
        self._port.listen(partial(self._accepted, self._web))

    async def freeze(self) -> None:
        """End all connections; the kernel accepts new ones, and nobody answers them."""
        await self._leave()
        self._port.freeze()

    async def close(self) -> None:
        """End all connections and refuse new ones, but keep the port bound."""
        await self._leave()
        self._port.refuse()

    async def end(self) -> None:
        """Release the port."""
        await self._leave()

    async def hang_up(self) -> None:
        """End all connections."""
        for task in self._arriving:
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        if self._web is None:
            return
        for connection in self._web.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._web.shutdown(timeout=1)

    async def show(self, certificate: Certificate) -> None:
        """Show another certificate from now on."""
        self._context = _context(certificate)
        await self.hang_up()

    async def _leave(self) -> None:
        self._port.release()
        await self.hang_up()

    def _accepted(self, server: web.Server, connection: socket.socket) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._welcome(connection, server))
        self._arriving.add(task)
        task.add_done_callback(partial(self._arrived, connection))

    def _arrived(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        if task.cancelled():  # perhaps before it began, and nobody else has the socket then
            connection.close()

    async def _welcome(self, connection: socket.socket, server: web.Server) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE_LIMIT
            )
        except OSError:  # the client left, refused the certificate, or spoke no TLS
            connection.close()


@lru_cache
def _context(certificate: Certificate) -> ssl.SSLContext:
    """Make a context; a thousand pods with one certificate share it."""
    context = certificate.server_context()
    context.sni_callback = _remember_server_name
    return context


_server_names: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()


def _remember_server_name(connection: object, name: str | None, context: ssl.SSLContext) -> None:
    del context  # the same for every name
    if name is not None:
        _server_names[connection] = name


def server_name(request: web.BaseRequest) -> str | None:
    """Return the name that the client asked for in its handshake."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("ssl_object")
    return None if connection is None else _server_names.get(connection)
