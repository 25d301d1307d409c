"""CPU time, to the microsecond, and memory of processes, by id."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory in bytes, now and at its highest."""

    now: int
    highest: int


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time that running processes have used so far, all their threads together."""
    # The id of another process' clock, as clock_getcpuclockid(3) makes it.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pid: int) -> Memory:
    """Return the memory of a running process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in map(_parted, lines) if name in {"VmRSS", "VmHWM"}}
    return Memory(now=sizes["VmRSS"], highest=sizes["VmHWM"])


def allow_many_connections() -> None:
    """Raise this process's limit of open files to the maximum; often it starts at a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")
