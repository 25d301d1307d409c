"""The operator in Pods, as `kubectl` and the node see it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from support.cluster.apiserver import KubectlError
from support.cluster.operator_process import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.cluster.apiserver import ApiServer

DEPLOY = Path(__file__).parents[3] / "deploy"
DEPLOYMENT, LEASE = "deployment/bek-operator", "lease/bek-operator"

_SELECTOR = "--selector=app.kubernetes.io/name=bek-operator"
_MOUNTED = "/etc/cloud-ca"
# A Lease that nobody released expires after twelve.
_LEADER_SECONDS = 30.0
_POLL_SECONDS = 0.1


class RolloutFailed(Exception):
    """The Pods of a Deployment did not become ready; the message has the warnings and the ends of their logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A Pod of the operator.

    Attributes:
        container: The id of its container.
        is_ready: Whether its readiness probe succeeds.
        restarts: How often its container was started again.
    """

    name: str
    container: str
    is_ready: bool
    restarts: int

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Return what matters of a Pod's object."""
        status: Mapping[str, Any] = next(iter(body["status"].get("containerStatuses", ())), {})
        return cls(
            name=body["metadata"]["name"],
            container=status.get("containerID", "").rpartition("/")[2],
            is_ready=status.get("ready", False),
            restarts=status.get("restartCount", 0),
        )

    @property
    def pid(self) -> int:
        """The id of its process, among those of the node.

        Raises:
            LookupError: it has none.
        """
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self.container in (process / "cgroup").read_text(encoding="utf-8"):
                    return int(process.name)
            except OSError:  # it has ended
                continue
        raise LookupError(f"{self.name} has no process")

    def process_status(self) -> dict[str, str]:
        """Return what the kernel says of its process, see proc_pid_status(5)."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        pairs = (line.partition(":") for line in text.splitlines())
        return {name: " ".join(value.split()) for name, _, value in pairs}


class Deployed:
    """The operator's Deployment on a cluster."""

    def __init__(self, api_server: ApiServer) -> None:
        self._api_server = api_server

    def apply(self, folder: Path = DEPLOY / "default") -> str:
        """Apply a folder, by default as shipped, and return when it is rolled out; return what kubectl warned of."""
        answer = self._api_server.kubectl("apply", f"--kustomize={folder}")
        self.wait_rolled_out()
        return answer.stderr

    def restart(self) -> None:
        """Replace every Pod, and return when that is done."""
        self.kubectl("rollout", "restart", DEPLOYMENT)
        self.wait_rolled_out()

    def wait_rolled_out(self) -> None:
        """Wait until the Deployment's Pods are those that it describes, there are no others, and one of them leads.

        Raises:
            RolloutFailed: the new Pods do not become ready, or none of them leads.
        """
        try:
            self.kubectl("rollout", "status", DEPLOYMENT, "--timeout=90s")
        except KubectlError as error:
            logs = self.kubectl("logs", _SELECTOR, "--tail=5", "--prefix")
            raise RolloutFailed("\n".join([str(error), *self.warnings(), logs])) from error
        self._wait_for_others_to_go()
        deadline = time.monotonic() + _LEADER_SECONDS
        while not self._leaders():
            if time.monotonic() > deadline:
                raise RolloutFailed(f"the Lease is held by {self.holder() or 'nobody'}, which is no Pod")
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - the pause of a poll with a deadline

    def pods(self) -> list[Pod]:
        """Return the Pods that are there to stay."""
        return [Pod.parse(body) for body in self._bodies() if "deletionTimestamp" not in body["metadata"]]

    def holder(self) -> str:
        """Return the identity of the process that holds the Lease."""
        return self.kubectl("get", LEASE, "--ignore-not-found", "--output=jsonpath={.spec.holderIdentity}")

    def leader(self) -> Pod:
        """Return the Pod whose process holds the Lease; there is one once it is rolled out."""
        (leader,) = self._leaders()
        return leader

    def warnings(self) -> list[str]:
        """Return reason and note of every Warning event in the operator's namespace, but for those on Pods that go.

        The kubelet probes a Pod's readiness while it ends, too.
        """
        found = json.loads(self.kubectl("get", "events", "--field-selector=type=Warning", "--output=json"))
        staying = {pod.name for pod in self.pods()}
        return [
            f"{event['involvedObject']['name']}: {event['reason']}: {event['message']}"
            for event in found["items"]
            if event["involvedObject"]["kind"] != "Pod" or event["involvedObject"]["name"] in staying
        ]

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the operator's namespace; return what it prints."""
        return self._api_server.kubectl(*arguments, f"--namespace={NAMESPACE}", timeout=120).stdout

    def _wait_for_others_to_go(self) -> None:
        gone = [pod["metadata"]["name"] for pod in self._bodies() if "deletionTimestamp" in pod["metadata"]]
        if gone:
            self.kubectl("wait", "--for=delete", "--timeout=60s", *(f"pod/{name}" for name in gone))

    def _leaders(self) -> list[Pod]:
        name = self.holder().rpartition("_")[0]
        return [pod for pod in self.pods() if pod.name == name]

    def _bodies(self) -> list[dict[str, Any]]:
        return list(json.loads(self.kubectl("get", "pods", _SELECTOR, "--output=json"))["items"])


def overlay(folder: Path, arguments: Sequence[str], cloud_ca: str) -> Path:
    """Write an overlay of the shipped manifests with arguments, and with a CA for the Cloud API; return its folder."""
    (folder / "ca.crt").write_text(cloud_ca, encoding="ascii")
    container = {
        "name": "operator",
        "args": [*arguments, f"--cloud-ca={_MOUNTED}/ca.crt"],
        "volumeMounts": [{"name": "cloud-ca", "mountPath": _MOUNTED, "readOnly": True}],
    }
    pods = {"containers": [container], "volumes": [{"name": "cloud-ca", "configMap": {"name": "cloud-ca"}}]}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bek-operator"},
        "spec": {"template": {"spec": pods}},
    }
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(DEPLOY / "default", folder)],
        "configMapGenerator": [{"name": "cloud-ca", "files": ["ca.crt"]}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder
