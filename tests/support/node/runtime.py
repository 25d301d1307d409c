"""The container runtime of a node, with the images that its Pods need."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from support.cluster.servers import accepts, wait_until_up
from support.node import configuration
from support.node.programs import program, search_path
from support.programs.processes import Keeper, tail

_IMPORT_SECONDS = 120


class RuntimeFailed(Exception):
    """Containerd did not take an image; the message has what it said."""


class ContainerRuntime:
    """A containerd, used as a context manager inside of a node's namespaces."""

    def __init__(self, *images: Path) -> None:
        self._images = images
        self._keeper = Keeper("containerd")

    def __enter__(self) -> Self:
        """Start it, and give it the images.

        Raises:
            ApiServerError: it ended, or was not up in time.
            RuntimeFailed: it does not take an image.
        """
        try:
            networks = self._keeper.folder / "networks"
            networks.mkdir()
            (networks / "bek.conflist").write_text(configuration.network(), encoding="utf-8")
            settings = self._keeper.folder / "config.toml"
            settings.write_text(configuration.containerd(self._keeper.folder / "root", networks), encoding="utf-8")
            command = [program("containerd"), f"--config={settings}"]
            process = self._keeper.spawn("containerd", command, env={"PATH": search_path()})
            wait_until_up(
                "containerd", process, lambda: accepts(Path(configuration.SOCKET)), self._keeper.log("containerd")
            )
            for image in self._images:
                self._take(image)
        except BaseException:
            self._keeper.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it; the containers end with the namespaces."""
        self._keeper.close()

    def _take(self, image: Path) -> None:
        ctr = [program("ctr"), f"--address={configuration.SOCKET}", "--namespace=k8s.io"]
        answer = subprocess.run(
            [*ctr, "images", "import", str(image)], capture_output=True, text=True, check=False, timeout=_IMPORT_SECONDS
        )
        if answer.returncode:
            said = tail(self._keeper.log("containerd"))
            raise RuntimeFailed(f"containerd does not take {image.name}: {answer.stderr.strip()}\n{said}")
