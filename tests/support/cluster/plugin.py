"""`kubectl bek` as a user runs it: the real kubectl finds the plugin on PATH."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cluster.apiserver import ApiServer

_SOURCE = Path(__file__).parents[3] / "operator"
_SCRIPTS = {"kubectl-bek": "__main__", "kubectl_complete-bek": "complete"}


def install(folder: Path) -> None:
    """Write the plugin's programs into a folder."""
    for name, module in _SCRIPTS.items():
        script = folder / name
        lines = ("import sys", f"sys.path.insert(0, {str(_SOURCE)!r})", f"from bek_operator.cli.{module} import main")
        script.write_text("\n".join((f"#!{sys.executable}", *lines, "main()", "")), encoding="utf-8")
        script.chmod(0o755)


class Plugin:
    """The plugin, in a folder of its own, for users of one API server."""

    def __init__(self, api_server: ApiServer, folder: Path) -> None:
        self._api_server = api_server
        self._folder = folder
        install(folder)

    def run(
        self, *arguments: str, kubeconfig: Path | None = None, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `kubectl bek` with arguments, by default as the administrator."""
        return self._kubectl("bek", *arguments, kubeconfig=kubeconfig, stdin=stdin, **env)

    def completions(self, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        """Return what kubectl offers for an incomplete command line, as the shell asks for it."""
        return self._kubectl("__complete", "bek", *arguments, kubeconfig=kubeconfig).stdout.splitlines()

    @contextmanager
    def started(self, *arguments: str, terminal: bool) -> Iterator["Started"]:
        """Run `kubectl bek` beside the test, on a terminal or with a pipe as its output."""
        end, given = pty.openpty() if terminal else os.pipe()
        with subprocess.Popen(
            [str(self._api_server.binaries.kubectl), "bek", *arguments],
            env=self._env(None),
            stdin=given if terminal else subprocess.DEVNULL,
            stdout=given,
            stderr=given,
        ) as process:
            os.close(given)
            try:
                yield Started(process, end)
            finally:
                process.kill()
                os.close(end)

    def _kubectl(
        self, *arguments: str, kubeconfig: Path | None, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._api_server.binaries.kubectl), *arguments],
            env={**self._env(kubeconfig), **env},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _env(self, kubeconfig: Path | None) -> dict[str, str]:
        return {
            **self._api_server.keeper.clean_env(),
            "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "KUBECONFIG": str(kubeconfig or self._api_server.folder / "admin.kubeconfig"),
            "TERM": "xterm",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }


class Started:
    """A running command.

    Attributes:
        shown: What it has written since the last `read_until`.
    """

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self._process = process
        self._end = end
        self.shown = ""

    def read_until(self, text: str) -> None:
        """Read until a text was written.

        Raises:
            EOFError: the command ended before.
        """
        self.shown = ""
        while text not in self.shown:
            if not self._read():
                raise EOFError(f"{text!r} was not written, but: {self.shown}")

    def type(self, line: str) -> None:
        """Type a line on its terminal."""
        os.write(self._end, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Read the rest; return the exit status."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        try:
            found = os.read(self._end, 65536)
        except OSError:  # of a terminal that nobody has open any more
            return False
        self.shown += found.decode(errors="replace")
        return bool(found)
