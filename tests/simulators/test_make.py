"""How make finds the Python that it was asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# No machine has it, so what a test puts on PATH is all that there is.
VERSION = "3.98"

# What pyenv has on PATH: it works only where its version is asked for.
SHIM = f"""\
#!/bin/sh
if [ "$PYENV_VERSION" = {VERSION} ]; then exec {sys.executable} "$@"; fi
echo "pyenv: python{VERSION}: command not found" >&2
exit 127
"""


def make(*arguments: str, path: Path, **env: str) -> str:
    """Run make in the project, with a folder before all others on PATH; return what it said on both streams."""
    done = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={"PATH": f"{path}:{os.environ['PATH']}", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def put_python(folder: Path, text: str) -> None:
    """Put a program with the name of the Python that the tests ask for into a folder."""
    program = folder / f"python{VERSION}"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)


def test_the_dockerfile_says_which_python_the_image_has(tmp_path: Path) -> None:
    """Whoever changes the base of the image changes what the tests run on."""
    (base,) = re.findall(
        r"^ARG BASE=python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert make("--eval=told: ; @echo $(IMAGE_PYTHON)", "told", path=tmp_path) == f"python{base}\n"


def test_a_python_that_pyenv_keeps_is_found(tmp_path: Path) -> None:
    """The tests run on it, in an environment of its own, whatever version pyenv is set to."""
    put_python(tmp_path, SHIM)

    told = make("test-image-python", f"IMAGE_PYTHON=python{VERSION}", "MAKE=echo", path=tmp_path, PYENV_VERSION="3.11")

    assert told == f"--no-print-directory test-python PYTHON=python{VERSION}\n"


def test_without_the_image_s_python_its_tests_are_skipped_aloud(tmp_path: Path) -> None:
    """A program of that name that does not run, or nothing at all, is told of and no failure."""
    put_python(tmp_path, "#!/bin/sh\nexit 127\n")

    told = make("test-image-python", f"IMAGE_PYTHON=python{VERSION}", "MAKE=echo", path=tmp_path)

    assert told == (
        f"make test-image-python: SKIPPED. The image has python{VERSION}, "
        "and no such program that works is on PATH here.\n"
    )


def test_a_python_that_was_named_and_does_not_run_is_an_error(tmp_path: Path) -> None:
    """No other one is taken in its place, and the message says what to do."""
    told = make("unit", f"PYTHON=python{VERSION}", f"VENV={tmp_path}/venv", path=tmp_path)

    assert f"None of these is suitable: python{VERSION}." in told
    assert "make PYTHON=" in told
