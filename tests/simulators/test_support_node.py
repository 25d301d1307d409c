"""What is made for a real node without one: its image of a sandbox, and what a machine lacks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from support.node.archives import pack

ROOT = Path(__file__).parents[2]


def run_without_programs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests on a node where PATH leads nowhere."""
    env = {**os.environ, "PATH": "/nonexistent", "PYTHONPATH": "operator:tests:."}
    command = [sys.executable, "-m", "support.node", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_a_machine_that_lacks_programs_is_told_which() -> None:
    """Each with the package that has it; the tests fail then."""
    answer = run_without_programs()

    assert answer.returncode == 1
    assert "  containerd (Debian's package containerd)\n" in answer.stderr
    assert "  unshare (Debian's package util-linux)\n" in answer.stderr
    assert answer.stdout == ""


def test_the_gate_skips_what_a_machine_has_no_programs_for() -> None:
    """It is told the same, and goes on."""
    answer = run_without_programs("--or-skip")

    assert answer.returncode == 0
    assert answer.stdout.startswith("make node-test: SKIPPED. ")
    assert "  containerd (Debian's package containerd)\n" in answer.stdout


def test_a_program_is_packed_into_an_image(tmp_path: Path) -> None:
    """Its one layer has the digest that its configuration tells, and the program in it can be run."""
    (tmp_path / "pause").write_bytes(b"#!")

    pack(tmp_path / "pause", "bek.dev/pause:1", tmp_path / "pause.tar")

    with tarfile.open(tmp_path / "pause.tar") as archive:
        content = {member.name: read(archive, member.name) for member in archive.getmembers()}
    (manifest,) = json.loads(content["manifest.json"])
    configuration = json.loads(content[manifest["Config"]])
    (layer,) = manifest["Layers"]
    assert manifest["RepoTags"] == ["bek.dev/pause:1"]
    assert configuration["config"] == {"Entrypoint": ["/pause"]}
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{sha256(content[layer]).hexdigest()}"]
    (tmp_path / "layer.tar").write_bytes(content[layer])
    with tarfile.open(tmp_path / "layer.tar") as packed:
        assert [(member.name, member.mode) for member in packed.getmembers()] == [("pause", 0o755)]


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """Return the content of a member."""
    file = archive.extractfile(name)
    if file is None:
        pytest.fail(f"{name} is no file")
    return file.read()
