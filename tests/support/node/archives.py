"""The sandbox's image, packed as `docker save` packs one; no registry and no builder of images is needed."""

from __future__ import annotations

import io
import json
import platform
import tarfile
from hashlib import sha256
from typing import TYPE_CHECKING

from support.programs.gobuild import GO_NAMES

if TYPE_CHECKING:
    from pathlib import Path


def pack(program: Path, name: str, into: Path) -> None:
    """Write an image that holds nothing but one static program, which it runs."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, program.name, program.read_bytes(), mode=0o755)
    machine = platform.machine()
    configuration = {
        "architecture": GO_NAMES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer.getvalue()).hexdigest()}"]},
        "history": [{}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(into, mode="w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "config.json", json.dumps(configuration).encode())
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
