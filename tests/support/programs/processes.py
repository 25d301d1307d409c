"""A temporary folder and processes that end with their owner, however that ends.

Every process gets a session of its own and is ended by its group's id, so that its children end with it. In case the
owner is killed, a watchdog process reads a pipe from it: at the pipe's end it kills the groups that were announced and
removes the folder. Linux' PR_SET_PDEATHSIG would need a preexec_fn, which may deadlock in a process with threads, and
fires when the *thread* that started the child ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.programs.interrupts import held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAIL_LINES = 15
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ")


class Keeper:
    """A temporary folder and the processes that work in it; closing it ends them all."""

    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        try:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py")), str(self.folder)],
                stdin=subprocess.PIPE,
                # Ctrl-C in a terminal is for the owner, which ends everything in order.
                start_new_session=True,
            )
        except BaseException:  # Ctrl-C, too: nobody else knows of the folder yet
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __enter__(self) -> Self:
        """Return the keeper itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def spawn(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that writes to its `log(name)` and sees `clean_env` plus the variables given."""
        with self.log(name).open("ab") as output, held():
            process = subprocess.Popen(
                list(command),
                cwd=self.folder,
                env={**self.clean_env(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running[process.pid] = process
            self._announce("+", process.pid)
        return process

    def end(self, process: subprocess.Popen[bytes], *, grace: float = 0.0) -> int:
        """End a process and its group, with SIGTERM first if given seconds of grace; return its exit status."""
        if process.poll() is None:  # otherwise its pid may be reused by now
            if grace:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
            kill_group(process.pid)
        status = process.wait()
        if self._running.pop(process.pid, None):
            self._announce("-", process.pid)
        return status

    def close(self) -> None:
        """End every process, the newest first, and remove the folder; a second call does nothing."""
        for process in reversed(list(self._running.values())):
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._watchdog.stdin and not self._watchdog.stdin.closed:
            self._watchdog.stdin.close()
            self._watchdog.wait()

    def log(self, name: str) -> Path:
        """Return the file that holds what the program of that name wrote."""
        return self.folder / f"{name}.log"

    def clean_env(self) -> dict[str, str]:
        """Return an environment without this user's KUBECONFIG, home, proxies and credentials."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # Temporary files of a killed program are removed with our folder.
        return {**passed, "HOME": str(home), "TMPDIR": str(home)}

    def _announce(self, sign: str, pid: int) -> None:
        pipe = self._watchdog.stdin
        # Without its watchdog a process is still ended by close().
        with self._lock, suppress(BrokenPipeError):
            if pipe and not pipe.closed:
                pipe.write(f"{sign}{pid}\n".encode())
                pipe.flush()


def kill_group(pid: int) -> None:
    """Kill a process that leads its own session, and what it started, if there is any of it left."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(pid, signal.SIGKILL)


def tail(log: Path) -> str:
    """Return the last lines of a program's log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])
