"""The demo's output: headings, sentences, and commands that are run exactly as they are shown."""

import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from support.programs.processes import kill_group

ROOT = Path(__file__).parents[1]
_BOLD, _DIM, _GREEN, _RED = "1", "2", "32", "31"


class StepFailedError(Exception):
    """A step failed; the message says what was expected."""


class Console:
    """Writes to a terminal; `pause` is the seconds left for reading, none without one."""

    def __init__(self, out: TextIO, *, colour: bool = False, pause: float = 0.0) -> None:
        self._out = out
        self._colour = colour
        self._pause = pause
        self._never = threading.Event()

    def heading(self, text: str) -> None:
        """Print a heading."""
        self.rest()
        self._write(f"\n{self._in(_BOLD, text)}\n")

    def say(self, text: str) -> None:
        """Print a sentence or two."""
        self._write(f"\n{text}\n")

    def show(self, text: str) -> None:
        """Print lines as they are."""
        self._write(text if text.endswith("\n") or not text else f"{text}\n")

    def aside(self, text: str) -> None:
        """Print less important lines."""
        self._write("".join(f"  {self._in(_DIM, line)}\n" for line in text.splitlines()))

    def good(self, text: str) -> None:
        """Print a success."""
        self._write(f"\n{self._in(_GREEN, text)}\n")

    def bad(self, text: str) -> None:
        """Print a failure."""
        self._write(f"\n{self._in(_RED, text)}\n")

    def prompt(self, text: str) -> None:
        """Ask for a line."""
        self._write(self._in(_BOLD, text))

    def command(self, line: str) -> None:
        """Print a command that is about to be run."""
        self.rest()
        self._write(f"\n{self._in(_BOLD, f'$ {line}')}\n")

    def rest(self, times: float = 1.0) -> None:
        """Leave time for reading."""
        self._never.wait(self._pause * times)

    def _in(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colour else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class Shell:
    """Runs lines as a user's shell would, at the top of the checkout, in a clean environment."""

    def __init__(self, console: Console, environment: Mapping[str, str]) -> None:
        self.console = console
        self._environment = dict(environment)

    def run(self, line: str, *, seconds: float = 60.0, expected: str = "no error", status: int = 0) -> str:
        """Show a line, run it, show and return all that it prints.

        Raises:
            StepFailedError: it ended with another exit status, or did not end in time.
        """
        self.console.command(line)
        found, output = self._run(line, seconds)
        self.console.show(output)
        if found is None:
            raise StepFailedError(f"{expected} within {seconds:g} s, of: {line}")
        if found != status:
            raise StepFailedError(f"{expected}, not exit status {found}, of: {line}")
        return output

    def _run(self, line: str, seconds: float) -> tuple[int | None, str]:
        process = subprocess.Popen(
            ["/bin/sh", "-c", line],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A pipeline is ended as a whole, by the id of its group.
            start_new_session=True,
        )
        with process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                kill_group(process.pid)
                output, _ = process.communicate()
                return None, output
            except BaseException:
                kill_group(process.pid)
                raise
        return process.returncode, output


def path_with(*folders: Path) -> str:
    """Return this process's PATH with folders before all others."""
    return os.pathsep.join((*map(str, folders), os.environ.get("PATH", os.defpath)))
