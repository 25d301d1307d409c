"""The operator as a container of its image, confined as `deploy/default` confines it, with a Pod's service account."""

from __future__ import annotations

import random
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from support.cluster.operator_process import NAMESPACE, OperatorProcess
from support.cluster.servers import free_port, wait_until_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.cluster.apiserver import ApiServer
    from support.programs.image import Engine

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
FILES = "/etc/bek-operator"


class OperatorContainer(OperatorProcess):
    """A container that `start` starts anew; it shares the machine's network, where the test's servers are.

    Args:
        api_server: Where its service account is.
        engine: What runs it.
        image: The name of its image.
        arguments: Of the command line.
        files: Contents of more files for it, by their names in `/etc/bek-operator`.

    Attributes:
        user: The id that it runs under, chosen as some platforms choose one: it has neither a name nor a home.
    """

    def __init__(
        self,
        api_server: ApiServer,
        engine: Engine,
        image: str,
        arguments: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(api_server, arguments, name=f"container-{secrets.token_hex(4)}")
        self._engine = engine
        self._image = image
        self._files = dict(files or {})
        self.user = random.randrange(10_000, 60_000)  # noqa: S311 - no secret

    def start(self, *, wait: bool = True) -> None:
        """Start it, and by default wait until `/readyz` succeeds."""
        self.health_port = free_port()
        self.metrics_port = free_port(self.health_port)
        host, port = self._api_server.address
        env = {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "BEK_HEALTH_ADDRESS": f"127.0.0.1:{self.health_port}",
            "BEK_METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
        }
        volumes = {self._account_folder(): _ACCOUNT, self._folder("files", self._files): FILES}
        options = [
            f"--name={self._name}",
            "--rm",
            # One whose test was killed would stay; docker has no such limit.
            *(("--timeout=900",) if self._engine.name == "podman" else ()),
            *(f"--env={name}={value}" for name, value in env.items()),
            *(f"--volume={folder}:{target}:ro" for folder, target in volumes.items()),
        ]
        command = [self._engine.name, *confined(self._image, *options, user=self.user), *self._arguments]
        self._process = self._api_server.keeper.spawn(self._name, command)
        if wait:
            wait_until_up("the container", self._process, self.is_ready, self.log)

    @property
    def kernel_status(self) -> dict[str, str]:
        """What the kernel says of the process."""
        pid = self._engine.run("inspect", "--format={{.State.Pid}}", self._name).stdout.strip()
        lines = Path("/proc", pid, "status").read_text(encoding="utf-8").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _end(self, grace: float) -> int:
        if grace:  # the program that runs it passes SIGTERM on, and ends as it ends
            return super()._end(grace)
        self._engine.run("rm", "--force", self._name, check=False)
        return super()._end(grace)

    def _account_folder(self) -> Path:
        """Return a folder with what a Pod finds of its service account."""
        token = self._api_server.service_account_token(*self._account)
        authority = self._api_server.ca_file.read_text(encoding="ascii")
        return self._folder("account", {"token": token, "ca.crt": authority, "namespace": NAMESPACE})

    def _folder(self, name: str, files: Mapping[str, str]) -> Path:
        """Return a folder with some files, which any user can read that reaches it."""
        folder = self._api_server.folder / f"{self._name}-{name}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="ascii")
            (folder / file).chmod(0o644)
        return folder


def confined(image: str, *options: str, user: int = 65532) -> list[str]:
    """Return the arguments of docker or podman that run an image as the Deployment does: seccomp is on by default."""
    return [
        "run",
        "--network=host",
        "--read-only",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        f"--user={user}:0",
        # Without them podman asks for higher limits than a machine that is itself confined can give.
        "--ulimit=nofile=1024:4096",
        "--ulimit=nproc=1024:4096",
        *options,
        image,
    ]
