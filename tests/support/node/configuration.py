"""What containerd, its network and the kubelet are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from support.node.namespaces import ADDRESS, BRIDGE, NETWORK
from support.node.programs import cni_folder

if TYPE_CHECKING:
    from pathlib import Path

SANDBOX_IMAGE = "bek.dev/pause:1"
SOCKET = "/run/containerd/containerd.sock"


def containerd(folder: Path, networks: Path) -> str:
    """Return containerd's configuration.

    Args:
        folder: Where it keeps images and containers.
        networks: The folder with the network's configuration.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{folder}"
state = "/run/containerd"

[grpc]
address = "{SOCKET}"

[{cri}]
sandbox_image = "{SANDBOX_IMAGE}"
# Where root lacks the capability to lower a process's score.
restrict_oom_score_adj = true

[{cri}.cni]
bin_dir = "{cni_folder()}"
conf_dir = "{networks}"

[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def network() -> str:
    """Return the configuration of the Pods' network: a bridge, which is the node, too."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "bek", "plugins": [bridge]})


def kubelet(folder: Path, cgroup: str) -> str:
    """Return the kubelet's configuration.

    Args:
        folder: For what it writes.
        cgroup: The cgroup of all Pods.
    """
    signals = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")
    content: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        # Only what is in the same namespaces can call it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # There are no names to resolve, but without a server each Pod gets a Warning event.
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "volumePluginDir": str(folder / "plugins"),
        # A machine whose disk is full does not evict the Pods, nor delete their image.
        "evictionHard": dict.fromkeys(signals, "0%"),
        "imageGCHighThresholdPercent": 100,
        "healthzPort": 0,
    }
    return yaml.safe_dump(content, sort_keys=False)
