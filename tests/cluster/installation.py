"""What a kustomization installs, with its Deployments as processes that have what the kubelet would give their Pods."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import yaml

from support.cluster.operator_process import replica_of
from support.kustomize import Body, build

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from support.cluster.apiserver import ApiServer
    from support.cluster.audit import AuditEvent
    from support.cluster.operator_process import OperatorProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One verb on one resource; without a namespace in all of them, without a name for all objects."""

    verb: str
    resource: str
    subresource: str
    name: str
    namespace: str

    def covers(self, request: AuditEvent) -> bool:
        """Return whether a request needed it."""
        asked = (request.verb, request.resource, request.subresource)
        return (
            asked == (self.verb, self.resource, self.subresource)
            and self.name in {"", request.name}
            and self.namespace in {"", request.namespace}
        )


class Installation:
    """An installation, applied; no controller manager runs its Deployments, so `process` does.

    Attributes:
        applied: What kubectl said to that, a line for each object.
        bodies: Its objects.
        namespace: That of the operator.
        user: The operator's name in the audit log.
    """

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.applied = server.kubectl("apply", f"--kustomize={folder}").stdout.splitlines()
        self._server = server
        self.bodies = build(folder)
        (account,) = [one["metadata"] for one in self.bodies if one["kind"] == "ServiceAccount"]
        self.namespace, self._account = account["namespace"], account["name"]
        self.user = f"system:serviceaccount:{self.namespace}:{self._account}"
        self._started = 0

    @property
    def deployments(self) -> list[Body]:
        """Its Deployments, by name."""
        found = [one for one in self.bodies if one["kind"] == "Deployment"]
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))

    def process(self, deployment: Body) -> OperatorProcess:
        """Return one more replica of a Deployment, not started yet."""
        assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == self._account
        self._started += 1
        # Where the simulators are.
        return replica_of(self._server, deployment, ["--allow-host=127.0.0.1:*"], f"{self.namespace}-{self._started}")

    def requests(self, since: int) -> list[AuditEvent]:
        """Return what its processes asked of the API server since a mark of the audit log."""
        return [one for one in self._server.audit(since) if one.user == self.user]


def permissions(bodies: Iterable[Body]) -> set[Permission]:
    """Return what the bindings among some objects give to the operator."""
    found = {(one["kind"], one["metadata"]["name"]): one for one in bodies}
    bindings = [one for (kind, _), one in found.items() if kind in {"ClusterRoleBinding", "RoleBinding"}]
    return {
        Permission(
            verb=verb, resource=name, subresource=part, name=one, namespace=binding["metadata"].get("namespace", "")
        )
        for binding in bindings
        for rule in found[binding["roleRef"]["kind"], binding["roleRef"]["name"]]["rules"]
        for verb, resource, one in product(rule["verbs"], rule["resources"], rule.get("resourceNames", [""]))
        for name, _, part in [resource.partition("/")]
    }


@contextmanager
def defined(server: ApiServer, file: Path) -> Iterator[None]:
    """Have the kinds that a file defines for the block.

    These definitions are ours: the fields that we use, of the types and with the patterns of the tools' own. Whatever
    else is in a manifest is refused, so that a misspelt field is found.
    """
    server.kubectl("apply", f"--filename={file}")
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    server.wait_until_established(*names)
    yield
    server.kubectl("delete", f"--filename={file}")
