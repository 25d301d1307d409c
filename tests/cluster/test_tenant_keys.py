"""Keys that are costly to read, in the Secrets and the API answers of one tenant, hold up no other tenant."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from support import der
from support.cluster.scene import conditions, secret
from support.key_samples import PASSPHRASE, armored, der_of, encrypted, encrypted_with, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.cluster.tenants import Tenants

OBJECTS = 30
WAIT_SECONDS = 120
"""A derivation has a low priority, and the machine other work."""
LARGE_BITS = 90_000
"""62 kB as PEM. OpenSSL computes the public half of a DSA key that it loads, which takes minutes with such numbers."""

ROUNDS = ("-iter", "1000000")


def costly() -> dict[str, str]:
    """Return entries with the same key, each encrypted at the highest cost that is accepted."""
    return {
        "public.pem": encrypted(der_of(plain().private), scrypt=(2**10, 255, 2)),
        "private.pem": encrypted_with("-v2prf", "hmacWithSHA1", *ROUNDS),
        "tls.crt": encrypted_with("-v1", "PBE-SHA1-3DES", *ROUNDS),
        "tls.key": encrypted_with("-v2prf", "hmacWithSHA512", *ROUNDS),
    }


def put_objects(tenants: Tenants, entries: Mapping[str, str], passphrase: str) -> None:
    """Have many objects of the attacker name a Secret each, with other content, as other text around the key."""
    attacker = tenants.attacker
    attacker.put_access()
    bodies = []
    for index in range(OBJECTS):
        content = {name: f"# {index}\n{text}" for name, text in entries.items()}
        reference = {"name": f"key-{index}", "passphraseKey": "passphrase"}
        bodies += [
            secret(f"key-{index}", {**content, "passphrase": passphrase}),
            attacker.manifest(f"flows-{index}", keySecretRef=reference),
        ]
    attacker.apply(*bodies)


def decided(tenants: Tenants) -> list[str]:
    """Return the reasons of the attacker's objects whose keys were read."""
    ready = [conditions(one).get("Ready", {}) for one in tenants.attacker.objects()]
    return [one["reason"] for one in ready if one]


@pytest.mark.timeout(300)
def test_large_keys_of_other_algorithms(tenants: Tenants) -> None:
    """They are refused by their algorithm, encrypted or not; no library computes with them, nor after a restart."""
    large = [der.private_key_info(algorithm, LARGE_BITS) for algorithm in (der.DSA, der.X942)]
    forms = cycle(text for one in large for text in (armored("PRIVATE KEY", one), encrypted(one)))
    tenants.assert_unharmed(lambda: put_objects(tenants, {"private.pem": next(forms)}, PASSPHRASE))
    tenants.attacker.wait_for(lambda: decided(tenants) == ["InvalidKey"] * OBJECTS, "all of them are refused")

    tenants.restart()
    tenants.assert_unharmed(intervals=0)


@pytest.mark.timeout(300)
def test_encrypted_keys_of_the_highest_cost(tenants: Tenants) -> None:
    """Each costs seconds of CPU, and there are minutes of work; another tenant's key of that kind has its turn."""
    entries = costly()
    # The passphrase is tried as it is, and without the newline.
    put_objects(tenants, entries, f"{PASSPHRASE}\n")
    tenants.assert_unharmed()

    other = tenants.other
    other.put_secret("costly", {"private.pem": entries["private.pem"], "passphrase": PASSPHRASE})
    other.apply(other.manifest("costly", keySecretRef={"name": "costly", "passphraseKey": "passphrase"}, suspend=True))
    other.wait_for(
        lambda: other.get("costly").get("status", {}).get("publicKeyFingerprint") == plain().fingerprint,
        "another tenant's encrypted key is read",
        WAIT_SECONDS,
    )
    assert len(decided(tenants)) < OBJECTS

    tenants.restart()
    tenants.assert_unharmed(intervals=0)


@pytest.mark.timeout(300)
def test_large_keys_of_other_algorithms_in_answers(tenants: Tenants) -> None:
    """A Diffie-Hellman key of 4 kB is told from ours by its digest; OpenSSL, asked to load it, takes minutes."""
    attacker = tenants.attacker
    simulator = attacker.simulator
    prime = 2**9941 - 1
    domain = der.sequence(*(der.integer(number) for number in (prime, 2, prime >> 1)))
    for pod, algorithm in zip(simulator.pods.values(), cycle([der.X942, der.NOBODY])):
        info = der.sequence(der.sequence(der.oid(algorithm), domain), der.bits(der.integer(3)))
        pod.hold(f"{pod.number}\n{armored('PUBLIC KEY', info)}", valid=algorithm == der.X942)
    attacker.put_access()
    attacker.put_key(plain())
    attacker.apply(attacker.manifest(publishPolicy="Never", intervalSeconds=10))
    tenants.assert_unharmed(attacker.check)
    assert set(map(attacker.reason, simulator.pods)) == {"ForeignKey"}
