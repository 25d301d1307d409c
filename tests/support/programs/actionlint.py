"""Run actionlint, which checks GitHub's workflows: python -m support.programs.actionlint [ARGUMENT ...]."""

from __future__ import annotations

import subprocess
import sys

from support.programs.binaries import ensure_actionlint
from support.programs.gobuild import BuildError


def main() -> int:
    """Run it with our own arguments; return its exit status."""
    try:
        program = ensure_actionlint()
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return subprocess.run([str(program), *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
