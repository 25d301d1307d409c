"""Servers that a namespace calls, and clients of the operator's ports, harm nobody else."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from support import keys, tls
from support.cluster.hostile import HalfSentRequests, HostileServer, hang_up, interim_answers
from support.cluster.scene import CA_SECRET, secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from support.cluster.scene import UserNamespace
    from support.cluster.tenants import Tenants

PORTS, NUMBERS = 32, 320
CA_BUNDLES, OF_AN_OBJECT = 260, 26
CLIENTS = 300


def call(attacker: UserNamespace, server: HostileServer, certificate: tls.Certificate) -> None:
    """Have the operator call the server for many numbers, on all of its ports."""
    attacker.put_key(keys.rsa())
    attacker.put_access()
    attacker.put_secret(CA_SECRET, {"ca.crt": certificate.authority})
    numbers = [{"phoneNumber": f"+1557{index:07}", "api": f"port-{index % PORTS}"} for index in range(NUMBERS)]
    apis = [
        attacker.api(f"port-{index}", f"https://127.0.0.1:{port}/{{digits}}") for index, port in enumerate(server.ports)
    ]
    attacker.apply(attacker.manifest(apis=apis, phoneNumbers=numbers, intervalSeconds=10))
    attacker.wait_for(lambda: server.begun >= 3, "the servers are called")


def dhe() -> tuple[tls.Certificate, ssl.SSLContext]:
    """Return what has no other key exchange than one that takes a client 0.6 s."""
    certificate = tls.self_signed_by_rsa()
    return certificate, tls.dhe_only(certificate, 10_000)


def chain() -> tuple[tls.Certificate, ssl.SSLContext]:
    """Return what has as long a chain of RSA keys with large exponents as is read: 0.09 s."""
    certificate = tls.expensive_chain(20)
    return certificate, certificate.server_context()


@pytest.mark.parametrize(("make", "intervals"), [(dhe, 0), (chain, 3)])
def test_expensive_handshakes(
    tenants: Tenants, make: Callable[[], tuple[tls.Certificate, ssl.SSLContext]], intervals: int
) -> None:
    """Hundreds of numbers on servers with the most expensive handshakes that there are."""
    certificate, context = make()
    with HostileServer(context, hang_up, PORTS) as server:
        call(tenants.attacker, server, certificate)
        tenants.assert_unharmed(tenants.attacker.request_checks, intervals=intervals)


def test_endless_interim_answers(tenants: Tenants) -> None:
    """All that a server sends counts, and not only the body of its response."""
    certificate = tls.self_signed()
    with HostileServer(certificate.server_context(), interim_answers, PORTS) as server:
        call(tenants.attacker, server, certificate)
        tenants.assert_unharmed(tenants.attacker.request_checks)


def with_ca(api: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an entry of `spec.apis` with the CA bundle of another Secret."""
    api["onPremises"]["tls"]["caSecretRef"]["name"] = name
    return api


def with_bundles(attacker: UserNamespace, index: int, bundle: str) -> list[dict[str, Any]]:
    """Return an object whose numbers have a CA bundle each, and the Secrets of these."""
    names = [f"ca-{index}-{position}" for position in range(OF_AN_OBJECT)]
    numbers = [{"phoneNumber": f"+1557{index:03}{position:04}", "api": name} for position, name in enumerate(names)]
    apis = [with_ca(attacker.api(name), name) for name in names]
    secrets = [secret(name, {"ca.crt": f"# {name}\n{bundle}"}) for name in names]
    return [*secrets, attacker.manifest(f"flows-{index}", apis=apis, phoneNumbers=numbers)]


def is_tried(body: dict[str, Any]) -> bool:
    """Return whether an object's status has the outcome of a call for each number."""
    rows = body.get("status", {}).get("phoneNumbers", [])
    return bool(rows) and all(row["reason"] != "Pending" for row in rows)


@pytest.mark.timeout(300)
def test_many_large_ca_bundles(tenants: Tenants) -> None:
    """Hundreds of different ones of the largest size, one for each number."""
    attacker, before = tenants.attacker, tenants.kubelet.peak
    attacker.put_key(keys.rsa())
    attacker.put_access()
    # Different certificates, because OpenSSL keeps equal ones once.
    bundle = "".join(tls.self_signed(f"ca-{index}").pem for index in range(85))
    objects = (with_bundles(attacker, index, bundle) for index in range(CA_BUNDLES // OF_AN_OBJECT))
    tenants.assert_unharmed(lambda: attacker.apply(*(body for bodies in islice(objects, 2) for body in bodies)))
    attacker.wait_for(lambda: all(map(is_tried, attacker.objects())), "every number was tried", seconds=120)
    # Their texts and what was parsed of those used last, and not what was parsed of all: that would be 160 MiB.
    assert tenants.kubelet.peak - before < 110


def test_half_sent_requests_to_the_ports(tenants: Tenants) -> None:
    """Hundreds of clients that never stop leave descriptors for probes, and for calls of the operator's own."""
    operator = tenants.kubelet.operator
    with (
        HalfSentRequests(operator.health_port, CLIENTS) as health,
        HalfSentRequests(operator.metrics_port, CLIENTS) as metrics,
    ):
        tenants.other.wait_for(lambda: min(health.sent, metrics.sent) >= 5 * CLIENTS, "the ports are flooded")
        tenants.assert_unharmed()
