"""A proxy that opens tunnels by CONNECT; every name leads to the loopback.

async with tunnel() as proxy:
    parse_proxy(proxy.url)
    proxy.asked                              # what tunnels were asked for
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_ANYWHERE = "127.0.0.1"


class Tunnel:
    """A proxy; plain attributes may be set at any time.

    Attributes:
        asked: The host and port of each tunnel that was asked for.
        heads: All that was sent for each of them.
        answer: What it answers instead of opening a tunnel, before it hangs up.
        silent: Whether it does not answer at all.
        gone: Counts the connections that have ended.
    """

    def __init__(self, scheme: str) -> None:
        self.check_requested: list[str] = []
        self.heads: list[str] = []
        self.answer: bytes | None = None
        self.silent = False
        self.gone = asyncio.Semaphore(0)
        self.port = 0
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self._scheme}://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.transport.abort()
        self.gone.release()

    async def end(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split(maxsplit=2)
        self.check_requested.append(target)
        if self.silent:
            await reader.read()
        if method != "CONNECT":
            self.answer = b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection(_ANYWHERE, int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            inner_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def tunnel(context: ssl.SSLContext | None = None) -> AsyncIterator[Tunnel]:
    """Run a proxy; with a context it is spoken to by TLS itself."""
    proxy = Tunnel("https" if context else "http")
    listener = await asyncio.start_server(proxy.serve, _ANYWHERE, 0, ssl=context)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
        await listener.wait_closed()
