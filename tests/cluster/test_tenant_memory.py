"""What one tenant creates does not use up the memory that all share: the Deployment's limit holds, at a restart too."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.scene import conditions, secret
from support.cluster.tenants import ROTATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.cluster.scene import UserNamespace
    from support.cluster.tenants import Tenants

OBJECTS, NUMBERS = 100, 1000
SERVED = 10
"""As many of these objects as have the numbers that the operator serves of a namespace by default."""

READERS, SECRETS = 8, 64
PADDING = 1024 * 1024 - 8 * 1024
"""With the entries that are used, about the most that a Secret can hold."""


def create(namespace: UserNamespace, *bodies: Mapping[str, Any]) -> None:
    """Create objects that are too large for `kubectl apply`, which keeps a copy of each in an annotation."""
    namespace.kubectl("create", "--filename=-", stdin="\n---\n".join(json.dumps(one) for one in bodies))


def wait_for_reasons(tenants: Tenants, **expected: int) -> None:
    """Wait until so many of the attacker's objects have each reason."""

    def found() -> Counter[str]:
        ready = [conditions(one).get("Ready", {}) for one in tenants.attacker.objects()]
        return Counter(one.get("reason", "") for one in ready)

    tenants.attacker.wait_for(lambda: found() == Counter(expected), str(expected), 120)


def at_rest(namespace: UserNamespace, index: int) -> dict[str, Any]:
    """Return a suspended object with as many numbers as one can have."""
    numbers = [{"phoneNumber": f"+1{index:04}{number:06}"} for number in range(NUMBERS)]
    api = namespace.api(url="https://whatsapp-{digits}")
    return namespace.manifest(f"rest-{index:03}", suspend=True, apis=[api], phoneNumbers=numbers)


@pytest.mark.timeout(600)
def test_many_suspended_objects_of_many_numbers(tenants: Tenants) -> None:
    """A hundred thousand numbers: the oldest objects are served, and the others say why they are not."""
    attacker = tenants.attacker
    attacker.put_access()
    attacker.put_key(keys.rsa())
    objects = (at_rest(attacker, index) for index in range(OBJECTS))
    tenants.assert_unharmed(lambda: create(attacker, *islice(objects, OBJECTS // ROTATIONS)))
    wait_for_reasons(tenants, Suspended=SERVED, TooManyNumbers=OBJECTS - SERVED)

    tenants.restart()
    tenants.assert_unharmed(intervals=0)
    wait_for_reasons(tenants, Suspended=SERVED, TooManyNumbers=OBJECTS - SERVED)


def reader(namespace: UserNamespace, index: int) -> dict[str, Any]:
    """Return an object that names all of the large Secrets."""
    apis, numbers = [], []
    for position in range(SECRETS // 2):
        api = namespace.api(f"api-{position}", url="https://whatsapp-{digits}")
        api["onPremises"]["credentialsSecretRef"]["name"] = f"large-{2 * position}"
        api["onPremises"]["tls"]["caSecretRef"]["name"] = f"large-{2 * position + 1}"
        apis.append(api)
        numbers.append({"phoneNumber": f"+1{index:04}{position:06}", "api": api["name"]})
    return namespace.manifest(f"reader-{index}", apis=apis, phoneNumbers=numbers)


@pytest.mark.timeout(600)
def test_many_large_secrets(tenants: Tenants) -> None:
    """Eight objects read 64 Secrets of 1 MiB each, whenever that is asked for."""
    attacker = tenants.attacker
    attacker.put_key(keys.rsa())
    entries = {"username": "admin", "password": "sesame", "ca.crt": attacker.simulator.certificate.pem}
    # Random, because the API server compresses what it sends.
    large = (secret(f"large-{index}", {**entries, "padding": os.urandom(PADDING)}) for index in range(SECRETS))
    while some := list(islice(large, 8)):
        create(attacker, *some)
    create(attacker, *(reader(attacker, index) for index in range(READERS)))
    tenants.assert_unharmed(attacker.request_checks)

    tenants.restart()
    tenants.assert_unharmed(attacker.request_checks, intervals=0)
