"""What is released tomorrow changes nothing: every place that installs a lock takes what the lock names."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import pips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
PIPS = ("requirements-pip-oldest.txt", "requirements-pip-newest.txt")

# What each package asks for. `suite` is asked for by us, the others by it: plainly, with an extra, by a marker.
ASKS = {
    "suite": ("plain>=1", "measure[toml]>=1", 'backport>=1 ; python_version >= "3"'),
    "plain": (),
    "measure": ('tomlish>=1 ; extra == "toml"',),
    "tomlish": (),
    "backport": (),
    "backend": ("shared>=1",),
    "shared": (),
}
BUILD = ("backend", "shared")
# Releases of today and of tomorrow, among them a mere repair of today's metadata.
RELEASES = ("1.0", "1.0.post1", "1.1", "2.0")


@dataclass(frozen=True)
class Index:
    """A folder of wheels that pip can be pointed at, and the lock of today."""

    folder: Path
    hashes: Mapping[str, str]

    def lock(self, names: Sequence[str]) -> str:
        """Return a requirements file that pins some packages to today's release."""
        return "".join(f"{name}==1.0 --hash=sha256:{self.hashes[name]}\n" for name in names)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a machine for which there is no index but this one."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "PIP_NO_CACHE_DIR": "1",
        }


def put_wheel(folder: Path, name: str, version: str) -> str:
    """Write a wheel that has one empty module; return its digest in hexadecimal."""
    described = f"{name}-{version}.dist-info"
    extras = ["Provides-Extra: toml"] if name == "measure" else []
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *extras]
    files = {
        f"{name}.py": "",
        f"{described}/METADATA": "\n".join([*metadata, *(f"Requires-Dist: {required}" for required in ASKS[name]), ""]),
        f"{described}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{described}/RECORD": f"{record}{described}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Provide an index that has newer releases of every package than the lock of today."""
    folder = tmp_path_factory.mktemp("index")
    made = {(name, version): put_wheel(folder, name, version) for name in ASKS for version in RELEASES}
    return Index(folder, {name: made[name, "1.0"] for name in ASKS})


@pytest.fixture(params=PIPS, ids=["the oldest pip", "the newest pip"])
def pip(request: pytest.FixtureRequest) -> Path:
    """Provide the wheel of a pip, which runs as it is."""
    return pips.wheel(ROOT / request.param)


@pytest.fixture
def checkout(index: Index, tmp_path: Path) -> Path:
    """Provide a project with our Makefile and Dockerfile, and packages of its own in the requirements files."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "Dockerfile"):
        shutil.copy(ROOT / name, folder)
    ours = [name for name in ASKS if name not in BUILD]
    (folder / "requirements-build.txt").write_text(index.lock(BUILD), encoding="ascii")
    (folder / "requirements-dev.txt").write_text(index.lock([*ours, "shared"]), encoding="ascii")
    (folder / "requirements.txt").write_text(index.lock(ours), encoding="ascii")
    return folder


def put_environment(folder: Path, pip: Path) -> Path:
    """Make a virtual environment that has a certain pip; return its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], os.environ)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(pip) as archive:
        archive.extractall(packages)
    return folder / "bin" / "python"


def run(command: Sequence[str], env: Mapping[str, str], folder: Path | None = None) -> str:
    """Run a program that must succeed; return all that it said."""
    done = subprocess.run(
        list(command),
        env=dict(env),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def installed(python: Path) -> dict[str, str]:
    """Return the versions of the test's packages that an environment has."""
    names = [
        path.name.removesuffix(".dist-info") for path in python.parents[1].glob("lib/python*/site-packages/*.dist-info")
    ]
    return {name: version for name, _, version in (one.partition("-") for one in names) if name in ASKS}


def test_make_installs_what_the_lock_names(checkout: Path, index: Index, pip: Path) -> None:
    """A clone of today gets the packages of today, whatever is released since."""
    environment = checkout / "venv"
    choices = [f"VENV={environment}", f"PYTHON={sys.executable}", f"PIP={environment}/bin/python {pip}/pip"]

    run(["make", *choices, f"{environment}/.requirements"], index.env, checkout)

    assert installed(environment / "bin" / "python") == dict.fromkeys(ASKS, "1.0")


def test_the_image_gets_what_the_lock_names(checkout: Path, index: Index, pip: Path) -> None:
    """So does an image that is built tomorrow, in the stage that builds and in what is shipped."""
    system = put_environment(checkout / "system", pip)
    put_environment(checkout / "opt" / "bek-operator", pip)
    (system.parent / "pip").write_text(f'#!/bin/sh\nexec {system} -m pip "$@"\n', encoding="ascii")
    (system.parent / "pip").chmod(0o755)
    text = (checkout / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [step for step in re.findall(r"^RUN (.+)$", text, re.MULTILINE) if "--requirement" in step]
    env = {**index.env, "PATH": f"{system.parent}:{index.env['PATH']}"}

    for step in steps:
        run(["sh", "-ec", step.replace("/opt/", f"{checkout}/opt/")], env, checkout)

    assert len(steps) == 2
    assert installed(system) == dict.fromkeys(BUILD, "1.0")
    shipped = installed(checkout / "opt" / "bek-operator" / "bin" / "python")
    assert shipped == dict.fromkeys(set(ASKS) - set(BUILD), "1.0")


def test_the_kit_installs_what_the_lock_names(checkout: Path, index: Index, pip: Path) -> None:
    """So does the one place that installs while tests or demo are under way."""
    python = put_environment(checkout / "environment", pip)

    run(pips.install(checkout / "requirements-dev.txt", str(python)), index.env, checkout)

    assert installed(python) == dict.fromkeys(set(ASKS) - {"backend"}, "1.0")
