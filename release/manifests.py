"""The manifests of a release: what `kubectl kustomize` makes of our folders, with the released image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from release.notes import ReleaseError
from support.programs.binaries import packaged_kubectl

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "install.yaml": ROOT / "deploy" / "default",
    "install-namespaced.yaml": ROOT / "deploy" / "namespaced",
    "crds.yaml": ROOT / "crds",
}
"""What each file is made from."""

IMAGE = "bek-operator"
"""How deploy/ calls the image."""

# https://github.com/distribution/reference: a host with a port, or none, and a path; neither tag nor digest.
_REPOSITORY = re.compile(r"([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def render(repository: str, version: str, into: Path) -> list[Path]:
    """Write every manifest into a folder, with the image `repository:version`; return the files.

    Raises:
        ReleaseError: That is not the name of an image's repository.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ReleaseError(f"{repository!r} is not the repository of an image, in small letters and without a tag")
    into.mkdir(parents=True, exist_ok=True)
    return [_write(into / name, _build(folder, repository, version)) for name, folder in FOLDERS.items()]


def _build(folder: Path, repository: str, version: str) -> str:
    with tempfile.TemporaryDirectory() as overlay:
        image = {"name": IMAGE, "newName": repository, "newTag": version}
        # kustomize takes no absolute path. What it reads is YAML, so JSON as well.
        kustomization = {"resources": [os.path.relpath(folder, Path(overlay).resolve())], "images": [image]}
        (Path(overlay) / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
        command = [str(packaged_kubectl()), "kustomize", overlay]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file
