"""The version before this one: the last release, or the last commit as long as there is none."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("operator", "crds", "deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The parts of a version that are installed, in a folder as in this one."""

    name: str
    folder: Path

    @property
    def source(self) -> Path:
        """The folder that its package is imported from."""
        return self.folder / "operator"

    @property
    def crd(self) -> Path:
        """Its CustomResourceDefinition."""
        return self.folder / "crds" / "businessencryptionkeys.bek.dev.yaml"

    @property
    def manifests(self) -> Path:
        """What its users apply."""
        return self.folder / "deploy" / "default"


THIS = Version(name="this version itself: no earlier commit is here", folder=ROOT)


def previous_version(into: Path, repository: Path = ROOT) -> Version:
    """Unpack the version before this one into a folder.

    A shallow clone or an archive has none. Then it is this one: an upgrade is a restart, and changes nothing either.
    """
    revision = previous_revision(repository)
    if revision is None:
        return THIS
    archive = into / "previous.tar"
    _run(repository, "git", "archive", f"--output={archive}", revision, *PARTS)
    _run(into, "tar", "--extract", f"--file={archive}")
    return Version(name=revision, folder=into)


def previous_revision(repository: Path) -> str | None:
    """Return the tag of the last release before the last commit, or the commit before it; `None` if neither is here."""
    for command in (
        ("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD~1"),
        ("rev-parse", "--verify", "--quiet", "--short", "HEAD~1"),
    ):
        try:
            return _run(repository, "git", *command).strip()
        except (OSError, subprocess.CalledProcessError):
            continue
    return None


def _run(folder: Path, *command: str) -> str:
    # An archive of ours that was unpacked inside of another repository is not a part of it.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout
