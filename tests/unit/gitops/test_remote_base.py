"""Overlays over a Git repository, without a copy of it: kustomize's remote bases."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.kustomize import DEPLOY, build, overlay

CHANGES = {"namespace": "platform", "namePrefix": "eu-", "nameSuffix": "-blue"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide the URL of a repository with what the project ships."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("crds", "deploy"):
        shutil.copytree(DEPLOY.parent / name, folder / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-C", str(folder)]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "--message=all"]):
        subprocess.run([*git, *command], check=True)
    return folder.as_uri()


@pytest.mark.parametrize("name", ["default", "namespaced"])
def test_an_overlay_over_the_repository_is_one_over_the_files(tmp_path: Path, repository: str, name: str) -> None:
    """With another namespace, prefix and suffix, and with a component."""
    remote = tmp_path / "remote"
    remote.mkdir()
    content = {
        "resources": [f"{repository}//deploy/{name}?ref=main"],
        "components": [f"{repository}//deploy/components/secret-get-only?ref=main"],
        **CHANGES,
    }
    (remote / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    component = DEPLOY / "components" / "secret-get-only"
    local = overlay(tmp_path / "local", DEPLOY / name, components=[component], **CHANGES)

    assert build(remote) == build(local)
