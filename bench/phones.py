"""The simulated phone numbers of the benchmark: started, controlled, counted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.contracts import NO_KEY
from bench.ledger import CAPACITY, SECONDS, Common, Count, Ledger, Mode
from bench.processes import cpu_seconds
from support.cluster.servers import free_port, wait_until_up
from support.keys import KeyPair
from support.programs.processes import Keeper
from support.tls import Certificate, self_signed

_ROOT = Path(__file__).parents[1]
ROOTS = os.pathsep.join(str(_ROOT / root) for root in ("operator", "tests", "."))
ANSWER_SECONDS = 0.020


class Phones:
    """Numbers by index, each on an On-Premises pod and at the Cloud API at once; they end with the keeper."""

    def __init__(self, keeper: Keeper, keys: Sequence[KeyPair], processes: int = 2) -> None:
        self.keys = list(keys)
        self.certificate: Certificate = self_signed()
        self.port = free_port()
        self.folder = keeper.folder
        self._next = 0
        self._processes = processes
        self._ledger = Ledger.create(keeper.folder / "ledger", processes)
        self._ledger.common[Common.BEGINNING] = time.monotonic()
        self.delay = ANSWER_SECONDS
        (keeper.folder / "simulator.pem").write_text(self.certificate.private + self.certificate.pem, encoding="ascii")
        (keeper.folder / "cloud-ca.crt").write_text(self.certificate.authority, encoding="ascii")
        (keeper.folder / "public-keys.json").write_text(json.dumps([one.public for one in keys]), encoding="ascii")
        self._running = [self._spawn(keeper, process) for process in range(processes)]

    @property
    def url(self) -> str:
        """The URL of the Cloud API."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_bundle(self) -> Path:
        """The file with the certificate to trust."""
        return self.folder / "cloud-ca.crt"

    @property
    def delay(self) -> float:
        """The seconds before every answer."""
        return float(self._ledger.common[Common.DELAY])

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._ledger.common[Common.DELAY] = seconds

    def take(self, count: int, *, crowd: int = 0, key: KeyPair | None = None) -> range:
        """Return unused numbers.

        Raises:
            LookupError: too few are left.
        """
        if self._next + count > CAPACITY:
            raise LookupError(f"there are no more than {CAPACITY:,} numbers")
        indices = range(self._next, self._next + count)
        self._next += count
        self._fill(self._ledger.crowds, indices, crowd)
        self._fill(self._ledger.keys, indices, self._place(key))
        return indices

    def give(self, indices: range, key: KeyPair | None) -> None:
        """Let numbers hold a key, as if published long ago; `None` for none."""
        self._fill(self._ledger.keys, indices, self._place(key))

    def behave(self, indices: Iterable[int], mode: Mode) -> None:
        """Set the behaviour of numbers."""
        for index in indices:
            self._ledger.modes[index] = mode

    def reset(self, indices: range) -> None:
        """Reset the counts of numbers."""
        zeros = memoryview(bytes(8 * len(indices))).cast("d")
        for process in range(self._processes):
            for count in Count:
                self._ledger.counts(process, count)[indices.start : indices.stop] = zeros

    def holders(self, indices: range, key: KeyPair) -> int:
        """Return how many numbers hold a key."""
        return bytes(self._ledger.keys[indices.start : indices.stop]).count(self._place(key))

    def total(self, count: Count, indices: Iterable[int]) -> int:
        """Return how many calls of one kind numbers got."""
        blocks = [self._ledger.counts(process, count) for process in range(self._processes)]
        return int(sum(block[index] for index in indices for block in blocks))

    def first(self, count: Count, indices: Iterable[int]) -> dict[int, float]:
        """Return the earliest time of each number that has one."""
        return {index: min(found) for index, found in self._instants(count, indices)}

    def last(self, count: Count, indices: Iterable[int]) -> dict[int, float]:
        """Return the latest time of each number that has one."""
        return {index: max(found) for index, found in self._instants(count, indices)}

    def reads_by_second(self, crowd: int) -> tuple[float, list[int]]:
        """Return when counting began, and the reads of a group in each second since."""
        blocks = [self._ledger.reads_by_second(process, crowd) for process in range(self._processes)]
        beginning = float(self._ledger.common[Common.BEGINNING])
        length = min(int(time.monotonic() - beginning), SECONDS)
        return beginning, [int(sum(block[second] for block in blocks)) for second in range(length)]

    def cpu(self) -> float:
        """Return the CPU time that the simulator has used."""
        return cpu_seconds(*(one.pid for one in self._running))

    def _instants(self, count: Count, indices: Iterable[int]) -> Iterable[tuple[int, list[float]]]:
        blocks = [self._ledger.counts(process, count) for process in range(self._processes)]
        for index in indices:
            found = [block[index] for block in blocks if block[index]]
            if found:
                yield index, found

    def _place(self, key: KeyPair | None) -> int:
        return NO_KEY if key is None else self.keys.index(key) + 1

    @staticmethod
    def _fill(view: memoryview, indices: range, value: int) -> None:
        view[indices.start : indices.stop] = bytes([value]) * len(indices)

    def _spawn(self, keeper: Keeper, process: int) -> subprocess.Popen[bytes]:
        name = f"simulator-{process}"
        command = [sys.executable, "-m", "bench.simulator", str(keeper.folder), f"--port={self.port}"]
        numbered = [f"--process={process}", f"--processes={self._processes}"]
        running = keeper.spawn(name, [*command, *numbered], env={"PYTHONPATH": ROOTS})
        wait_until_up("the simulator", running, (keeper.folder / f"{name}.up").exists, keeper.log(name))
        return running
