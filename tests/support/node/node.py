"""A cluster of one node: the control plane of the tests, a kubelet, and what else makes Pods run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.cluster import servers
from support.cluster.apiserver import ApiServer, KubectlError
from support.node import configuration
from support.node.namespaces import ADDRESS, BRIDGE, INSIDE
from support.node.programs import NodePrograms, program, search_path
from support.programs.processes import tail

if TYPE_CHECKING:
    from support.tls import Certificate

NAMES = (servers.HOST, servers.OWN_SERVICE)
"""What a certificate of the API server must be for: its clients on the node, and those in Pods."""

_NAME = "node"


class NodeFailed(Exception):
    """The node did not become ready; the message ends with what its programs said last."""


class Node:
    """A cluster, used as a context manager inside of a node's namespaces, beside a container runtime.

    Attributes:
        api_server: Its API server; all other programs end with it.
    """

    def __init__(self, programs: NodePrograms, certificate: Certificate) -> None:
        self._programs = programs
        # The node's name cannot be resolved.
        self.api_server = ApiServer(certificate=certificate, flags=["--kubelet-preferred-address-types=InternalIP"])

    def __enter__(self) -> Self:
        """Start everything, and return when the node is ready for Pods.

        Raises:
            ApiServerError: the API server did not come up.
            NodeFailed: the node did not.
        """
        self.api_server.start()
        try:
            _lead_pods_to(*self.api_server.address)
            self._start_controllers()
            self._start_kubelet()
            self._wait_ready()
        except BaseException:
            self.api_server.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything but the containers, which end with the namespaces."""
        self.api_server.stop()

    def _start_controllers(self) -> None:
        folder, keeper = self.api_server.folder, self.api_server.keeper
        common = [f"--kubeconfig={folder}/admin.kubeconfig", "--leader-elect=false", "--secure-port=0"]
        keeper.spawn("kube-scheduler", [str(self._programs.kube_scheduler), *common])
        keeper.spawn(
            "kube-controller-manager",
            [
                str(self._programs.kube_controller_manager),
                *common,
                f"--root-ca-file={self.api_server.ca_file}",
                f"--service-account-private-key-file={folder}/service-accounts.key",
            ],
        )

    def _start_kubelet(self) -> None:
        folder, keeper = self.api_server.folder, self.api_server.keeper
        settings = folder / "kubelet.yaml"
        settings.write_text(configuration.kubelet(folder / "kubelet", Path(os.environ[INSIDE]).name), encoding="utf-8")
        command = [
            str(self._programs.kubelet),
            f"--config={settings}",
            f"--kubeconfig={folder}/admin.kubeconfig",
            f"--root-dir={folder}/kubelet",
            f"--cert-dir={folder}/kubelet/pki",
            f"--hostname-override={_NAME}",
            f"--node-ip={ADDRESS}",
        ]
        keeper.spawn("kubelet", command, env={"PATH": search_path()})

    def _wait_ready(self) -> None:
        try:
            for condition in ("create", "condition=Ready"):
                self.api_server.kubectl("wait", f"--for={condition}", f"node/{_NAME}", "--timeout=50s")
        except KubectlError as error:
            names = ("kubelet", "kube-controller-manager")
            said = "\n".join(f"{name}:\n{tail(self.api_server.keeper.log(name))}" for name in names)
            raise NodeFailed(f"{error}\n{said}") from error


def _lead_pods_to(host: str, port: int) -> None:
    """Lead connections from Pods to the API server's Service on to the API server, as kube-proxy would."""
    iptables = [program("iptables"), "--wait", "--table", "nat"]
    rule = f"--in-interface {BRIDGE} --destination {servers.OWN_SERVICE} --protocol tcp --dport 443"
    target = ["--jump", "DNAT", "--to-destination", f"{host}:{port}"]
    subprocess.run([*iptables, "--flush", "PREROUTING"], check=True)
    subprocess.run([*iptables, "--append", "PREROUTING", *rule.split(), *target], check=True)
