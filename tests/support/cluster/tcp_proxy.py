"""A network between the operator and an API server, which a test can break.

    with TcpProxy(lambda: api_server.address) as network:
        network.url                       # what the operator is given as the API server
        network.cut()                     # every connection is reset
        network.refuse()                  # … and new ones are refused, until `mend`
        network.cut_after({"answers": 900}) # every connection is reset after so many bytes of answers
        network.delay = 0.2               # answers come late
        network.freeze()                  # nothing passes, and connections stay open: a server that hangs
        network.strand()                  # the same for the present connections alone, for ever: a lost NAT entry
        network.mend()                    # whatever was broken, but for what is stranded

It passes bytes on and knows neither TLS nor HTTP. It runs in a thread of its own, which ends with the block; all that
it offers may be called from any other thread.
"""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Self

from support.programs.background import BackgroundLoop
from support.simulators.port import Port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_CHUNK = 65_536

Direction = Literal["requests", "answers"]


class TcpProxy:
    """One port on loopback in front of a server.

    Attributes:
        connections: How many connections were accepted so far.
        resets: How many connections a limit of bytes has reset so far.
        delay: Seconds that every piece of an answer is held back.
    """

    def __init__(self, target: Callable[[], tuple[str, int]], host: str = "127.0.0.1") -> None:
        self.connections = self.resets = 0
        self.delay = 0.0
        self._target = target
        self._port = Port(host)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = {"requests": asyncio.Event(), "answers": asyncio.Event()}
        self._limits: dict[Direction, float] = {}

    def __enter__(self) -> Self:
        self._background = BackgroundLoop("tcp-proxy")
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._background.run(self._do(self._port.release))
        self._background.close()

    @property
    def url(self) -> str:
        """The proxy as an HTTPS server."""
        return "https://{}:{}".format(*self._port.address)

    def cut(self) -> None:
        """Reset every connection."""
        self._background.run(self._do(self._reset))

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._background.run(self._do(self._port.refuse, self._reset))

    def freeze(self, *directions: Direction) -> None:
        """Hold back whatever arrives, in both directions if none is given; new connections are accepted."""
        flowing = [self._passing[one] for one in directions or ("requests", "answers")]
        self._background.run(self._do(*(event.clear for event in flowing)))

    def strand(self) -> None:
        """Let nothing pass on the present connections any more, and leave them open; new ones are served."""
        self._background.run(self._do(*(link.strand for link in self._links)))

    def cut_after(self, limits: Mapping[Direction, int]) -> None:
        """Reset every connection, present and new, after so many more bytes in a direction."""
        self._background.run(self._do(lambda: self._limit(limits)))

    def mend(self) -> None:
        """Serve new connections without fault, and let pass what was held back."""
        self._background.run(
            self._do(
                *(event.set for event in self._passing.values()),
                lambda: self._limit({}),
                lambda: self._port.listen(self._accept),
            )
        )

    async def _do(self, *acts: Callable[[], object]) -> None:
        for act in acts:
            act()

    def _limit(self, limits: Mapping[Direction, float]) -> None:
        self._limits = dict(limits)
        for link in self._links:
            link.left = dict(limits)

    def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    def _accept(self, connection: socket.socket) -> None:
        self.connections += 1
        # Taken in at once, so that a reset ends it, too.
        link = _Link(connection, self._limits)
        self._links.add(link)
        task = asyncio.get_running_loop().create_task(self._carry(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, link: _Link) -> None:
        try:
            await link.connect(self._target())
            await asyncio.gather(self._pump(link, "requests"), self._pump(link, "answers"))
        except OSError:  # either side has gone
            pass
        finally:
            self._links.discard(link)
            link.reset()

    async def _pump(self, link: _Link, direction: Direction) -> None:
        reader, writer = link.ends(direction)
        while data := await reader.read(_CHUNK):
            if direction == "answers" and self.delay:
                await asyncio.sleep(self.delay)
            await self._passing[direction].wait()
            await link.passing.wait()
            left = link.left.get(direction, math.inf)
            writer.write(data if len(data) <= left else data[: int(left)])
            if len(data) > left:
                await writer.drain()
                self.resets += 1
                link.reset()
                return
            if direction in link.left:
                link.left[direction] = left - len(data)
            await writer.drain()
        writer.write_eof()


class _Link:
    """A client's connection and ours to the server."""

    def __init__(self, client: socket.socket, limits: dict[Direction, float]) -> None:
        self.left = dict(limits)
        self.passing = asyncio.Event()
        self.passing.set()
        self._client = client
        self._ends: dict[Direction, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self._is_reset = False

    async def connect(self, server: tuple[str, int]) -> None:
        """Connect both sides."""
        from_client, to_client = await asyncio.open_connection(sock=self._client)
        self._writers.append(to_client)
        from_server, to_server = await asyncio.open_connection(*server)
        self._writers.append(to_server)
        self._ends = {"requests": (from_client, to_server), "answers": (from_server, to_client)}
        if self._is_reset:
            self.reset()

    def ends(self, direction: Direction) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return where a direction is read from and written to."""
        return self._ends[direction]

    def strand(self) -> None:
        """Let nothing pass any more."""
        self.passing.clear()

    def reset(self) -> None:
        """End both connections without a good-bye."""
        self._is_reset = True
        for writer in self._writers:
            writer.transport.abort()
        if not self._writers:
            with suppress(OSError):
                self._client.close()
