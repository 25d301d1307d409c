"""Take the connections of a simulated server away, and bring them back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from support.programs.background import BackgroundLoop
from support.simulators.listener import Listener
from support.tls import Certificate

State = Literal["up", "stopped", "frozen"]


class PortSwitch:
    """The connections of one pod: its own port, if it has one, and those through the shared front.

    Methods that are no coroutines are for any thread but the loop's, and block until done.
    """

    def __init__(self, background: BackgroundLoop, listener: Listener | None) -> None:
        self._background = background
        self._listener = listener
        self._transports: set[asyncio.Transport] = set()

    def close(self) -> None:
        """Refuse connections, end existing ones, keep the port."""
        self._background.run(self._move(Listener.close))

    def freeze(self) -> None:
        """Accept connections without answering on them; end existing ones."""
        self._background.run(self._move(Listener.freeze))

    def open(self) -> None:
        """Serve again, on the same port."""
        self._background.run(self._move(Listener.open))

    def show(self, certificate: Certificate) -> None:
        """Show another certificate from now on; end the connections that saw the old one."""
        if self._listener is None:
            raise LookupError("a pod without a port of its own shows the front's certificate")
        self._background.run(self._listener.show(certificate))

    async def end(self) -> None:
        """Release the port."""
        if self._listener is not None:
            await self._listener.end()

    @contextmanager
    def holding(self, transport: asyncio.Transport | None) -> Iterator[None]:
        """Track a connection while it is in use, so that it can be cut."""
        if transport is None:
            yield
            return
        self._transports.add(transport)
        try:
            yield
        finally:
            self._transports.discard(transport)

    async def _move(self, act: Callable[[Listener], Awaitable[None]]) -> None:
        for transport in set(self._transports):
            transport.abort()
        if self._listener is not None:
            await act(self._listener)


class Reachable:
    """What can be stopped and started again; without a switch only its state changes.

    Attributes:
        condition: Guards the state, and is notified of its changes.
        state: Whether it can be reached.
    """

    condition: threading.Condition
    state: State = "up"
    switch: PortSwitch | None = None

    def stop(self) -> None:
        """Refuse connections (through a shared front: cut them), end those that exist, keep the port."""
        self._move("stopped", PortSwitch.close)

    def freeze(self) -> None:
        """Accept connections without answering on them."""
        self._move("frozen", PortSwitch.freeze)

    def start(self) -> None:
        """Serve again, on the same port."""
        self._move("up", PortSwitch.open)

    def show_certificate(self, certificate: Certificate) -> None:
        """Show another certificate from now on; it needs a port of its own."""
        if self.switch is None:
            raise LookupError("it has no port of its own")
        self.switch.show(certificate)

    def _move(self, state: State, act: Callable[[PortSwitch], None]) -> None:
        with self.condition:
            if self.state == state:
                return
            self.state = state
        if self.switch is not None:
            act(self.switch)
        with self.condition:
            self.condition.notify_all()
