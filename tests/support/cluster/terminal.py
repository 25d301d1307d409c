"""A terminal in which the commands of the documents are run as they are written."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cluster.apiserver import ApiServer

ROOT = Path(__file__).parents[3]
COPIED = ("crds", "deploy")
_SYNC_SECONDS = 0.3
_MOST_SECONDS = 60.0


class CommandError(AssertionError):
    """A command failed, or did not end; the message has what it printed."""


class Terminal:
    """Bash in a folder that has a copy of the repository, with kubectl for one API server.

    Args:
        server: That API server.
        folder: An empty one.
        meanwhile: Is called after every command, and again and again while one waits.

    Attributes:
        env: The environment of the commands; more variables may be added.
    """

    def __init__(self, server: ApiServer, folder: Path, meanwhile: Callable[[], None]) -> None:
        self.folder = folder
        self._meanwhile = meanwhile
        programs = folder / ".programs"
        programs.mkdir()
        (programs / "kubectl").symlink_to(server.binaries.kubectl)
        for name in COPIED:
            (folder / name).symlink_to(ROOT / name)
        config = server.kubeconfig(name="terminal", namespace="messaging")
        self.env = {
            **server.keeper.clean_env(),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(config),
            # kubectl remembers there which kinds a server has, and this one has been emptied since.
            "HOME": str(folder),
        }

    def run(self, script: str, stdin: str = "") -> str:
        """Run commands; print them and what they print, and return their standard output.

        Raises:
            CommandError: one of them failed, or they took too long.
        """
        process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, errors = self._wait(process, stdin, time.monotonic() + _MOST_SECONDS)
        said = f"$ {script}\n{output}{errors}"
        print(said)  # noqa: T201 - what ran is to be seen
        if process.returncode:
            raise CommandError(f"exit status {process.returncode}\n{said}")
        self._meanwhile()
        return output

    def _wait(self, process: subprocess.Popen[str], stdin: str, deadline: float) -> tuple[str, str]:
        given: str | None = stdin
        while True:
            try:
                return process.communicate(given, timeout=_SYNC_SECONDS)
            except subprocess.TimeoutExpired:
                given = None
            if time.monotonic() > deadline:
                kill_group(process.pid)
                return process.communicate()
            self._meanwhile()
