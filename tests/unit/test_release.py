"""What a release has beside its image: notes, manifests, a tag that fits; and workflows that call what exists."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from release import manifests
from release.notes import ReleaseError, check_tag, notes
from support.programs.binaries import packaged_kubectl

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
REPOSITORY = "registry.example.com:5000/team/bek-operator"

CHANGELOG = """\
# Changes

Newest first.

## 0.2.0, not released yet

- A second thing.

## 0.1.0, 2 December 2026

The first one.

- A thing.
"""


def test_the_notes_are_the_section_of_the_version() -> None:
    """Without its heading, and without the older ones."""
    assert notes(CHANGELOG, "0.2.0") == "- A second thing.\n"
    assert notes(CHANGELOG, "0.1.0") == "The first one.\n\n- A thing.\n"


@pytest.mark.parametrize(
    ("changelog", "version", "fault"),
    [
        (CHANGELOG, "0.3.0", 'CHANGELOG.md has no section "## 0.3.0"; add it above the older ones'),
        (CHANGELOG, "0.1", 'CHANGELOG.md has no section "## 0.1"; add it above the older ones'),
        ("## 0.3.0rc1\n\n- A thing.\n", "0.3.0", 'CHANGELOG.md has no section "## 0.3.0"; add it above the older ones'),
        (
            "## 0.3.0\n\n## 0.2.0\n\n- A thing.\n",
            "0.3.0",
            'CHANGELOG.md: the section "## 0.3.0" is empty; describe what users will notice',
        ),
    ],
    ids=["missing", "the beginning of another one", "a candidate of it", "empty"],
)
def test_missing_notes_are_an_error(changelog: str, version: str, fault: str) -> None:
    """Which says what to do."""
    with pytest.raises(ReleaseError) as raised:
        notes(changelog, version)

    assert str(raised.value) == fault


def test_a_tag_fits_its_version_and_a_dated_section() -> None:
    """The version in pyproject.toml is what the tag must say."""
    check_tag("v0.1.0", "0.1.0", CHANGELOG)

    with pytest.raises(ReleaseError, match=re.escape("the version in pyproject.toml is 0.1.0, so it is v0.1.0")):
        check_tag("v0.2.0", "0.1.0", CHANGELOG)
    with pytest.raises(ReleaseError, match="says that it is not released; put the date there"):
        check_tag("v0.2.0", "0.2.0", CHANGELOG)


def test_this_version_has_notes() -> None:
    """So that a release only lacks its date."""
    assert notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), PROJECT["project"]["version"])


def test_the_manifests_are_what_kustomize_builds_with_the_released_image(tmp_path: Path) -> None:
    """Nothing else differs, and no file names an image that nobody has."""
    rendered = {file.name: documents(file.read_text("utf-8")) for file in manifests.render(REPOSITORY, "9.9", tmp_path)}

    assert rendered.keys() == manifests.FOLDERS.keys()
    for name, folder in manifests.FOLDERS.items():
        built = subprocess.run(
            [packaged_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True
        )
        expected = documents(built.stdout)
        for container in containers(expected):
            container["image"] = f"{REPOSITORY}:9.9"
        assert rendered[name] == expected
    assert [len(containers(rendered[name])) for name in ("install.yaml", "crds.yaml")] == [1, 0]


def test_the_definition_is_a_file_of_its_own(tmp_path: Path) -> None:
    """For those whose cluster's administrators install it, and apart from the operator in an upgrade."""
    files = {file.name: file for file in manifests.render(REPOSITORY, "9.9", tmp_path)}

    assert [one["kind"] for one in documents(files["crds.yaml"].read_text("utf-8"))] == ["CustomResourceDefinition"]


@pytest.mark.parametrize(
    "name", ["", "bek-operator:0.1.0", "registry.example.com/bek@sha256:0", "OWNER/bek-operator", "a b"]
)
def test_only_a_repository_is_taken_for_one(tmp_path: Path, name: str) -> None:
    """A tag would be a second one, and a registry refuses capital letters."""
    with pytest.raises(ReleaseError, match="is not the repository of an image"):
        manifests.render(name, "9.9", tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_every_make_target_that_a_workflow_calls_exists() -> None:
    """A workflow runs what developers run."""
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", MAKEFILE, re.MULTILINE))
    commands = [step.get("run", "") for job in jobs() for step in job.get("steps", ())]
    called = {name for command in commands for name in re.findall(r"\bmake (?:--silent )?([a-z-]+)", command)}
    called |= {one["target"] for job in jobs() for one in job.get("strategy", {}).get("matrix", {}).get("include", ())}

    assert called >= {"audit", "manifests", "release-check", "release-notes", "test", "test-python"}
    assert called <= targets


def test_tests_run_on_every_python_that_is_promised() -> None:
    """Those that pyproject.toml names."""
    prefix = "Programming Language :: Python :: "
    promised = [one.removeprefix(prefix) for one in PROJECT["project"]["classifiers"] if one.startswith(f"{prefix}3.")]
    (tested,) = [job["strategy"]["matrix"]["include"] for job in jobs() if "strategy" in job]

    assert [one["python"] for one in tested] == promised


def test_no_job_of_a_workflow_runs_for_hours() -> None:
    """GitHub's own limit is six hours."""
    assert [job["name"] for job in jobs() if "uses" not in job and job.get("timeout-minutes", 999) > 60] == []


def test_the_audit_reads_every_lock(tmp_path: Path) -> None:
    """But that of a pip that is old on purpose. One with a vulnerability fails it after all of them were read."""
    seen = tmp_path / "seen"
    auditor = tmp_path / "bin" / "pip-audit"
    auditor.parent.mkdir()
    auditor.write_text(f'#!/bin/sh\necho "$@" >>{seen}\ncase $* in *-build.txt*) exit 1; esac\n', encoding="ascii")
    auditor.chmod(0o755)
    (tmp_path / ".requirements").touch()

    choices = [f"AUDITOR={tmp_path}", f"--assume-old={tmp_path}/.requirements"]
    done = subprocess.run(["make", *choices, "audit"], cwd=ROOT, capture_output=True, text=True, check=False)

    arguments = seen.read_text(encoding="ascii").splitlines()
    locks = {path.name for path in ROOT.glob("requirements*.txt")} - {"requirements-pip-oldest.txt"}
    assert {line.rpartition(" ")[2] for line in arguments} == locks
    assert all({"--strict", "--require-hashes", "--disable-pip"} <= set(line.split()) for line in arguments)
    assert done.returncode != 0


def jobs() -> list[dict[str, Any]]:
    """Return the jobs of all workflows."""
    return [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()]


def documents(text: str) -> list[dict[str, Any]]:
    """Return the objects of a manifest."""
    return [body for body in yaml.safe_load_all(text) if body]


def containers(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the containers of the Deployments among some objects."""
    return [
        one for body in bodies if body["kind"] == "Deployment" for one in body["spec"]["template"]["spec"]["containers"]
    ]
