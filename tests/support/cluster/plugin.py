"""`kubectl bek` as a user runs it: the real kubectl finds the plugin on PATH."""

import os
import subprocess
import sys
from pathlib import Path

from support.cluster.apiserver import ApiServer

_SOURCE = Path(__file__).parents[3] / "operator"
_SCRIPT = f"#!{sys.executable}\nfrom bek_operator.cli.__main__ import main\nmain()\n"


class Plugin:
    """The plugin, in a folder of its own, for users of one API server."""

    def __init__(self, api_server: ApiServer, folder: Path) -> None:
        self._api_server = api_server
        self._folder = folder
        script = folder / "kubectl-bek"
        script.write_text(_SCRIPT, encoding="utf-8")
        script.chmod(0o755)

    def run(self, *arguments: str, kubeconfig: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl bek` with arguments, by default as the administrator."""
        binaries = self._api_server.binaries
        return subprocess.run(
            [str(binaries.kubectl), "bek", *arguments],
            env={
                **self._api_server.keeper.clean_env(),
                "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(_SOURCE),
                "PYTHONWARNINGS": "error",
                "KUBECONFIG": str(kubeconfig or self._api_server.folder / "admin.kubeconfig"),
                **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
                **env,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
