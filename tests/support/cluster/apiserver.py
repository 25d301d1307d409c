"""A real kube-apiserver with its etcd, on loopback, for one test session or one demo.

RBAC, Pod Security admission and an audit log are on. There is no kubelet and no controller manager, so
Pods stay Pending and deleted namespaces Terminating. The KUBECONFIG of the user is never read.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import subprocess
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import yaml

from support.cluster import audit, servers
from support.cluster.servers import ApiServerError, PortTakenError
from support.programs.binaries import Binaries, ensure
from support.programs.interrupts import held
from support.programs.processes import Keeper

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.tls import Certificate

PORT_ATTEMPTS = 5


class KubectlError(Exception):
    """Kubectl failed; the message holds its standard error, `result` everything."""

    def __init__(self, arguments: tuple[str, ...], result: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: exit status {result.returncode}: {result.stderr.strip()}")
        self.result = result


class ApiServer:
    """One etcd and one kube-apiserver, started by `start()` or `with` and gone after `stop()`.

    Args:
        binaries: Their programs.
        certificate: One for `servers.HOST`; without it kube-apiserver makes its own.
        flags: More flags of kube-apiserver.
    """

    def __init__(
        self,
        binaries: Binaries | None = None,
        certificate: Certificate | None = None,
        flags: Sequence[str] = servers.ALONE,
    ) -> None:
        self.binaries = binaries or ensure()
        self._certificate = certificate
        self._flags = flags
        self.admin_token = secrets.token_urlsafe(32)
        self._keeper: Keeper | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._reservation: socket.socket | None = None

    def __enter__(self) -> Self:
        """Start both."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        self.stop()

    def start(self) -> None:
        """Start both and return when the server says that it is ready.

        Raises:
            ApiServerError: one of them ended, or was not ready in time.
        """
        if self._keeper is not None:
            raise ApiServerError("The API server is started already.")
        try:
            with held():
                self._keeper = Keeper("bek-apiserver")
            servers.write_configuration(self.folder, self.admin_token, self._certificate)
            etcd = self.keeper.spawn("etcd", servers.etcd_command(self.binaries, self.folder))
            servers.wait_until_up(
                "etcd", etcd, lambda: servers.accepts(self.folder / "etcd.sock"), self.keeper.log("etcd")
            )
            self._start_on_free_port()
            self.kubeconfig()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both and remove every file, in whatever state; a second call does nothing."""
        self._release_port()
        self._server = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def start_kube_apiserver(self) -> None:
        """Start only kube-apiserver, on the port and with the data that it had before.

        Raises:
            ApiServerError: it ended, or was not ready in time.
        """
        self._release_port()
        self._server = self.keeper.spawn(
            "kube-apiserver", servers.kube_apiserver_command(self.binaries, self.folder, self._port, self._flags)
        )
        servers.wait_until_up(
            "kube-apiserver",
            self._server,
            lambda: servers.is_ready(self._port, self.ca_file, self.admin_token),
            self.keeper.log("kube-apiserver"),
        )

    def stop_kube_apiserver(self) -> None:
        """Kill only kube-apiserver, as a crash would; its port stays reserved and refuses connections."""
        if self._server is not None:
            self.keeper.end(self._server)
            self._server = None
            self._reservation = servers.reserve(self._port)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Stop kube-apiserver for the block; etcd keeps the data."""
        self.stop_kube_apiserver()
        try:
            yield
        finally:
            self.start_kube_apiserver()

    @property
    def keeper(self) -> Keeper:
        """The owner of the folder and the processes; others may join them, and end with the server."""
        if self._keeper is None:
            raise ApiServerError("The API server is not started.")
        return self._keeper

    @property
    def folder(self) -> Path:
        """The temporary folder of everything; it goes away with the server."""
        return self.keeper.folder

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"https://{servers.HOST}:{self._port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return servers.HOST, self._port

    @property
    def ca_file(self) -> Path:
        """The certificate that clients must trust."""
        return servers.authority_file(self.folder)

    @property
    def audit_log(self) -> Path:
        """The file with one line of JSON for each request."""
        return self.folder / "audit.log"

    def audit_mark(self) -> int:
        """Return the present end of the audit log, for `audit(since=…)`."""
        return audit.end_of(self.audit_log)

    def audit(self, since: int = 0) -> list[audit.AuditEvent]:
        """Return the requests since a mark, every answered one included."""
        return audit.read_events(self.audit_log, since)

    def kubeconfig(
        self,
        token: str | None = None,
        *,
        name: str = "admin",
        namespace: str = "default",
        path: Path | None = None,
        server: str | None = None,
    ) -> Path:
        """Write a self-contained kubeconfig for a token, by default the administrator's; return its path.

        It leads to this server, or to what is said to be in front of it.
        """
        path = path or self.folder / f"{name}.kubeconfig"
        certificate = base64.b64encode(self.ca_file.read_bytes()).decode()
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "bek", "cluster": {"server": server or self.url, "certificate-authority-data": certificate}}
            ],
            "users": [{"name": name, "user": {"token": token or self.admin_token}}],
            "contexts": [{"name": "bek", "context": {"cluster": "bek", "user": name, "namespace": namespace}}],
            "current-context": "bek",
        }
        servers.write_private(path, yaml.safe_dump(content, sort_keys=False))
        return path

    def read(self, path: str) -> dict[str, Any]:
        """Return what the server has at a path, read as the administrator; thirty times as fast as kubectl.

        Raises:
            ApiServerError: there is nothing, or the server cannot be reached.
        """
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        try:
            # http.client, because it knows no proxies.
            with closing(
                http.client.HTTPSConnection(*self.address, timeout=30, context=servers.client_context(self.ca_file))
            ) as connection:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiServerError(f"{path}: {error}") from error
        if answer.status != HTTPStatus.OK:
            raise ApiServerError(f"{path}: HTTP {answer.status}")
        found: dict[str, Any] = json.loads(body)
        return found

    def service_account_token(self, namespace: str, name: str, *, duration: str = "1h") -> str:
        """Return a new token of an existing service account."""
        answer = self.kubectl("create", "token", name, f"--namespace={namespace}", f"--duration={duration}")
        return answer.stdout.strip()

    def kubectl(
        self,
        *arguments: str,
        stdin: str = "",
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this server and no other, by default as the administrator.

        Raises:
            KubectlError: it ended with an error, and `check` is on.
        """
        config = kubeconfig or self.folder / "admin.kubeconfig"
        result = subprocess.run(
            [str(self.binaries.kubectl), f"--kubeconfig={config}", *arguments],
            input=stdin,
            env=self.keeper.clean_env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and result.returncode:
            raise KubectlError(arguments, result)
        return result

    def wait_until_established(self, *definitions: str) -> None:
        """Wait until the server has established CustomResourceDefinitions.

        Right after a definition was applied its `status.conditions` may still be null, which `kubectl wait` takes for
        an error (kubernetes/kubernetes issue 66439).

        Raises:
            KubectlError: they were not established in time.
        """
        command = ("wait", "--for=condition=Established", *(f"crd/{name}" for name in definitions))
        while "accessor error: <nil>" in self.kubectl(*command, check=False).stderr:
            pass
        self.kubectl(*command)

    def _start_on_free_port(self) -> None:
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self._port = servers.free_port()
            try:
                self.start_kube_apiserver()
            except PortTakenError:
                if not attempts_left:
                    raise
            else:
                return

    def _release_port(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None
