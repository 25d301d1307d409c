"""The kustomizations that the page on GitOps shows, built as they are written.

The repository that they name is this one, which git is told to find on disk.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import keys
from support.documents import fences
from support.programs.binaries import packaged_kubectl

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "gitops.md").read_text(encoding="utf-8")
GENERATED, ARGO_CD, PATCHED = (yaml.safe_load(text) for text in fences(PAGE, "yaml"))


class Builder:
    """A folder for kustomizations, in which the addresses of the page lead to a copy of this repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        copy = folder / "copy"
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
        (folder / ".gitconfig").write_text(
            f'[user]\nname = x\nemail = x@example.com\n[url "file://{copy}"]\n'
            "insteadOf = https://git.example.com/platform/bek-operator\n",
            encoding="utf-8",
        )
        self._git("init", "--quiet", "--initial-branch=main", str(copy))
        for name in ("crds", "deploy"):
            self._git(f"--work-tree={ROOT}", f"--git-dir={copy}/.git", "add", "--force", str(ROOT / name))
        self._git(f"--git-dir={copy}/.git", "commit", "--quiet", "--message=x")

    def build(self, kustomization: dict[str, Any], *resources: Any) -> dict[str, dict[str, Any]]:
        """Return the objects of a kustomization by kind; these resources are added to it."""
        place = self.folder / "kustomization"
        place.mkdir()
        (place / "private.pem").write_text(keys.rsa().private, encoding="ascii")
        (place / "flows.yaml").write_text(yaml.safe_dump_all(resources), encoding="utf-8")
        (place / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["flows.yaml"], **kustomization}))
        built = self._run([str(packaged_kubectl()), "kustomize", str(place)])
        return {one["kind"]: one for one in yaml.safe_load_all(built)}

    def _git(self, *arguments: str) -> None:
        self._run(["git", *arguments])

    def _run(self, command: list[str]) -> str:
        ended = subprocess.run(command, env=self._env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """Provide an empty folder."""
    return Builder(tmp_path)


def sample() -> dict[str, Any]:
    """Return the smallest object."""
    body: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "samples" / "cloud.yaml").read_text(encoding="utf-8"))
    return body


def test_the_object_follows_a_generated_secret(builder: Builder) -> None:
    """The name changes with the key, so the generation of the object does."""
    built = builder.build(GENERATED, sample())

    name = built["Secret"]["metadata"]["name"]
    assert name.startswith("flows-key-")
    assert built["BusinessEncryptionKey"]["spec"]["keySecretRef"]["name"] == name


def test_argo_cd_learns_the_health(builder: Builder) -> None:
    """The component patches the ConfigMap that is there."""
    built = builder.build(ARGO_CD, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}})

    assert "resource.customizations.health.bek.dev_BusinessEncryptionKey" in built["ConfigMap"]["data"]


def test_a_json_patch_adds_a_number(builder: Builder) -> None:
    """The others stay."""
    built = builder.build(PATCHED, sample())

    listed = built["BusinessEncryptionKey"]["spec"]["phoneNumbers"]
    assert [one["phoneNumber"] for one in listed] == ["+15550001111", "+15550003333"]
