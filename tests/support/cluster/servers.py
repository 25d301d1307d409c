"""The command lines of etcd and kube-apiserver, and waiting until they are up; used by `apiserver`."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.cluster import audit
from support.programs.processes import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.programs.binaries import Binaries
    from support.tls import Certificate

HOST = "127.0.0.1"
SERVICE_NETWORK, OWN_SERVICE = "10.0.0.0/24", "10.0.0.1"
"""Addresses of Services, and the one by which Pods call the API server."""

ALONE = ("--disable-admission-plugins=ServiceAccount",)
"""Flags of a server without a controller manager, which makes the service account that Pods have by default."""

START_SECONDS = 60.0
POLL_SECONDS = 0.05
# Below every system's range for outgoing connections: a client that retries while the server is down could
# otherwise get the server's own port, and keep it.
PORTS = range(20_000, 32_000)


class ApiServerError(Exception):
    """The API server did not come up; the message ends with its last output."""


class PortTakenError(ApiServerError):
    """Another process took the port between its choice and its use."""


def write_configuration(folder: Path, admin_token: str, certificate: Certificate | None) -> None:
    """Write the files that the command lines below name: audit policy, tokens, a key for service accounts.

    Without a certificate the server makes its own, which clients then must trust.
    """
    certificates = folder / "certificates"
    certificates.mkdir()
    if certificate:
        (certificates / "apiserver.crt").write_text(certificate.pem, encoding="ascii")
        write_private(certificates / "apiserver.key", certificate.private)
        (certificates / "authority.crt").write_text(certificate.authority, encoding="ascii")
    (folder / "audit-policy.yaml").write_text(audit.POLICY, encoding="utf-8")
    write_private(folder / "tokens.csv", f'{admin_token},admin,admin-uid,"system:masters"\n')
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    write_private(folder / "service-accounts.key", key.decode())


def authority_file(folder: Path) -> Path:
    """Return the file with the certificate that clients must trust."""
    given = folder / "certificates" / "authority.crt"
    return given if given.exists() else folder / "certificates" / "apiserver.crt"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def etcd_command(binaries: Binaries, folder: Path) -> list[str]:
    """Return the command line of an etcd that listens on sockets in the folder, its working directory."""
    # A peer has no path in etcd's URLs, only a host and a port, which together become the name of the socket.
    peer, client = "unix://peer.sock:0", f"unix://{folder}/etcd.sock"
    return [
        str(binaries.etcd),
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def kube_apiserver_command(binaries: Binaries, folder: Path, port: int, flags: Sequence[str]) -> list[str]:
    """Return the command line of a kube-apiserver on a loopback port, with more flags of its own."""
    return [
        str(binaries.kube_apiserver),
        f"--etcd-servers=unix://{folder}/etcd.sock",
        f"--cert-dir={folder}/certificates",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={port}",
        # Without it the server refuses to start on a loopback address.
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/service-accounts.key",
        f"--service-account-signing-key-file={folder}/service-accounts.key",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        f"--audit-policy-file={folder}/audit-policy.yaml",
        f"--audit-log-path={folder}/audit.log",
        # An answered request is in the log, and all of the log in one file.
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=10000",
        *flags,
    ]


def free_port(*others: int) -> int:
    """Return a loopback port that is free at the moment, and none of these."""
    for port in random.sample([port for port in PORTS if port not in others], 100):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    raise PortTakenError(f"A hundred ports from {PORTS.start} to {PORTS.stop} are all taken.")


def reserve(port: int) -> socket.socket:
    """Return a socket that holds a port, refusing every connection, until it is closed."""
    holder = socket.socket()
    # The port may still have old connections that are winding down.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((HOST, port))
    return holder


def wait_until_up(name: str, process: subprocess.Popen[bytes], is_up: Callable[[], bool], log: Path) -> None:
    """Return when a server that was just started is up.

    Raises:
        PortTakenError: it ended because its port is in use.
        ApiServerError: it ended for another reason, or took too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_up():
        try:
            status = process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise ApiServerError(f"{name} was not ready after {START_SECONDS:.0f} s:\n{tail(log)}") from None
        else:
            last_words = tail(log)
            kind = PortTakenError if "address already in use" in last_words else ApiServerError
            raise kind(f"{name} ended with exit status {status}:\n{last_words}")


def accepts(path: Path) -> bool:
    """Return whether a Unix socket accepts connections."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def client_context(ca_file: Path) -> ssl.SSLContext:
    """Return a context that trusts what kubectl trusts: a certificate without key identifiers will do."""
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def is_ready(port: int, ca_file: Path, token: str) -> bool:
    """Return whether the server's `/readyz` succeeds."""
    # http.client, because it knows no proxies.
    try:
        with closing(http.client.HTTPSConnection(HOST, port, timeout=5, context=client_context(ca_file))) as connection:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):  # no certificate yet, not listening, or cut off
        return False
