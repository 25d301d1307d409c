"""A Lease in memory, as the API server keeps it, with faults on demand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bek_operator.cluster.errors import Conflict, NotFound, Unavailable
from bek_operator.cluster.lease import REQUEST_SECONDS, Lease, LeaseRecord


class LeaseServer:
    """The API server's Lease; `None` when there is none.

    Attributes:
        writes: Every record that was written.
    """

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.writes: list[LeaseRecord] = []
        self._version = 0

    @property
    def holder(self) -> str:
        """The holder; empty when there is none."""
        return self.record.holder if self.record else ""

    def read(self) -> Lease | None:
        """Return the Lease."""
        return self._lease(self.record) if self.record else None

    def write(self, version: int | None, record: LeaseRecord) -> Lease:
        """Write at a resourceVersion, or create without one."""
        if version is None and self.record:
            raise Conflict("it exists")
        if version is not None and not self.record:
            raise NotFound("there is none")
        if version is not None and version != self._version:
            raise Conflict("it was changed")
        self.put(record)
        self.writes.append(record)
        return self._lease(record)

    def put(self, record: LeaseRecord | None) -> None:
        """Have somebody else change it, or delete it."""
        self.record = record
        self._version += 1

    def _lease(self, record: LeaseRecord) -> Lease:
        return Lease(record, {"metadata": {"resourceVersion": str(self._version)}})


@dataclass
class LeaseClient:
    """One process's way to the Lease.

    Attributes:
        delay: Returns the seconds that one way takes, of two.
        cut: Nothing gets through: each request lasts until its time limit.
        deaf: Writes arrive, but no response to them does.
        error: What each request fails with.
        conflicts: How many of the next writes find that the Lease was changed.
        requests: The requests made.
    """

    server: LeaseServer
    delay: Callable[[], float] = lambda: 0.005
    cut: bool = False
    deaf: bool = False
    error: Exception | None = None
    conflicts: int = 0
    requests: list[str] = field(default_factory=list)

    async def read(self) -> Lease | None:
        """Return the Lease."""
        return await self._send("read", self.server.read)

    async def create(self, record: LeaseRecord) -> Lease:
        """Create it."""
        lease = await self._send("create", lambda: self.server.write(None, record))
        assert lease
        return lease

    async def replace(self, lease: Lease, record: LeaseRecord) -> Lease:
        """Replace it."""
        version = int(lease.body["metadata"]["resourceVersion"])
        written = await self._send("replace", lambda: self.server.write(version, record))
        assert written
        return written

    async def _send(self, name: str, answer: Callable[[], Lease | None]) -> Lease | None:
        self.requests.append(name)
        if self.error:
            raise self.error
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._pass(cut=self.cut)
                if name != "read" and self.conflicts:
                    self.conflicts -= 1
                    raise Conflict("it was changed")
                found = answer()
                await self._pass(cut=self.cut or (self.deaf and name != "read"))
        except TimeoutError:
            raise Unavailable("no response in time") from None
        return found

    async def _pass(self, *, cut: bool) -> None:
        await asyncio.sleep(REQUEST_SECONDS * 2 if cut else self.delay())
