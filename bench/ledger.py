"""Memory that the processes of simulator and benchmark share: a mapped file.

Each process of the simulator counts in a block of its own, without locks; which key a number holds and how it behaves
is common to all. Nothing here is locked: a number is called by one caller at a time.
"""

import mmap
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

CAPACITY: Final = 65_536
"""The most numbers."""

SECONDS: Final = 4096
"""For how many seconds from the start reads are counted for each second."""

CROWDS: Final = 16
"""How many groups of numbers are counted separately."""

_DOUBLE = 8
_HEAD = 16


class Mode(IntEnum):
    """How a number's API behaves."""

    FINE = 0
    HANGS = 1
    """It accepts calls and never answers."""
    REFUSES = 2
    """It denies access."""
    FAILS = 3
    """It answers with a transient error."""
    LIMITED = 4
    """It answers that there were too many calls."""


class Count(IntEnum):
    """What each process counts for each number."""

    LOGINS = 0
    READS = 1
    PUBLISHES = 2
    FIRST_CALL = 3
    FIRST_PUBLISHED = 4
    PUBLISHED = 5
    """When the last publish was answered; this and the others that are instants are of the monotonic clock."""


class Common(IntEnum):
    """Values for all numbers; times and seconds."""

    DELAY = 0
    BEGINNING = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The size of the file for so many processes."""

    processes: int

    @property
    def block(self) -> int:
        """Return how many values a process has to itself: its counts, then its reads second by second."""
        return len(Count) * CAPACITY + CROWDS * SECONDS

    @property
    def bytes(self) -> int:
        """Return the size of the file."""
        return (_HEAD + self.processes * self.block) * _DOUBLE + 3 * CAPACITY


class Ledger:
    """The file in memory, as views that can be written to.

    Attributes:
        common: By `Common`.
        modes: By number, a `Mode`.
        keys: By number, the key that it holds; 0 for none.
        crowds: By number, the group that it is counted with.
    """

    def __init__(self, path: Path, processes: int) -> None:
        self._sizes = Sizes(processes=processes)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._sizes.bytes)
        whole = memoryview(self._map)
        doubles = (_HEAD + processes * self._sizes.block) * _DOUBLE
        self._values = whole[:doubles].cast("d")
        self.common = self._values[:_HEAD]
        self.modes = whole[doubles : doubles + CAPACITY]
        self.keys = whole[doubles + CAPACITY : doubles + 2 * CAPACITY]
        self.crowds = whole[doubles + 2 * CAPACITY : doubles + 3 * CAPACITY]

    @classmethod
    def create(cls, path: Path, processes: int) -> Self:
        """Make the file, with all counts zero."""
        with path.open("wb") as file:
            file.truncate(Sizes(processes=processes).bytes)
        return cls(path, processes)

    def counts(self, process: int, count: Count) -> "memoryview[float]":
        """Return what a process counted of one thing, by number."""
        start = _HEAD + process * self._sizes.block + count * CAPACITY
        return self._values[start : start + CAPACITY]

    def reads_by_second(self, process: int, crowd: int) -> "memoryview[float]":
        """Return how many reads of a crowd a process saw in each second from the beginning."""
        start = _HEAD + process * self._sizes.block + len(Count) * CAPACITY + crowd * SECONDS
        return self._values[start : start + SECONDS]
