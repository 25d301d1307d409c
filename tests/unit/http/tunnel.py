"""A proxy that opens tunnels by CONNECT; every name leads to the loopback.

async with tunnel() as proxy:
    parse_proxy(proxy.url)
    proxy.targets                            # the host and port of each tunnel that was requested
"""

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager

from unit.http.scripted_server import ScriptedServer, Served, listening

_LOOPBACK = "127.0.0.1"


class Tunnel(ScriptedServer):
    """A proxy; plain attributes may be set at any time.

    Attributes:
        targets: The host and port of each tunnel that was requested.
        heads: The request head of each.
        answer: Sent instead of opening a tunnel, before the connection is closed.
        silent: Whether it does not answer at all.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__(self._open)
        self.targets: list[str] = []
        self.heads: list[str] = []
        self.answer: bytes | None = None
        self.silent = False
        self._scheme = scheme

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://localhost:{self.port}"

    async def _open(self, connection: Served) -> None:
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split(maxsplit=2)
        self.targets.append(target)
        if self.silent:
            await connection.reader.read()
        if method != "CONNECT":
            self.answer = b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
        if self.answer is not None:
            await connection.say(self.answer)
            return
        reader, writer = await asyncio.open_connection(_LOOPBACK, int(target.rpartition(":")[2]))
        await connection.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(connection.reader, writer), _copy(reader, connection.writer))
        finally:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()


def tunnel(context: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[Tunnel]:
    """Run a proxy; with a context it is itself called by TLS."""
    return listening(Tunnel("https" if context else "http"), context)
