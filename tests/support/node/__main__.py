"""`python -m support.node`: the tests of `tests/node`, inside of a node's namespaces.

    python -m support.node [--or-skip] [ARGUMENT OF PYTEST ...]

It builds what is not built yet, and tells what this machine lacks, which is no failure with `--or-skip`. However it
ends, nothing is left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.node import cgroups, namespaces
from support.node.archives import pack
from support.node.configuration import SANDBOX_IMAGE
from support.node.programs import ensure_node, missing_programs
from support.programs import interrupts
from support.programs.binaries import MissingBinaryError, ensure
from support.programs.gobuild import BuildError
from support.programs.image import ImageError, find_engine, image
from support.programs.processes import Keeper
from support.programs.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS = Path(__file__).parents[2] / "node"


def main(arguments: Sequence[str]) -> int:
    """Run the tests; return the exit status."""
    interrupts.expect()
    given = [one for one in arguments if one != "--or-skip"]
    try:
        lacking = missing()
        if lacking and given != arguments:
            sys.stdout.write(f"make node-test: SKIPPED. {_shown(lacking)}")
            return 0
        if lacking:
            sys.stderr.write(_shown(lacking))
            return 1
        return run(given)
    except (MissingBinaryError, BuildError, ImageError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except interrupts.Ended as ended:
        return ended.exit_status


def missing() -> list[str]:
    """Return what this machine lacks for a node."""
    lacking = list(missing_programs())
    if os.geteuid() != 0:
        # Only root can tell the rest.
        return [*lacking, "root's rights"]
    try:
        find_engine()
    except ImageError as error:
        lacking.append(str(error))
    return lacking or [fault for fault in (cgroups.refusal(), namespaces.refusal()) if fault]


def run(arguments: Sequence[str]) -> int:
    """Build everything, and run the tests with more arguments of pytest; return the exit status."""
    ensure()
    programs, engine = ensure_node(), find_engine()
    reference = image(engine)
    with Keeper("bek-node") as keeper:
        with progress(f"saving {reference}"):
            engine.save(reference, keeper.folder / "operator.tar")
        pack(programs.pause, SANDBOX_IMAGE, keeper.folder / "pause.tar")
        # In the order of the files, which spares some rollouts.
        pytest = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--timeout=240", "--durations=10"]
        with cgroups.Cgroups(keeper.folder.name):
            inside = namespaces.prepared(keeper.folder, [*pytest, *arguments, str(TESTS)])
            return subprocess.run(inside, check=False).returncode


def _shown(lacking: Sequence[str]) -> str:
    return "".join(["A node needs what this machine lacks:\n", *(f"  {one}\n" for one in lacking)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
