"""What a process holds, from /proc, to see that it does not grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a process holds at one moment.

    Attributes:
        memory: Resident memory in MiB.
        files: Open file descriptors, connections among them.
        threads: Threads.
    """

    memory: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Look at a process."""
        process = Path("/proc") / str(pid)
        fields = dict(line.split(":", 1) for line in (process / "status").read_text("ascii").splitlines())
        return cls(
            memory=int(fields["VmRSS"].split()[0]) / 1024,
            files=len(list((process / "fd").iterdir())),
            threads=int(fields["Threads"]),
        )

    def grown_beyond(self, before: Self) -> list[str]:
        """Return what is more than before by more than what one bad time may leave in caches and pools."""
        found = {
            "memory": self.memory - before.memory > 32,
            "files": self.files - before.files > 64,
            "threads": self.threads - before.threads > 16,
        }
        return [f"{what}: {before} → {self}" for what, is_more in found.items() if is_more]
