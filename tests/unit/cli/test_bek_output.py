"""`kubectl bek` where its output cannot be written."""

import subprocess
import sys
from pathlib import Path


def test_a_full_disk_is_told_without_a_traceback(tmp_path: Path) -> None:
    """A disk that is full is a command that could not be carried out."""
    file = tmp_path / "private.pem"
    file.write_text("no key", encoding="ascii")
    with Path("/dev/full").open("w", encoding="ascii") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "bek_operator.cli", "key", "-f", str(file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (2, "error: No space left on device\n")
