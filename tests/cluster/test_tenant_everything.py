"""All that one namespace can do to the operator, at once and across a restart, within its memory and its probes."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cluster.test_tenant_keys import put_objects
from cluster.test_tenant_memory import PADDING, READERS, SECRETS, at_rest, create, reader
from cluster.test_tenant_network import CLIENTS, PORTS, chain, dhe
from support import keys, tls
from support.cluster.hostile import HalfSentRequests, HostileServer, hang_up, interim_answers
from support.cluster.scene import conditions, secret
from support.key_samples import PASSPHRASE, der_of, encrypted, plain

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from support.cluster.hostile import Script
    from support.cluster.scene import UserNamespace
    from support.cluster.tenants import Tenants

AT_REST = 8
"""Objects of a thousand numbers each. With all others they have nearly the numbers that are served of a namespace."""

CA_BUNDLES, OF_AN_OBJECT, USES_OF_A_BUNDLE = 256, 32, 5
"""More objects name the CA bundles than there is memory for the texts of."""

NUMBERS_OF_A_SERVER = 50
BATCH = 8


def put_numbers(attacker: UserNamespace) -> None:
    """Have most of the numbers that are served, in suspended objects."""
    for index in range(AT_REST):
        create(attacker, at_rest(attacker, index))


def put_keys(tenants: Tenants) -> None:
    """Have many objects name encrypted keys that take as much memory as is accepted."""
    private = encrypted(der_of(plain().private), scrypt=(2**10, 255, 2))
    entries = ("public.pem", "private.pem", "tls.crt", "tls.key")
    put_objects(tenants, dict.fromkeys(entries, private), f"{PASSPHRASE}\n")


def put_large_secrets(attacker: UserNamespace) -> None:
    """Have a few objects read many Secrets of the largest size."""
    entries = {"username": "admin", "password": "sesame", "ca.crt": attacker.simulator.certificate.pem}
    for first in range(0, SECRETS, BATCH):
        names = [f"large-{index}" for index in range(first, first + BATCH)]
        # Random, because the API server compresses what it sends.
        create(attacker, *(secret(name, {**entries, "padding": os.urandom(PADDING)}) for name in names))
    create(attacker, *(reader(attacker, index) for index in range(READERS)))


def with_ca(api: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an entry of `spec.apis` with the CA bundle of another Secret."""
    api["onPremises"]["tls"]["caSecretRef"]["name"] = name
    return api


def put_ca_bundles(attacker: UserNamespace) -> None:
    """Have hundreds of CA bundles of the largest size, and more than a thousand numbers that are called with them."""
    # Different certificates, because OpenSSL keeps equal ones once.
    bundle = "".join(tls.self_signed(f"ca-{index}").pem for index in range(85))
    for first in range(0, CA_BUNDLES, OF_AN_OBJECT):
        names = [f"ca-{index}" for index in range(first, first + OF_AN_OBJECT)]
        apis = [with_ca(attacker.api(name), name) for name in names]
        create(attacker, *(secret(name, {"ca.crt": f"# {name}\n{bundle}"}) for name in names))
        for use in range(USES_OF_A_BUNDLE):
            numbers = [
                {"phoneNumber": f"+1558{use}{first + index:06}", "api": name} for index, name in enumerate(names)
            ]
            create(attacker, attacker.manifest(f"bundles-{first}-{use}", apis=apis, phoneNumbers=numbers))


def put_server(attacker: UserNamespace, name: str, server: HostileServer, certificate: tls.Certificate) -> None:
    """Have the operator call a server for many numbers, on all of its ports."""
    apis = [
        with_ca(attacker.api(f"port-{index}", f"https://127.0.0.1:{port}/{name}-{{digits}}"), name)
        for index, port in enumerate(server.ports)
    ]
    numbers = [
        {"phoneNumber": f"+1557{server.ports[0]}{index:02}", "api": f"port-{index % PORTS}"}
        for index in range(NUMBERS_OF_A_SERVER)
    ]
    create(
        attacker,
        secret(name, {"ca.crt": certificate.authority}),
        attacker.manifest(name, apis=apis, phoneNumbers=numbers, intervalSeconds=10),
    )


def interim() -> tuple[tls.Certificate, ssl.SSLContext]:
    """Return what has cheap handshakes."""
    certificate = tls.self_signed()
    return certificate, certificate.server_context()


SERVERS: dict[str, tuple[Callable[[], tuple[tls.Certificate, ssl.SSLContext]], Script]] = {
    "dhe": (dhe, hang_up),
    "chain": (chain, hang_up),
    "interim": (interim, interim_answers),
}


@contextmanager
def hostile_servers(attacker: UserNamespace) -> Iterator[list[HostileServer]]:
    """Have servers with expensive handshakes, and one that answers without end, called."""
    with ExitStack() as stack:
        servers = []
        for name, (make, script) in SERVERS.items():
            certificate, context = make()
            servers.append(stack.enter_context(HostileServer(context, script, PORTS)))
            put_server(attacker, name, servers[-1], certificate)
        attacker.wait_for(lambda: all(one.begun > 0 for one in servers), "each server is called", 60)
        yield servers


@contextmanager
def flooded_ports(tenants: Tenants) -> Iterator[None]:
    """Have hundreds of clients leave requests to the ports half-sent."""
    operator = tenants.kubelet.operator
    tenants.other.wait_for(operator.is_ready, "it is ready", 60)
    with HalfSentRequests(operator.health_port, CLIENTS), HalfSentRequests(operator.metrics_port, CLIENTS):
        yield


def is_read(body: dict[str, Any]) -> bool:
    """Return whether an object was reconciled; an encrypted key takes longer than the test."""
    return "Ready" in conditions(body) or body["metadata"]["name"].startswith("flows-")


def attack_on(tenants: Tenants, servers: list[HostileServer]) -> None:
    """Have all of it happen while another tenant's keys are rotated, each before a process that hangs is killed."""
    begun = sum(server.begun for server in servers)
    with flooded_ports(tenants):
        for _ in range(2):
            for name in (*SERVERS, *(f"reader-{index}" for index in range(READERS))):
                tenants.attacker.request_check(secrets.token_hex(8), name)
            tenants.other.rotate(tenants.kubelet.liveness.patience)
        tenants.other.wait_for(lambda: sum(one.begun for one in servers) > begun + 3, "servers are called", 120)
        tenants.attacker.wait_for(lambda: all(map(is_read, tenants.attacker.objects())), "every object is read", 120)
    assert tenants.kubelet.verdict == [], tenants.kubelet.operator.log


@pytest.mark.timeout(600)
def test_all_attacks_of_one_namespace_at_once(tenants: Tenants) -> None:
    """Memory for each of them is there beside that for the others, before a restart and after it."""
    attacker = tenants.attacker
    attacker.put_access()
    attacker.put_key(keys.rsa())
    put_numbers(attacker)
    with hostile_servers(attacker) as servers:
        put_large_secrets(attacker)
        # Later than the others, which would not be called beside so many.
        put_ca_bundles(attacker)
        put_keys(tenants)
        attack_on(tenants, servers)
        tenants.restart()
        attack_on(tenants, servers)
