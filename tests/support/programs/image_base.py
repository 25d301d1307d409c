"""A base for the image, made of Debian's packages by debootstrap: for tests where no registry of images is reached.

It has what the Dockerfile expects of its base, `python` and a new pip, and trusts the authorities that this machine
trusts. The Python is the one of that Debian, so not always the patch release that the Dockerfile names.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs import pips
from support.programs.cache import cache_root, make_once
from support.programs.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PIP = Path(__file__).parents[3] / "requirements-pip-newest.txt"
_DOCKERFILE = "FROM scratch\nADD rootfs.tar /\n"
_PACKAGES = "ca-certificates,python3"
_AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
# Devices come from whoever runs the image; packages and their documentation are of no use there.
_LEFT_OUT = (
    "dev/*",
    "tmp/*",
    "usr/share/doc/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/*",
    "var/lib/apt/lists/*",
)


class BaseError(Exception):
    """The base could not be made; the message says why."""


def fault() -> str:
    """Return why no base can be made here; empty if it can."""
    if os.geteuid() != 0:
        return "A base can be made by root only; name one that is there or can be pulled: BASE=…"
    if shutil.which("debootstrap") is None:
        return "A base is made by debootstrap, which is not installed; or name one: BASE=…"
    return ""


def suite_of(dockerfile: str) -> str:
    """Return the Debian that the Dockerfile's own base is made of, such as "trixie"."""
    (suite,) = re.findall(r"^ARG BASE=\S+-slim-([a-z]+)", dockerfile, re.MULTILINE)
    return str(suite)


def made(suite: str, env: Mapping[str, str] = os.environ) -> Path:
    """Return a folder with a Dockerfile of the base, made once; it takes a minute.

    Raises:
        BaseError: it could not be made.
    """
    authorities = Path(ssl.get_default_verify_paths().cafile or "/dev/null").read_bytes()
    inputs = [_DOCKERFILE, _PACKAGES, *_LEFT_OUT]
    digest = sha256(b"\0".join([*map(str.encode, inputs), _PIP.read_bytes(), authorities])).hexdigest()[:12]
    folder = cache_root(env) / f"image-base-{suite}-{digest}"
    try:
        make_once(folder, lambda into: _make(into, suite, authorities, env))
    except subprocess.CalledProcessError as error:
        said = "\n".join(str(error.output).splitlines()[-15:])
        raise BaseError(f"{error.cmd[0]} failed while the base was made:\n{said}") from error
    return folder


def _make(into: Path, suite: str, authorities: bytes, env: Mapping[str, str]) -> None:
    root = into / "root"
    with progress(f"making a base of Debian {suite}'s packages, once"):
        _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(root)])
        (root / _AUTHORITIES).write_bytes(authorities)
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()  # Debian's own pip is not here, and would refuse to be upgraded
        wheel = Path(shutil.copy(pips.wheel(_PIP, env), root / "opt"))
        pip = f"/opt/{wheel.name}"
        _run(["chroot", str(root), "python", f"{pip}/pip", "install", "--no-index", "--no-deps", "--no-compile", pip])
        (root / "opt" / wheel.name).unlink()
        without = [f"--exclude=./{one}" for one in _LEFT_OUT]
        _run(["tar", "--create", f"--file={into}/rootfs.tar", "--numeric-owner", *without, f"--directory={root}", "."])
    shutil.rmtree(root)
    (into / "Dockerfile").write_text(_DOCKERFILE, encoding="ascii")


def _run(command: Sequence[str]) -> None:
    """Run a program as root in a mount namespace of its own, so that no mount of debootstrap's outlives it."""
    subprocess.run(
        ["unshare", "--mount", "--fork", "--kill-child", *command],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
