"""Servers that run a script on each connection, and count connections and their ends."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar


class Served:
    """One connection at a server: its streams, and its index among the connections."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: int) -> None:
        self.reader = reader
        self.writer = writer
        self.place = place

    async def request(self) -> str:
        """Read one request, head and body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?im)^content-length: (\d+)", head)
        return head + (await self.reader.readexactly(int(length[1])) if length else b"").decode()

    async def say(self, *parts: bytes) -> None:
        """Send bytes."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def answer(self, *parts: bytes) -> None:
        """Answer a request."""
        await self.request()
        await self.say(*parts)


Script = Callable[[Served], Awaitable[None]]


class ScriptedServer:
    """A server that runs a script on each connection; `gone` is released when one has ended."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.gone = asyncio.Semaphore(0)
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until its script or the client ends it."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._script(Served(reader, writer, self.connections))
        writer.transport.abort()
        self.gone.release()

    async def end(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


S = TypeVar("S", bound=ScriptedServer)


@asynccontextmanager
async def listening(server: S, context: ssl.SSLContext | None, *, host: str = "127.0.0.1") -> AsyncIterator[S]:
    """Let a server listen inside the block; without a context it has no TLS."""
    listener = await asyncio.start_server(server.serve, host, 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.end()
        await listener.wait_closed()
