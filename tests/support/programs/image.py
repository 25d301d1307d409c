"""Build the operator's image with docker, podman or buildah, whichever is there and works.

`python -m support.programs.image build` is `make image`. Everything here needs the standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import image_base
from support.programs.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[3]
INPUTS_LABEL = "dev.bek.inputs"
"""The label of an image that tells what it was built from."""

_WORKS = {"docker": "version", "podman": "info", "buildah": "info"}
"""A command of each program that succeeds only if it can work: docker's asks its daemon."""
_RUNS = ("docker", "podman")
# Id and labels.
_INSPECTS = {
    "docker": "{{.Id}} {{.Config.Labels}}",
    "podman": "{{.Id}} {{.Labels}}",
    "buildah": "{{.FromImageID}} {{.OCIv1.Config.Labels}}",
}


class ImageError(Exception):
    """An image cannot be built here, or could not; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that builds images; docker and podman also run them."""

    name: str

    def build(self, folder: Path, reference: str, *arguments: str) -> None:
        """Build a folder's Dockerfile under a name, with output to standard error, and without leftovers.

        Raises:
            ImageError: it failed.
        """
        # Not in containers of their own: a machine that is itself confined can't make these.
        confined = () if self.name == "docker" else ("--isolation=chroot", "--layers=false")
        before = self.inspect(reference)
        command = [self.name, "build", *confined, "--tag", reference, *arguments, str(folder)]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise ImageError(f"{reference} could not be built: {self.name} says why above.")
        if before and before.split()[0] != self.inspect(reference).split()[0]:
            self.run("rmi", before.split()[0], check=False)  # it has lost its name, and stays only if it is in use

    def inspect(self, reference: str) -> str:
        """Return id and labels of an image, separated by a space; empty for one that is not here."""
        answer = self.run("inspect", "--type=image", f"--format={_INSPECTS[self.name]}", reference, check=False)
        return "" if answer.returncode else answer.stdout

    def save(self, reference: str, archive: Path) -> None:
        """Write an image into a docker-archive, the format of `docker save`, which containerd and all engines load.

        Raises:
            ImageError: it failed.
        """
        archive.unlink(missing_ok=True)  # podman and buildah add to one that is there
        if self.name == "buildah":
            self.run("push", reference, f"docker-archive:{archive}:{reference}")
        else:
            form = ("--format=docker-archive",) if self.name == "podman" else ()
            self.run("save", *form, f"--output={archive}", reference)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the program itself, without showing what it says.

        Raises:
            ImageError: it failed, and `check` is on.
        """
        answer = subprocess.run([self.name, *arguments], capture_output=True, text=True, check=False)
        if check and answer.returncode:
            raise ImageError(f"{self.name} {' '.join(arguments)} failed: {answer.stderr.strip()}")
        return answer


def find_engine(*, runs: bool = False) -> Engine:
    """Return the first program that works; with `runs` one that can also run images.

    Raises:
        ImageError: there is none; the message says what is wrong with each, and what to do.
    """
    names = _RUNS if runs else tuple(_WORKS)
    found = {name: _fault(name) for name in names}
    for name, fault in found.items():
        if not fault:
            return Engine(name)
    faults = "".join(f"\n  {name}: {fault}" for name, fault in found.items())
    what = "built and run by docker or podman" if runs else "built by docker, podman or buildah"
    raise ImageError(
        f"An image is {what}, and none of them works here.{faults}\n"
        f"Install one (Debian and Ubuntu: apt-get install {names[-1]} runc), or start docker's daemon."
    )


def _fault(name: str) -> str:
    """Return why a program can't be used; empty if it can."""
    if shutil.which(name) is None:
        return "is not installed"
    answer = subprocess.run([name, _WORKS[name]], capture_output=True, text=True, check=False)
    return "" if answer.returncode == 0 else (answer.stderr.strip().splitlines() or ["fails"])[-1]


def version() -> str:
    """Return the project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def shipped_reference() -> str:
    """Return the whole name of the image that the manifests name, which containerd looks for."""
    return f"docker.io/library/bek-operator:{version()}"


def build(engine: Engine, reference: str, base: str = "", *labels: str) -> None:
    """Build the image under a name, over a base or, without one, over the Dockerfile's.

    Raises:
        ImageError: it failed.
    """
    chosen = ("--build-arg", f"BASE={base}") if base else ()
    engine.build(ROOT, reference, *chosen, *labels)


def base(engine: Engine, env: Mapping[str, str] = os.environ) -> str:
    """Return the name of a base that is here or can be pulled, for tests: BASE, if it is set.

    Otherwise, where debootstrap and root are there, it is made of Debian's packages once, so that no registry of images
    is needed; and elsewhere it is the Dockerfile's (an empty name).

    Raises:
        ImageError: it could not be made.
    """
    if env.get("BASE"):
        return env["BASE"]
    if image_base.fault():
        return ""
    suite = image_base.suite_of((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    try:
        folder = image_base.made(suite, env)
    except image_base.BaseError as error:
        raise ImageError(str(error)) from error
    reference = f"localhost/bek-operator-base:{folder.name}"
    if not engine.inspect(reference):
        with progress(f"importing {reference}"):
            engine.build(folder, reference)
    return reference


def image(engine: Engine, env: Mapping[str, str] = os.environ) -> str:
    """Return the name of the image of this source, for tests; it is built unless it is here already.

    Raises:
        ImageError: it could not be built.
    """
    reference, under = shipped_reference(), base(engine, env)
    inputs = sha256(b"\0".join([under.encode(), *_inputs()])).hexdigest()
    if inputs not in engine.inspect(reference):
        with progress(f"building {reference}"):
            build(engine, reference, under, "--label", f"{INPUTS_LABEL}={inputs}")
    return reference


def _inputs() -> Iterator[bytes]:
    """Yield names and contents of all that an image is built from: what .dockerignore lets in, and itself."""
    listed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in ["Dockerfile", ".dockerignore", *(one[1:] for one in listed if one.startswith("!"))]:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(ROOT)).encode()
                yield file.read_bytes()


def main(arguments: Sequence[str], env: Mapping[str, str] = os.environ) -> int:
    """Carry out one of the commands below."""
    try:
        (command,) = arguments
        sys.stdout.write(COMMANDS[command](env))
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _build_command(env: Mapping[str, str]) -> str:
    reference = env.get("IMAGE") or f"bek-operator:{version()}"
    build(find_engine(), reference, env.get("BASE", ""))
    return f"{reference}\n"


def _base_command(env: Mapping[str, str]) -> str:
    if fault := image_base.fault():
        raise ImageError(fault)
    return f"{base(find_engine(), {**env, 'BASE': ''})}\n"


def _runs_command(_: Mapping[str, str]) -> str:
    find_engine(runs=True)
    return ""


COMMANDS = {"build": _build_command, "base": _base_command, "runs": _runs_command}
"""Build IMAGE over BASE; make a base without a registry, and print its name; fail where images can't be run."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
