"""The baseline: the time of a rotation's calls without an operator and without Kubernetes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from bench.phones import ROOTS, Phones
from bench.scenes import Api
from support.keys import KeyPair

Client = Literal["httpx", "aiohttp", "operator"]

SAME_CLIENT: Client = "operator"
"""The client of the baseline that the bars use: the operator's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds by the clock and of CPU time."""

    wall: float
    cpu: float


class Baseline:
    """A process that makes the bare calls."""

    def __init__(self, process: asyncio.subprocess.Process, phones: Phones, indices: range) -> None:
        self._process = process
        self._phones = phones
        self._indices = indices

    async def run(self, key: KeyPair) -> Took:
        """Publish a key to every number, and read it again.

        Raises:
            RuntimeError: the process ended instead.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the baseline has no pipes")
        place = self._phones.keys.index(key)
        order = {"first": self._indices.start, "count": len(self._indices), "key": place}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the baseline ended; its last output is above")
        return Took(**json.loads(line))


@asynccontextmanager
async def baseline(phones: Phones, api: Api, numbers: int, workers: int, client: Client) -> AsyncIterator[Baseline]:
    """Keep such a process ready inside the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.baseline_client", str(phones.folder), f"--port={phones.port}"),
        *(f"--client={client}", f"--api={api}", f"--workers={workers}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for the parent, which ends it by closing its standard input.
        start_new_session=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOTS},
    )
    try:
        yield Baseline(process, phones, phones.take(numbers))
    finally:
        # It ends at the end of its input, even if this process is killed.
        if process.stdin:
            process.stdin.close()
        await process.wait()
