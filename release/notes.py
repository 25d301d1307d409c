"""The notes of a release, from CHANGELOG.md, and whether a tag fits what it is put on."""

from __future__ import annotations

import re

UNRELEASED = "not released"
"""What the heading of a version says until its day."""


class ReleaseError(Exception):
    """Something prevents a release; the message says what, and what to do."""


def notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading.

    Raises:
        ReleaseError: There is none, or nothing is in it.
    """
    _, text = _section(changelog, version)
    if not text:
        raise ReleaseError(f'CHANGELOG.md: the section "## {version}" is empty; describe what users will notice')
    return f"{text}\n"


def check_tag(tag: str, version: str, changelog: str) -> None:
    """Check that a tag belongs to the version of pyproject.toml, and that its notes are ready.

    Raises:
        ReleaseError: One of these is not so.
    """
    if tag != f"v{version}":
        raise ReleaseError(
            f"the tag {tag} does not fit: the version in pyproject.toml is {version}, so it is v{version}"
        )
    notes(changelog, version)
    heading, _ = _section(changelog, version)
    if UNRELEASED in heading:
        raise ReleaseError(f'CHANGELOG.md: the heading "{heading}" says that it is not released; put the date there')


def _section(changelog: str, version: str) -> tuple[str, str]:
    """Return the heading of a version and the text below it."""
    section = rf"^## {re.escape(version)}(?![\w.+-])([^\n]*)\n(.*?)(?=^## |\Z)"
    found = re.search(section, changelog, re.MULTILINE | re.DOTALL)
    if not found:
        raise ReleaseError(f'CHANGELOG.md has no section "## {version}"; add it above the older ones')
    return f"## {version}{found[1]}", found[2].strip()
