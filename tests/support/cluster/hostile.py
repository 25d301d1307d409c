"""Servers and clients that cost those who talk to them as much as they can."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from support.programs.background import BackgroundLoop

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Script = Callable[[ssl.SSLSocket], None]

_SECONDS = 10.0


class HostileServer:
    """A TLS server with many ports, a context manager; it runs a script on each connection with a complete handshake.

    Attributes:
        ports: Where it listens on 127.0.0.1.
        begun: How many connections began a handshake.
    """

    def __init__(self, context: ssl.SSLContext, script: Script, ports: int) -> None:
        self.begun = 0
        context.sni_callback = self._count
        self._context = context
        self._script = script
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(ports)]
        self._threads = [threading.Thread(target=self._accept, args=(one,)) for one in self._listeners]
        self.ports: list[int] = [one.getsockname()[1] for one in self._listeners]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners:
            # Closing it would not wake who waits for it.
            listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        with listener, ThreadPoolExecutor() as served, suppress(OSError):
            while True:
                served.submit(self._serve, listener.accept()[0])

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(_SECONDS)
        with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            self._script(connection)

    def _count(self, _connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        self.begun += 1


def hang_up(_connection: ssl.SSLSocket) -> None:
    """Say nothing, so that the next call needs another handshake."""


def interim_answers(connection: ssl.SSLSocket) -> None:
    """Answer with 103 again and again, as fast as the client reads."""
    connection.recv(0x4000)
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 1000)


class HalfSentRequests:
    """Many clients of a port that send half a request, and begin again when they are cut off; a context manager.

    Attributes:
        sent: How many halves were sent.
    """

    def __init__(self, port: int, clients: int) -> None:
        self.sent = 0
        self._port = port
        self._clients = clients

    def __enter__(self) -> Self:
        self._loop = BackgroundLoop("half-sent-requests")
        self._loop.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close()

    async def _start(self) -> None:
        self._tasks = [asyncio.create_task(self._repeat()) for _ in range(self._clients)]

    async def _repeat(self) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: operator\r\nX-Padding: " + b"x" * 4000)
                    self.sent += 1
                    await reader.read()
                finally:
                    writer.transport.abort()
