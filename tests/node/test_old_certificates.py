"""The shipped image on a cluster whose certificates carry no key identifiers, as some that were set up years ago."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import keys, tls
from support.cluster.scene import UserNamespace
from support.node.node import NAMES

if TYPE_CHECKING:
    from support.node.deployed import Deployed
    from support.node.node import Node
    from support.simulators.on_premises import OnPremises


@pytest.fixture(scope="module")
def certificate() -> tls.Certificate:
    """Provide a certificate that kubectl and the kubelet take, and Python refuses from 3.13 on by default."""
    return tls.lax(tls.lax_authority(), *NAMES)


def test_the_operator_works_where_kubectl_does(
    deployed: Deployed, with_simulators: Path, node: Node, simulator: OnPremises
) -> None:
    """It becomes ready, and signs."""
    user = UserNamespace(node.api_server, "messaging", simulator)
    deployed.apply(with_simulators)
    user.put_access()
    user.put_key(keys.rsa("third"))

    user.apply(user.manifest())
    user.wait_ready()

    assert simulator.all_hold(keys.rsa("third").public)
    assert deployed.warnings() == []
