"""Consistency of the repository: documents, manifests, lock files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
import yaml

from bek_operator.crd.reasons import EndpointReason, ObjectReason, Reason
from support.cluster.crd import CRD_FILE
from support.kustomize import BUILDS, build

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REASONS = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
CHECKLIST = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted(ROOT.glob("requirements*.txt"))

OURS = (".ci", ".github", "bench", "crds", "demo", "deploy", "docker", "docs", "operator", "release", "tests")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home|work|Users)/\w")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_requirements_file_pins_by_hash_and_names_no_index(lock: Path) -> None:
    """Every package is pinned with hashes; the index is left to the installer."""
    lines = [line.strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    content = [line.rstrip(" \\") for line in lines if line and not line.startswith("#")]
    pins = [line for line in content if not line.startswith("--hash=sha256:")]

    assert [line for line in pins if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; .+)?", line)] == []
    assert len(content) >= 2 * len(pins)
    assert [line for line in lines if "://" in line or MACHINE_PATH.search(line)] == []


def test_the_requirements_files_lock_all_dependencies() -> None:
    """Those of pyproject.toml."""
    required = {
        "requirements.txt": PROJECT["project"]["dependencies"],
        "requirements-dev.txt": [
            *PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"]["cli"],
            *PROJECT["dependency-groups"]["dev"],
        ],
        "requirements-build.txt": PROJECT["build-system"]["requires"],
        **{
            f"requirements-{name}.txt": required
            for name, required in PROJECT["dependency-groups"].items()
            if name != "dev"
        },
    }
    locked = {path.name: set(re.findall(r"^([\w.-]+)==", _text(path), re.MULTILINE)) for path in LOCKS}

    assert {name: {_name(one) for one in wanted} - locked[name] for name, wanted in required.items()} == {
        name: set() for name in locked
    }


def test_what_builds_us_and_what_we_are_built_on_is_bounded() -> None:
    """A new major release of the build backend changes nothing, and the image's Python is one patch on one Debian."""
    bases = re.findall(r"^(?:ARG BASE=|FROM )(\S+)", _text(ROOT / "Dockerfile"), re.MULTILINE)

    assert all("<" in one for one in PROJECT["build-system"]["requires"])
    assert set(bases[1:]) == {"${BASE}"}
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", bases[0])


def test_the_wheel_has_py_typed(tmp_path: Path) -> None:
    """Type checkers of other projects need it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")

    with ZipFile(wheel) as packed:
        assert "bek_operator/py.typed" in packed.namelist()


def test_every_make_target_that_a_document_names_exists() -> None:
    """The README has the two that a newcomer needs."""
    assert {"demo", "test"} <= _make_targets(README)
    assert {target for document in DOCUMENTS for target in _make_targets(_text(document))} <= _makefile_targets()


def test_commit_hooks_run_what_developers_run() -> None:
    """Each hook is a target of the Makefile, so that tool versions are the same."""
    repositories = yaml.safe_load(_text(ROOT / ".pre-commit-config.yaml"))["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]

    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["entry"].partition("make ")[2] for hook in hooks} <= _makefile_targets()
    assert {hook["language"] for hook in hooks} == {"system"}


def test_every_file_that_a_document_names_exists() -> None:
    """Links and paths in the documents."""
    links = [
        document.parent / link
        for document in DOCUMENTS
        for link in re.findall(r"\]\((?!https:)([^)#]+)[)#]", _text(document))
    ]
    paths = [
        ROOT / path for path in re.findall(r"`((?:deploy|docs|crds|tests)/[\w/.-]*)`", "".join(map(_text, DOCUMENTS)))
    ]

    assert links
    assert [str(path) for path in (*links, *paths) if not path.exists()] == []


def test_every_test_that_a_document_names_exists() -> None:
    """And the checklist, which has 53 rows in their order, names one in every row, or says what is missing."""
    rows = [re.split(r" *\| *", line) for line in CHECKLIST.splitlines() if line.startswith("|")]
    numbers = [int(row[1]) for row in rows if row[1].isdigit()]
    named = [name for text in map(_text, DOCUMENTS) for name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)]

    assert numbers == [*range(1, 54)]
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in _text(ROOT / file)] == []
    answers = [row[-2] for row in rows if not row[-2].startswith(("---", "What "))]
    assert [answer for answer in answers if "::test_" not in answer and not answer.startswith("open")] == []


def test_every_section_that_a_link_targets_exists() -> None:
    """The fragment of a link is a heading of the document."""
    links = [
        (document.parent / path if path else document, section)
        for document in DOCUMENTS
        for path, section in re.findall(r"\]\((?!https:)([^)#]*)#([^)]+)\)", _text(document))
    ]

    assert links
    assert [section for document, section in links if section not in _sections(document)] == []


def test_every_page_is_linked_from_the_index_of_its_folder() -> None:
    """From the README, or from the index of the decisions."""
    assert _pages_without_a_link(ROOT / "README.md", ROOT / "docs") == []
    assert _pages_without_a_link(DECISIONS / "README.md", DECISIONS) == []


def test_the_first_object_of_the_readme_is_a_sample() -> None:
    """The command below it applies that sample."""
    shown = re.search(r"^```yaml\n(.+?)^```", README, re.MULTILINE | re.DOTALL)

    assert shown
    assert yaml.safe_load(shown[1]) == yaml.safe_load(_text(ROOT / "deploy" / "samples" / "cloud.yaml"))


def test_the_example_of_a_test_is_one_that_runs() -> None:
    """Whoever copies the example from CONTRIBUTING has a test that passes."""
    shown = re.search(r"^```python\n(.+?)^```", _text(ROOT / "CONTRIBUTING.md"), re.MULTILINE | re.DOTALL)

    assert shown
    assert shown[1] == _text(ROOT / "tests" / "unit" / "controller" / "test_example.py")


def test_reasons_are_documented_most_severe_first() -> None:
    """The object shows the most severe one."""
    documented = re.findall(r"^\| `(\w+)` \|", REASONS, re.MULTILINE)

    assert documented == [*reversed(ObjectReason), *reversed(EndpointReason), *reversed(Reason)]


@pytest.mark.parametrize("reason", [*Reason, *ObjectReason, *EndpointReason])
def test_every_reason_is_documented(reason: str) -> None:
    """In docs/reasons.md."""
    assert re.search(rf"^\|[^|]*`{reason}`", REASONS, re.MULTILINE)


def test_every_flag_is_documented_and_every_documented_flag_exists() -> None:
    """The reference's table and `--help` have the same flags, with their environment variables."""
    usage = subprocess.run(
        [sys.executable, "-m", "bek_operator", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    flags = set(re.findall(r"^ +(?:-h, )?--([a-z-]+)", usage, re.MULTILINE))
    rows = [line for line in _section(REFERENCE, "Settings").splitlines() if line.startswith("| `--")]
    documented = {flag for row in rows for flag in re.findall(r"`--([a-z-]+)`", row.split("|")[1])}

    assert documented == flags
    for flag in flags - {"help", "version"}:
        (row,) = [row for row in rows if f"`--{flag}`" in row.split("|")[1]]
        assert row.split("|")[2].strip() == f"`BEK_{flag.upper().replace('-', '_')}`"


@pytest.mark.parametrize(("part", "heading"), [("spec", "Fields"), ("status", "Status")])
def test_every_field_is_documented(part: str, heading: str) -> None:
    """In the tables of docs/reference.md."""
    version = yaml.safe_load(_text(CRD_FILE))["spec"]["versions"][0]
    names = set(_fields(version["schema"]["openAPIV3Schema"]["properties"][part]))
    section = _section(REFERENCE, heading)

    assert {name for name in names if not re.search(rf"\b{name}\b", section)} == set()


def test_the_image_that_is_deployed_is_this_version() -> None:
    """A release updates every version number."""
    version = PROJECT["project"]["version"]
    (deployment,) = [body for body in build(BUILDS["default"]) if body["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert container["image"] == f"bek-operator:{version}"
    assert f"bek-operator:{version}\n" in README
    texts = [_text(path) for path in (*DOCUMENTS, ROOT / "Dockerfile")]
    named = re.findall(r"(?:bek-operator:|newTag: )([0-9][\w.-]*)", "".join(texts))
    assert set(named) == {version}
    assert f"\n## {version}" in _text(ROOT / "CHANGELOG.md")


def test_no_file_has_a_machine_specific_path() -> None:
    """Such as a home directory."""
    # In a worktree .git is a file.
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    files += [path for name in OURS for path in (ROOT / name).rglob("*") if path.is_file()]
    kept = [path for path in files if "__pycache__" not in path.parts and not path.name.startswith(".coverage")]

    assert [str(path.relative_to(ROOT)) for path in kept if MACHINE_PATH.search(_text(path))] == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _make_targets(text: str) -> set[str]:
    return set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)\b", text, re.MULTILINE))


def _makefile_targets() -> set[str]:
    return set(re.findall(r"^\.PHONY: ([a-z-]+)$", _text(ROOT / "Makefile"), re.MULTILINE))


def _pages_without_a_link(index: Path, folder: Path) -> list[str]:
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+\.md)[)#]", _text(index))}
    return [page.name for page in folder.glob("*.md") if page != index and page.resolve() not in linked]


def _section(text: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _sections(document: Path) -> set[str]:
    """Return the anchors of the headings."""
    headings = re.findall(r"^#+ (.+)$", _text(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from _fields(inner)
    if "items" in schema:
        yield from _fields(schema["items"])
