"""Opens TLS connections whose handshake runs in a thread, and hands them over to asyncio.

asyncio has OpenSSL do a handshake on the event loop, and takes no connection whose handshake is complete. So here it
gets an object that stands for such a connection, in place of the context that would make one.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any, Final, cast

from bek_operator.http.metered_tls import MeteredConnection, MeteredContext

_READ_BYTES: Final = 16 * 1024


class SecuredSocket:
    """A connection with TLS, in the form that asyncio expects of an `ssl.SSLContext` and of its `ssl.SSLObject`."""

    def __init__(self, context: MeteredContext, server_name: str) -> None:
        """Take what to verify the server's certificate with."""
        self._from_server = ssl.MemoryBIO()
        self._to_server = ssl.MemoryBIO()
        connection = context.wrap_bio(self._from_server, self._to_server, server_hostname=server_name)
        self.connection = cast("MeteredConnection", connection)

    async def handshake(self, sock: socket.socket) -> None:
        """Do the handshake over a connected socket.

        Raises:
            OSError: It failed, `ssl.SSLError` for example.
        """
        loop = asyncio.get_running_loop()
        with suppress(ssl.SSLWantReadError):
            # Our first message: there is no input yet that could make it expensive.
            self.connection.do_handshake()
        complete = False
        while not complete:
            await loop.sock_sendall(sock, self._to_server.read())
            received = await loop.sock_recv(sock, _READ_BYTES)
            if not received:
                raise ConnectionResetError
            self._from_server.write(received)
            complete = await self._continue(sock)

    async def _continue(self, sock: socket.socket) -> bool:
        """Process the input that has arrived; return whether the handshake is complete."""
        try:
            await self.connection.do_handshake_in_thread()
        except ssl.SSLWantReadError:
            return False
        finally:
            # After a failure, too: the alert tells the server why.
            await asyncio.get_running_loop().sock_sendall(sock, self._to_server.read())
        return True

    def as_context(self) -> ssl.SSLContext:
        """Return this object as what asyncio calls `wrap_bio` of, and nothing else."""
        return cast("ssl.SSLContext", self)

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> "SecuredSocket":
        """Take where asyncio puts what it received, and where it gets from what it sends."""
        self._incoming = incoming
        self._outgoing = outgoing
        return self

    def do_handshake(self) -> None:
        """Do nothing: it is complete."""

    def getpeercert(self) -> None:
        """Return nothing: nobody asks asyncio for it."""

    cipher = compression = getpeercert

    def read(self, *args: Any) -> Any:
        """Return decrypted input, as `ssl.SSLObject` does."""
        self._from_server.write(self._incoming.read())
        try:
            return self.connection.read(*args)
        finally:
            self._outgoing.write(self._to_server.read())

    def write(self, data: Any) -> int:
        """Send data, as `ssl.SSLObject` does."""
        try:
            return self.connection.write(data)
        finally:
            self._outgoing.write(self._to_server.read())

    def unwrap(self) -> None:
        """End the connection, as `ssl.SSLObject` does."""
        self._from_server.write(self._incoming.read())
        try:
            self.connection.unwrap()
        finally:
            self._outgoing.write(self._to_server.read())
