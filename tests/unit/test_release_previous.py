"""Which version an upgrade begins with, and which changes of the definition it admits."""

from __future__ import annotations

import os
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.cluster.crd import CRD_FILE
from support.cluster.crd_changes import incompatible_changes
from support.previous import PARTS, ROOT, THIS, previous_revision, previous_version

if TYPE_CHECKING:
    from collections.abc import Callable

CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text(encoding="utf-8"))


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, whatever the settings of who runs the tests."""
    names = {f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Provide a repository whose three commits are three versions."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for number in ("one", "two", "three"):
        for part in PARTS:
            (folder / part).mkdir(exist_ok=True)
            (folder / part / "number").write_text(number, encoding="ascii")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", f"--message={number}")
    return folder


def number_of(repository: Path, into: Path) -> str:
    """Return the number of the version before the repository's own; nothing for this project's."""
    into.mkdir()
    version = previous_version(into, repository)
    return "" if version == THIS else (version.source / "number").read_text(encoding="ascii")


def test_without_a_release_it_is_the_commit_before(repository: Path, tmp_path: Path) -> None:
    """Its package, definition and manifests."""
    assert number_of(repository, tmp_path / "previous") == "two"


def test_it_is_the_last_release_there_was_before(repository: Path, tmp_path: Path) -> None:
    """Not the one that is just being made, whose tag is there already; and no tag of another kind."""
    git(repository, "tag", "v0.1.0", "HEAD~2")
    git(repository, "tag", "vision", "HEAD~1")
    git(repository, "tag", "v0.2.0", "HEAD")

    assert previous_revision(repository) == "v0.1.0"
    assert number_of(repository, tmp_path / "previous") == "one"


def test_a_shallow_clone_has_none(repository: Path, tmp_path: Path) -> None:
    """The upgrade is then one to the same version."""
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")

    assert number_of(tmp_path / "shallow", tmp_path / "previous") == ""


def test_an_archive_has_none(repository: Path, tmp_path: Path) -> None:
    """Although it was unpacked in a repository."""
    archive = repository / "archive"
    archive.mkdir()

    assert number_of(archive, tmp_path / "previous") == ""


def test_no_change_of_the_definition_breaks_what_users_have(tmp_path: Path) -> None:
    """Unless the change log says so, which before 1.0 it may: then it names the field by the last part of its path."""
    old = yaml.safe_load(previous_version(tmp_path).crd.read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]

    breaking = incompatible_changes(old, CRD)

    assert [
        one for one in breaking if f"{one.partition(':')[0].rpartition('.')[2].removesuffix('[]')}`" not in changelog
    ] == []


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return our definition after a change of its version."""
    definition = deepcopy(CRD)
    change(definition["spec"]["versions"][0])
    return definition


def spec(version: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the spec's fields."""
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


def status(version: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the status's fields."""
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    return found


def number(version: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry of `phoneNumbers`."""
    found: dict[str, Any] = spec(version)["phoneNumbers"]["items"]
    return found


BREAKING: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a field is removed": (lambda one: spec(one).pop("suspend"), ".spec.suspend: removed"),
    "a type is another one": (
        lambda one: spec(one)["suspend"].update(type="string"),
        ".spec.suspend: type was boolean and is string",
    ),
    "a value is removed": (
        lambda one: spec(one)["publishPolicy"].update(enum=["IfNeeded"]),
        ".spec.publishPolicy: enum was ['IfNeeded', 'Never'] and is ['IfNeeded']",
    ),
    "a list is shorter": (
        lambda one: spec(one)["phoneNumbers"].update(maxItems=10),
        ".spec.phoneNumbers: maxItems was 1000 and is 10",
    ),
    "a text is longer": (
        lambda one: number(one)["properties"]["api"].update(minLength=9),
        ".spec.phoneNumbers[].api: minLength was 1 and is 9",
    ),
    "a pattern is new": (
        lambda one: spec(one)["keySecretRef"]["properties"]["key"].update(pattern="^x$"),
        ".spec.keySecretRef.key: pattern was ",
    ),
    "a field must be set": (
        lambda one: number(one)["required"].append("api"),
        ".spec.phoneNumbers[]: required was ['phoneNumber'] and is ['phoneNumber', 'api']",
    ),
    "a default is another one": (
        lambda one: spec(one)["suspend"].update(default=True),
        ".spec.suspend: default was False and is True",
    ),
    "a list is merged in another way": (
        lambda one: spec(one)["phoneNumbers"].update({"x-kubernetes-list-type": "atomic"}),
        ".spec.phoneNumbers: x-kubernetes-list-type was map and is atomic",
    ),
    "a rule is new": (
        lambda one: number(one).setdefault("x-kubernetes-validations", []).append({"rule": "has(self.api)"}),
        ".spec.phoneNumbers[]: a rule is new: has(self.api)",
    ),
    "a selectable field is gone": (
        lambda one: one["selectableFields"].pop(),
        ".spec.suspend: cannot be selected any more",
    ),
    "the version is not served": (lambda one: one.update(served=False), "v1alpha1 is not served any more"),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_refuses_or_loses_something_is_found(name: str) -> None:
    """With its path, and with what was and is there."""
    change, expected = BREAKING[name]

    (found,) = incompatible_changes(CRD, changed(change))

    assert found.startswith(expected)


COMPATIBLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field is new": lambda one: spec(one).update(more={"type": "string", "maxLength": 9}),
    "a field is new, with a rule": lambda one: (
        spec(one).update(more={"type": "string", "maxLength": 9}),
        one["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"].append(
            {"rule": "!has(self.more) || self.more != ''"}
        ),
    ),
    "a value is new": lambda one: spec(one)["publishPolicy"]["enum"].append("Once"),
    "a list is longer": lambda one: spec(one)["phoneNumbers"].update(maxItems=2000),
    "a bound is gone": lambda one: spec(one)["intervalSeconds"].pop("minimum"),
    "a field need not be set": lambda one: number(one)["required"].clear(),
    "a pattern is gone": lambda one: status(one)["keyID"].pop("pattern"),
    "a rule is gone": lambda one: spec(one)["phoneNumbers"].pop("x-kubernetes-validations", None),
    "a description is another one": lambda one: spec(one)["suspend"].update(description="suspend: other words."),
    "a column is gone": lambda one: one["additionalPrinterColumns"].pop(),
}


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_change_that_admits_more_is_none(name: str) -> None:
    """So a field can be added, and loosened."""
    assert incompatible_changes(CRD, changed(COMPATIBLE[name])) == []


def test_another_scope_or_name_is_found() -> None:
    """And so is an abbreviation that is gone."""
    other = deepcopy(CRD)
    other["spec"]["scope"] = "Cluster"
    other["spec"]["names"]["kind"] = "Key"
    other["spec"]["names"]["shortNames"] = []

    assert incompatible_changes(CRD, other) == [
        "scope is not the same",
        "names.kind is not the same",
        "names.shortNames lacks bek",
    ]
