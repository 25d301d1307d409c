"""The watcher that tests of tenants rely on tells a process that hangs from one that works."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from support.cluster.kubelet import Kubelet
from support.cluster.operator_process import NAMESPACE

if TYPE_CHECKING:
    from support.cluster.apiserver import ApiServer
    from support.cluster.tenants import Tenants


def test_another_tenant_is_served_while_nobody_attacks(tenants: Tenants) -> None:
    """Every rotation is on its numbers, and every check is made, within the limits of the Deployment."""
    tenants.assert_unharmed(intervals=1)
    assert 0 < tenants.kubelet.peak < tenants.kubelet.limit == 256
    assert tenants.kubelet.liveness.patience == 35


def test_a_process_that_hangs_or_needs_too_much_memory_is_found(tenants: Tenants, installed: ApiServer) -> None:
    """By the probes' and limits' own numbers, which are small here."""
    body = copy.deepcopy(installed.read(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/bek-operator"))
    (container,) = body["spec"]["template"]["spec"]["containers"]
    container["livenessProbe"] |= {"periodSeconds": 1, "timeoutSeconds": 1}
    container["resources"]["limits"]["memory"] = "16Mi"
    with Kubelet(installed, body, "hangs") as kubelet:
        tenants.other.wait_for(kubelet.operator.is_ready, "it is ready")
        kubelet.operator.pause()
        tenants.other.wait_for(lambda: "/healthz failed 3 times in a row" in kubelet.verdict, "the probe fails")
        assert any(one.startswith("killed: ") for one in kubelet.verdict)
        kubelet.operator.kill()
        assert "it ended with exit status None" in kubelet.verdict
