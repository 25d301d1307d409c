"""Overlays over what is in `deploy/`, written as users write them and built by the real kubectl."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.programs.binaries import packaged_kubectl

if TYPE_CHECKING:
    from collections.abc import Iterable

Body = dict[str, Any]

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPONENTS = DEPLOY / "components"

BUILDS = {
    "default": DEPLOY / "default",
    "namespaced": DEPLOY / "namespaced",
    "shards": DEPLOY / "examples" / "shards",
}
"""Everything that installs the operator."""


def overlay(folder: Path, *resources: Path, components: Iterable[Path] = (), **more: Any) -> Path:
    """Write a kustomization over others into a folder, with more of its members; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "resources": [_from(folder, one) for one in resources],
        "components": [_from(folder, one) for one in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def build(folder: Path) -> list[Body]:
    """Return the objects of a kustomization."""
    text = subprocess.run(
        [str(packaged_kubectl()), "kustomize", str(folder)], capture_output=True, text=True, check=True
    ).stdout
    return [body for body in yaml.safe_load_all(text) if body]


def _from(folder: Path, other: Path) -> str:
    return os.path.relpath(other.resolve(), folder.resolve())
