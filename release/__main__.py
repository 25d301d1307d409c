"""Prepare a release, as the workflow does it.

python -m release check TAG              whether the tag is that of this version, and its notes are there
python -m release notes                  the notes, on standard output
python -m release manifests REPOSITORY   dist/install.yaml and the others, with the image REPOSITORY:version
"""

from __future__ import annotations

import sys
import tomllib

from release.manifests import ROOT, render
from release.notes import ReleaseError, check_tag, notes


def main(arguments: list[str]) -> int:
    """Run one of the commands; return the exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = project["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        match arguments:
            case ["check", tag]:
                check_tag(tag, version, changelog)
            case ["notes"]:
                sys.stdout.write(notes(changelog, version))
            case ["manifests", repository]:
                made = render(repository, version, ROOT / "dist")
                sys.stdout.writelines(f"{file.relative_to(ROOT)}\n" for file in made)
            case _:
                sys.stderr.write(__doc__ or "")
                return 2
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
