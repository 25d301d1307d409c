"""The cgroups of a node's Pods: one of our own in every hierarchy, below which the kubelet makes the rest."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

_REMOVAL_SECONDS = 10.0
_POLL_SECONDS = 0.05
# A new cpuset is empty, and takes no process.
_INHERITED = ("cpuset.cpus", "cpuset.mems")
# The largest: on a busy machine all Pods together would have the part of one other process, and start too late.
_PARTS = {"cpu.shares": "262144", "cpu.weight": "10000"}


class Cgroups:
    """Cgroups of one name, used as a context manager; what is below them is removed with them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folders = [hierarchy / name for hierarchy in _hierarchies()]

    def __enter__(self) -> Self:
        """Make them.

        Raises:
            OSError: this user or this machine can't.
        """
        try:
            for folder in self._folders:
                _let_have_controllers(folder.parent)
                folder.mkdir()
                for setting in _INHERITED:
                    _inherit(folder, setting)
                for setting, part in _PARTS.items():
                    if (folder / setting).exists():
                        (folder / setting).write_text(part, encoding="ascii")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them."""
        self.remove()

    def remove(self) -> None:
        """Remove them; the processes in them were killed, and are gone in an instant.

        Raises:
            OSError: there are still processes in one of them.
        """
        deadline = time.monotonic() + _REMOVAL_SECONDS
        for folder in self._folders:
            while folder.exists():
                try:
                    _remove(folder)
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_SECONDS)  # noqa: TID251 - the pause of a poll with a deadline


def refusal() -> str:
    """Return why this machine does not let us make cgroups; empty if it does."""
    if not _hierarchies():
        return "cgroups are not mounted"
    try:
        with Cgroups(f"bek-node-probe-{os.getpid()}"):
            return ""
    except OSError as error:
        return f"cgroups cannot be made: {error}"


def _hierarchies() -> list[Path]:
    """Return where the hierarchies are mounted, of either version of cgroups."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def _let_have_controllers(above: Path) -> None:
    """With version 2 of cgroups, let those below one have every controller that it has: the kubelet wants them."""
    control = above / "cgroup.subtree_control"
    if control.exists():
        found = (above / "cgroup.controllers").read_text(encoding="ascii").split()
        control.write_text(" ".join(f"+{controller}" for controller in found), encoding="ascii")


def _inherit(folder: Path, setting: str) -> None:
    file, above = folder / setting, folder.parent / setting
    if file.exists() and above.exists() and not file.read_text(encoding="ascii").strip():
        file.write_text(above.read_text(encoding="ascii"), encoding="ascii")


def _remove(folder: Path) -> None:
    """Remove a cgroup and those below it; what is in their folders are no files that could be deleted."""
    for below in folder.iterdir():
        if below.is_dir():
            _remove(below)
    with suppress(FileNotFoundError):
        folder.rmdir()
