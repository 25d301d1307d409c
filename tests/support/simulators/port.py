"""A loopback port that stays ours while it listens, refuses connections or lets them hang."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

BACKLOG = 256


class Port:
    """One port; only `address` may be used outside of the loop that listens.

    It accepts connections itself, because `loop.create_server` cannot end one that is still in its TLS handshake.

    Attributes:
        address: Host and port; fixed once it was taken.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self.address = (host, port)
        self._socket: socket.socket | None = None

    def listen(self, accepted: Callable[[socket.socket], object]) -> None:
        """Hand every connection over, which from then on belongs to who is called."""
        port = self._take(BACKLOG)
        asyncio.get_running_loop().add_reader(port, partial(_accept, port, accepted))

    def freeze(self) -> None:
        """Let the kernel accept connections that nobody answers."""
        self._take(1)

    def refuse(self) -> None:
        """Refuse connections, and keep the port: a socket that is bound and does not listen does so."""
        self._take(None)

    def release(self) -> None:
        """Give the port up."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _take(self, backlog: int | None) -> socket.socket:
        self.release()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.settimeout(0)
        self._socket.bind(self.address)
        if backlog is not None:
            self._socket.listen(backlog)
        host, port = self._socket.getsockname()
        self.address = (host, port)
        return self._socket


def _accept(port: socket.socket, accepted: Callable[[socket.socket], object]) -> None:
    for _ in range(BACKLOG):
        try:
            connection, _address = port.accept()
        except BlockingIOError:
            return
        connection.settimeout(0)
        accepted(connection)
