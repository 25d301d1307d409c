"""What was read of Secrets a moment ago, so that one read does for all objects that wait for it.

A read serves whoever needs one from before it began on: nothing that happened before an object became due for a read is
missed, whether the Secret is watched or not, and what happens later makes the object due again. So a changed Secret
costs one read, however many objects name it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, Protocol

from bek_operator.cluster.errors import Forbidden
from bek_operator.cluster.secrets import SecretContent
from bek_operator.numbers.endpoints import Missing

log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 5.0
"""Objects that became due together are reconciled within that; key material is not kept for longer."""

_MOST_BYTES: Final = 2 * 1024 * 1024
"""What does not fit is read by each object on its own."""

_Found = SecretContent | Missing
_Name = tuple[str, str]


class SecretSource(Protocol):
    """Where Secrets come from."""

    async def read(self, namespace: str, name: str) -> SecretContent | None:
        """Return the Secret's content, `None` when there is none."""
        ...


class _Read(NamedTuple):
    begun: int
    task: asyncio.Task[_Found]


class SecretCache:
    """Reads Secrets, each once for all who need it at the time; `sequence` tells what came before what."""

    def __init__(self, source: SecretSource, sequence: Callable[[], int]) -> None:
        self._source = source
        self._sequence = sequence
        self._reads: dict[_Name, _Read] = {}
        self._running: set[asyncio.Task[_Found]] = set()
        self._kept_bytes = 0.0

    async def read(self, namespace: str, names: Iterable[str], *, since: int) -> dict[str, _Found]:
        """Return what reads found that began after a number of the sequence; those that are needed run together.

        Raises:
            ClusterError: the API server did not answer.
        """
        reads = {name: self._latest(namespace, name, since) for name in names}
        # Where all of them have ended, nothing is waited for.
        return {name: await asyncio.shield(read.task) for name, read in reads.items()}

    async def close(self) -> None:
        """Cancel all reads, and forget what was read."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._reads.clear()

    def _latest(self, namespace: str, name: str, since: int) -> _Read:
        known = self._reads.get((namespace, name))
        if known and known.begun >= since:
            return known
        task = asyncio.create_task(self._find(namespace, name))
        self._running.add(task)
        read = self._reads[namespace, name] = _Read(self._sequence(), task)
        task.add_done_callback(partial(self._ended, (namespace, name), read))
        return read

    async def _find(self, namespace: str, name: str) -> _Found:
        try:
            return await self._source.read(namespace, name) or Missing.ABSENT
        except Forbidden as error:
            log.warning("cannot read a Secret: %s", error)
            return Missing.FORBIDDEN

    def _ended(self, name: _Name, read: _Read, task: asyncio.Task[_Found]) -> None:
        self._running.discard(task)
        size = math.inf if task.cancelled() or task.exception() else _size(task.result())
        if self._kept_bytes + size > _MOST_BYTES:
            self._forget(name, read, 0)
        else:
            self._kept_bytes += size
            asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, name, read, size)

    def _forget(self, name: _Name, read: _Read, size: float) -> None:
        self._kept_bytes -= size
        if self._reads.get(name) is read:
            del self._reads[name]


def _size(found: _Found) -> int:
    return 0 if isinstance(found, Missing) else sum(len(entry) + len(value) for entry, value in found.data.items())
