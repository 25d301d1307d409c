"""What was read of Secrets a moment ago, so that one read does for all objects that wait for it.

A read serves whoever needs one from before it began on: nothing that happened before an object became due for a read is
missed, whether the Secret is watched or not, and what happens later makes the object due again. So a changed Secret
costs one read, however many objects name it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, Protocol

from bek_operator.cluster.errors import Forbidden
from bek_operator.cluster.secrets import SecretContent
from bek_operator.numbers.endpoints import Missing

log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 5.0
"""Objects that became due together are reconciled within that; key material is not kept for longer."""

_MOST_BYTES: Final = 2 * 1024 * 1024
"""What does not fit is read by each object on its own."""

_READS_AT_ONCE: Final = 4
"""Of one object."""

_READ_BYTES: Final = 2 * 1024 * 1024
"""While it is received: a Secret of 1 MiB is 1.4 MiB of base64. What parsing takes comes and goes one at a time."""

_Found = SecretContent | Missing
_Name = tuple[str, str, frozenset[tuple[str, int]]]
"""A namespace, a Secret, and what is wanted of it."""

Wanted = Mapping[str, Mapping[str, int]]
"""By Secret the entries that are wanted, and how many bytes of each are of use."""


class SecretSource(Protocol):
    """Where Secrets come from."""

    async def read(self, namespace: str, name: str, wanted: Mapping[str, int]) -> SecretContent | None:
        """Return the wanted entries of the Secret, `None` when there is none."""
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

    async def read(self, namespace: str, wanted: Wanted, *, since: int) -> dict[str, _Found]:
        """Return what reads found that began after a number of the sequence; a few that are needed run together.

        Raises:
            ClusterError: the API server did not answer.
        """
        found, names = dict[str, _Found](), iter(sorted(wanted))
        while some := list(islice(names, _READS_AT_ONCE)):
            reads = {name: self._latest(namespace, name, wanted[name], since) for name in some}
            # Where all of them have ended, nothing is waited for.
            found |= {name: await asyncio.shield(read.task) for name, read in reads.items()}
        return found

    async def close(self) -> None:
        """Cancel all reads, and forget what was read."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._reads.clear()

    def _latest(self, namespace: str, name: str, wanted: Mapping[str, int], since: int) -> _Read:
        key = (namespace, name, frozenset(wanted.items()))
        known = self._reads.get(key)
        if known and known.begun >= since:
            return known
        task = asyncio.create_task(self._find(namespace, name, wanted))
        self._running.add(task)
        read = self._reads[key] = _Read(self._sequence(), task)
        task.add_done_callback(partial(self._ended, key, read))
        return read

    async def _find(self, namespace: str, name: str, wanted: Mapping[str, int]) -> _Found:
        try:
            return await self._source.read(namespace, name, wanted) or Missing.ABSENT
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


def bytes_of(wanted: Wanted) -> int:
    """Return how much memory an object's Secrets take at most while they are read and used."""
    entries = sum(most for secret in wanted.values() for most in secret.values())
    return entries + min(len(wanted), _READS_AT_ONCE) * _READ_BYTES


def _size(found: _Found) -> int:
    return 0 if isinstance(found, Missing) else sum(len(entry) + len(value) for entry, value in found.data.items())
