"""`kubectl bek` as a user runs it: the real kubectl finds the plugin on PATH."""

import os
import subprocess
import sys
from pathlib import Path

from support.cluster.apiserver import ApiServer

_SOURCE = Path(__file__).parents[3] / "operator"
_SCRIPTS = {"kubectl-bek": "__main__", "kubectl_complete-bek": "complete"}


class Plugin:
    """The plugin, in a folder of its own, for users of one API server."""

    def __init__(self, api_server: ApiServer, folder: Path) -> None:
        self._api_server = api_server
        self._folder = folder
        for name, module in _SCRIPTS.items():
            script = folder / name
            text = f"#!{sys.executable}\nfrom bek_operator.cli.{module} import main\nmain()\n"
            script.write_text(text, encoding="utf-8")
            script.chmod(0o755)

    def run(self, *arguments: str, kubeconfig: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `kubectl bek` with arguments, by default as the administrator."""
        return self._kubectl("bek", *arguments, kubeconfig=kubeconfig, **env)

    def completions(self, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        """Return what kubectl offers for an incomplete command line, as the shell asks for it."""
        return self._kubectl("__complete", "bek", *arguments, kubeconfig=kubeconfig).stdout.splitlines()

    def _kubectl(self, *arguments: str, kubeconfig: Path | None, **env: str) -> subprocess.CompletedProcess[str]:
        binaries = self._api_server.binaries
        return subprocess.run(
            [str(binaries.kubectl), *arguments],
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
