"""The operator as a process, under its shipped service account."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.cluster.apiserver import ApiServer
from support.cluster.servers import free_port, wait_until_up

NAMESPACE, SERVICE_ACCOUNT = "bek-system", "bek-operator"
SOURCE = Path(__file__).parents[3] / "operator"
_STOP_SECONDS = 20.0
_TOKEN_LIFE = "168h"  # nothing renews it here, and a demo may stay up over a weekend


class OperatorProcess:
    """A running operator; `stop` and `start` (or `kill`) may be called again and again.

    Args:
        api_server: Where its service account is.
        arguments: Of the command line.
        name: Of its log.
        admin: Whether it runs with the administrator's token instead.
        server: The URL under which it reaches the API server, if that is not the server's own.
        account: Namespace and name of its service account.
        env: More variables of its environment.
        source: Where its package is imported from; coverage is measured of our own only.

    Attributes:
        program: What Python runs.
        credential: What its requests since the last start have in the audit log.
    """

    program: Sequence[str] = ("-m", "bek_operator")

    def __init__(
        self,
        api_server: ApiServer,
        arguments: Sequence[str] = (),
        *,
        name: str = "operator",
        admin: bool = False,
        server: str | None = None,
        account: tuple[str, str] = (NAMESPACE, SERVICE_ACCOUNT),
        env: Mapping[str, str] | None = None,
        source: Path = SOURCE,
    ) -> None:
        self._source = source
        self._api_server = api_server
        self._arguments = list(arguments)
        self._name = name
        self._admin = admin
        self._server = server
        self._account = account
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.health_port = self.metrics_port = 0
        self.credential = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> Path:
        """The file with all of its output."""
        return self._api_server.keeper.log(self._name)

    @property
    def pid(self) -> int:
        """The process id of the running operator."""
        if self._process is None:
            raise LookupError("the operator is not running")
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, and by default wait until `/readyz` succeeds."""
        self.health_port = free_port()
        self.metrics_port = free_port(self.health_port)
        self._process = self._api_server.keeper.spawn(
            self._name,
            [sys.executable, *self.program, *self._arguments],
            env={
                "KUBECONFIG": str(self._kubeconfig()),
                "BEK_HEALTH_ADDRESS": f"127.0.0.1:{self.health_port}",
                "BEK_METRICS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
                "PYTHONPATH": str(self._source),
                "PYTHONWARNINGS": "error",
                **(_coverage() if self._source == SOURCE else {}),
                **self._env,
            },
        )
        if wait:
            wait_until_up("the operator", self._process, self.is_ready, self.log)

    @property
    def exit_status(self) -> int | None:
        """The exit status of one that has ended by itself, otherwise None."""
        return None if self._process is None else self._process.poll()

    def ensure_running(self) -> None:
        """Start it if it is not running."""
        if not self.is_running():
            self.start()

    def is_ready(self) -> bool:
        """Return whether `/readyz` succeeds."""
        return self.probe("/readyz") == "ok\n"

    def probe(self, path: str) -> str:
        """Return what a probe answers; empty when it does not, within the time that the kubelet allows."""
        return self._probe(path, 5)[1]

    def passes(self, path: str, timeout: float) -> bool:
        """Return whether a probe passes by the kubelet's rule, within so many seconds."""
        return http.HTTPStatus.OK <= self._probe(path, timeout)[0] < http.HTTPStatus.BAD_REQUEST

    def _probe(self, path: str, timeout: float) -> tuple[int, str]:
        """Return status and body; 0 and nothing where there is no answer in time."""
        # http.client, because it knows no proxies.
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=timeout)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Stop it as a frozen machine would, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def metrics(self, path: str = "/metrics", **headers: str) -> tuple[int, str, bytes]:
        """Return status, content type and body of what the metrics' port answers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)) as connection:
            connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], response.read()

    def stop(self) -> int:
        """End it as the kubelet would; return its exit status (-9 when it had to be killed)."""
        return self._end(_STOP_SECONDS)

    def kill(self) -> int:
        """End it as a power cut would."""
        return self._end(0.0)

    def _end(self, grace: float) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        return self._api_server.keeper.end(process, grace=grace)

    def _kubeconfig(self) -> Path:
        if self._admin:
            return self._api_server.kubeconfig(server=self._server)
        token = self._api_server.service_account_token(*self._account, duration=_TOKEN_LIFE)
        claims = token.split(".")[1]
        self.credential = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["jti"]
        return self._api_server.kubeconfig(token, name=self._name, server=self._server)


def free_lease(server: ApiServer) -> None:
    """Have no leader, so that the next process to start need not wait until the Lease of a dead one expires."""
    server.kubectl("delete", "lease", "bek-operator", f"--namespace={NAMESPACE}", "--ignore-not-found")


def replica_of(server: ApiServer, deployment: Mapping[str, Any], flags: Sequence[str], name: str) -> OperatorProcess:
    """Return a process with what the kubelet would give a Pod of a Deployment, not started yet."""
    namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]["spec"]
    (container,) = template["containers"]
    fields = {"metadata.namespace": namespace}
    return OperatorProcess(
        server,
        # What a process in a Pod has by default.
        [*container.get("args", ()), "--leader-elect=on", f"--lease-namespace={namespace}", *flags],
        name=name,
        account=(namespace, template["serviceAccountName"]),
        env={
            one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in container.get("env", ())
        },
    )


def _coverage() -> dict[str, str]:
    """Return what a measurement of coverage needs to follow into a process."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
