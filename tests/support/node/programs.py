"""The programs of a node: Kubernetes' own, built once, and those that this machine must have."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.binaries import built_once
from support.programs.gobuild import GoBuild, kubernetes_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = GoBuild(
    name="node",
    module="k8s.io/kubernetes",
    packages={
        **{name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kube-scheduler", "kube-controller-manager")},
        "pause": "./pause",
    },
    flags=kubernetes_flags,
    remedies="leave out the test on a node",
)

_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""The programs of this machine, and the Debian package that has each."""

_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_CNI_PLUGINS = ("bridge", "host-local", "loopback")
# A user's PATH may lack them.
_FOR_ROOT = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrograms:
    """Where Kubernetes' programs of a node are."""

    kubelet: Path
    kube_scheduler: Path
    kube_controller_manager: Path
    pause: Path


def ensure_node() -> NodePrograms:
    """Return Kubernetes' programs of a node, from the cache or freshly built.

    Raises:
        BuildError: they had to be built and could not be.
    """
    folder = built_once(NODE)
    return NodePrograms(**{name.replace("-", "_"): folder / name for name in NODE.packages})


def missing_programs() -> Iterator[str]:
    """Name every program that this machine lacks, and the Debian package that has it."""
    for name, package in _PACKAGES.items():
        if _found(name) is None:
            yield f"{name} (Debian's package {package})"
    if _cni_folder() is None:
        yield f"the CNI plugins {', '.join(_CNI_PLUGINS)} (Debian's package containernetworking-plugins)"


def program(name: str) -> str:
    """Return the path of one of this machine's programs.

    Raises:
        LookupError: this machine has none.
    """
    found = _found(name)
    if found is None:
        raise LookupError(f"there is no {name} on this machine")
    return found


def cni_folder() -> Path:
    """Return the folder of this machine's CNI plugins.

    Raises:
        LookupError: this machine has none.
    """
    found = _cni_folder()
    if found is None:
        raise LookupError("there are no CNI plugins on this machine")
    return found


def search_path() -> str:
    """Return where programs are looked for: the user's PATH, and what is in it for root."""
    return f"{os.environ.get('PATH', os.defpath)}:{_FOR_ROOT}"


def _found(name: str) -> str | None:
    return shutil.which(name, path=search_path())


def _cni_folder() -> Path | None:
    complete = (folder for folder in _CNI_FOLDERS if all((folder / name).is_file() for name in _CNI_PLUGINS))
    return next(complete, None)
