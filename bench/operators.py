"""The operator as a process: its ordinary command line, under its shipped service account."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from bench import names
from bench.phones import ROOTS, Phones
from bench.processes import Memory, cpu_seconds, memory
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT
from support.cluster.servers import free_port, wait_until_up

_STOP_SECONDS = 20.0


@dataclass(slots=True, kw_only=True)
class RunningOperator:
    """A running operator; `started` is the time before its process was made, `metrics` the port of its metrics."""

    pid: int
    started: float
    metrics: int

    def cpu(self) -> float:
        """Return the CPU time that it has used since its start."""
        return cpu_seconds(self.pid)

    def memory(self) -> Memory:
        """Return the memory that it has."""
        return memory(self.pid)


class Operators:
    """Starts operators that call the simulated numbers."""

    def __init__(self, api_server: ApiServer, phones: Phones) -> None:
        self._api_server = api_server
        self._phones = phones
        token = api_server.service_account_token(NAMESPACE, SERVICE_ACCOUNT, duration="24h")
        # As in the image, imported modules are compiled before.
        self._compiled = {"PYTHONPYCACHEPREFIX": str(api_server.keeper.folder / "compiled")}
        self._compile()
        self._kubeconfig = api_server.kubeconfig(token, name="operator")

    def _compile(self) -> None:
        environment = {**self._api_server.keeper.clean_env(), **self._compiled, "PYTHONPATH": ROOTS}
        subprocess.run([sys.executable, "-c", "import bek_operator.app, bench.lookup"], env=environment, check=True)

    @contextmanager
    def running(
        self,
        *namespaces: str,
        concurrency: int = 50,
        wait: bool = True,
        name: str = "operator",
        profile: str = "",
        grace: float = _STOP_SECONDS,
        more: Sequence[str] = (),
        health: int | None = None,
    ) -> Iterator[RunningOperator]:
        """Run an operator inside the block for these namespaces, or all; by default wait until it is ready.

        With a `profile` it runs under cProfile and writes that file. `more` are further flags, `health` is the port of
        its probes.
        """
        port = self._phones.port
        flags = [
            *(f"--namespace={one}" for one in namespaces),
            f"--allow-host=*.{names.DOMAIN}:{port}",
            *(f"--allow-host={address}:{port}" for address in ("127.0.0.1", *names.ADDRESSES)),
            f"--cloud-url={self._phones.url}",
            f"--cloud-ca={self._phones.ca_bundle}",
            f"--concurrency={concurrency}",
            *more,
        ]
        health = health or free_port()
        metrics = free_port(health)
        started = time.monotonic()
        process = self._spawn(name, flags, health, metrics, profile)
        try:
            if wait:
                log = self._api_server.keeper.log(name)
                wait_until_up("the operator", process, lambda: is_ready(health), log)
            yield RunningOperator(pid=process.pid, started=started, metrics=metrics)
        finally:
            self._api_server.keeper.end(process, grace=grace)

    def _spawn(self, name: str, flags: list[str], health: int, metrics: int, profile: str) -> subprocess.Popen[bytes]:
        environment = {
            "KUBECONFIG": str(self._kubeconfig),
            "BEK_HEALTH_ADDRESS": f"127.0.0.1:{health}",
            "BEK_METRICS_ADDRESS": f"127.0.0.1:{metrics}",
            "PYTHONPATH": ROOTS,
            **self._compiled,
        }
        watched = ["-m", "cProfile", "-o", profile] if profile else []
        command = [sys.executable, *watched, "-m", "bench.lookup", *flags]
        return self._api_server.keeper.spawn(name, command, env=environment)


def is_ready(port: int) -> bool:
    """Return whether `/readyz` succeeds."""
    # http.client, because it knows no proxies.
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
