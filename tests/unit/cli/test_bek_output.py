"""`kubectl bek` where it cannot be carried out, without a cluster."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [["key", "-f", "/dev/null"], ["--help"]], ids=["a result", "the help"])
def test_a_full_disk_is_told_without_a_traceback(arguments: list[str]) -> None:
    """A disk that is full is a command that could not be carried out."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "bek_operator.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (2, "error: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["check", "flows", "--timeout=3"], "Error: --timeout goes with --wait\n"),
        (["status", "--kubeconfig=/"], "error: no credentials for the API server: /: Is a directory\n"),
    ],
    ids=["a time limit for nothing", "a directory as kubeconfig"],
)
def test_a_mistake_is_told_without_a_traceback(arguments: list[str], error: str) -> None:
    """Standard error ends with what is wrong."""
    command = [sys.executable, "-m", "bek_operator.cli", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(error)
    assert "Traceback" not in ended.stderr
