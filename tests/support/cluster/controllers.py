"""What Kubernetes' own controllers would do: operators for Deployments, an end for deleted namespaces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from support.cluster.operator_process import replica_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from support.cluster.apiserver import ApiServer
    from support.cluster.operator_process import OperatorProcess


class Controllers:
    """They do their work when `sync` is called, and not in between.

    A Deployment of the operator gets one process, however many replicas it asks for, with the settings of its container
    and the flags that the test adds. A namespace that is being deleted is emptied, and is gone once it is empty.
    """

    def __init__(self, server: ApiServer, flags: Sequence[str]) -> None:
        self._server = server
        self._flags = flags
        self._running: dict[str, OperatorProcess] = {}

    def __enter__(self) -> Self:
        """Do nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the operators."""
        for operator in self._running.values():
            operator.kill()

    @property
    def operators(self) -> list[OperatorProcess]:
        """Those that run."""
        return list(self._running.values())

    def sync(self) -> None:
        """Do what is due."""
        namespaces = self._server.read("/api/v1/namespaces")["items"]
        ending = [one["metadata"]["name"] for one in namespaces if "deletionTimestamp" in one["metadata"]]
        for namespace in ending:
            self._empty(namespace)
        deployments = self._server.read("/apis/apps/v1/deployments")["items"]
        self._run(
            [one for one in deployments if one["metadata"]["namespace"] not in ending and one["spec"]["replicas"]]
        )

    def _run(self, deployments: list[dict[str, Any]]) -> None:
        # One whose template has changed is another one.
        wanted = {f"{one['metadata']['uid']}-{json.dumps(one['spec']['template'])}": one for one in deployments}
        for key in self._running.keys() - wanted.keys():
            self._running.pop(key).stop()
        for key in wanted.keys() - self._running.keys():
            self._running[key] = self._start(wanted[key])

    def _start(self, deployment: dict[str, Any]) -> OperatorProcess:
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        operator = replica_of(self._server, deployment, self._flags, f"{namespace}-{name}")
        operator.start()
        replicas = deployment["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
        conditions = [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ]
        status = {**counts, "observedGeneration": deployment["metadata"]["generation"], "conditions": conditions}
        self._server.kubectl(
            "patch",
            "deployment",
            name,
            f"--namespace={namespace}",
            "--subresource=status",
            "--type=merge",
            f"--patch={json.dumps({'status': status})}",
        )
        return operator

    def _empty(self, namespace: str) -> None:
        listed = self._server.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name").stdout
        kinds, here = ",".join(listed.split()), f"--namespace={namespace}"
        names = self._server.kubectl("get", kinds, "--output=name", here).stdout.split()
        if names:
            self._server.kubectl("delete", *names, "--wait=false", "--ignore-not-found", here)
        # What is held back by a finalizer holds back the namespace.
        if names and self._server.kubectl("get", kinds, "--output=name", here).stdout:
            return
        path = f"/api/v1/namespaces/{namespace}"
        body = self._server.read(path)
        body["spec"]["finalizers"] = []
        self._server.kubectl("replace", f"--raw={path}/finalize", "--filename=-", stdin=json.dumps(body))
