"""Install locked packages, and fetch the pips that tests install them with."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from support.programs.cache import cache_root, make_once

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What the Makefile says, too: a lock is complete, so it is installed and never resolved again.
_LOCKED = ("--no-deps", "--only-binary", ":all:", "--require-hashes")


def install(lock: Path, python: str = sys.executable) -> list[str]:
    """Return the command that installs what a lock names into the environment of a Python."""
    return [python, "-m", "pip", "install", "--disable-pip-version-check", *_LOCKED, f"--requirement={lock}"]


def wheel(lock: Path, env: Mapping[str, str] = os.environ) -> Path:
    """Return the wheel of the one package that a lock names, from the cache, or downloaded into it once.

    Raises:
        CalledProcessError: it could not be downloaded; pip has told why on standard error.
    """
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = cache_root(env) / f"{lock.stem.removeprefix('requirements-')}-{digest}"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", *_LOCKED]

    def download(into: Path) -> None:
        subprocess.run([*pip, f"--dest={into}", f"--requirement={lock}"], env=env, check=True)

    make_once(folder, download)
    (found,) = folder.glob("*.whl")
    return found
