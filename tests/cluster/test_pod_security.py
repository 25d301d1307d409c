"""The Pods of the shipped Deployment, where the strictest standard for Pods is enforced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.cluster.apiserver import KubectlError

if TYPE_CHECKING:
    from support.cluster.apiserver import ApiServer


def pod_of(server: ApiServer) -> dict[str, Any]:
    """Return a Pod as the Deployment would have it."""
    deployment = server.read("/apis/apps/v1/namespaces/bek-system/deployments/bek-operator")
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "bek-operator-0", "namespace": "bek-system"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_the_pod_is_admitted_and_cannot_write_to_its_disk(installed: ApiServer) -> None:
    """Its namespace enforces `restricted`, in the server's latest version, and a Pod with more rights is refused."""
    pod = pod_of(installed)
    namespace = installed.read("/api/v1/namespaces/bek-system")["metadata"]["labels"]
    enforced = {name.rpartition("/")[2]: value for name, value in namespace.items() if name.startswith("pod-security")}
    assert enforced == {"enforce": "restricted", "enforce-version": "latest"}

    admitted = installed.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))
    assert (admitted.stdout, admitted.stderr) == ("pod/bek-operator-0 created (server dry run)\n", "")

    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    del container["securityContext"]["capabilities"]
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        installed.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))
