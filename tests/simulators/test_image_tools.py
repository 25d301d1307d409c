"""Which program builds the image, and what is said where none can."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_DAEMON = 'echo "Cannot connect to the daemon" >&2; exit 1'
BROKEN = 'echo "no storage" >&2; exit 1'
# As the real ones: an answer to a question about itself, no image of any name yet.
WORKS = 'case $1 in version|info) exit 0;; inspect) exit 1;; *) echo "$0 $*" >&2;; esac'


def make(target: str, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run make in the project, with a folder before all others on PATH."""
    return subprocess.run(
        ["make", target],
        cwd=ROOT,
        env={"PATH": f"{path}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def put(folder: Path, **programs: str) -> None:
    """Put programs into a folder; each is the text of a shell script."""
    for name, text in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        program.chmod(0o755)


@pytest.mark.parametrize(
    ("programs", "name"),
    [
        ({"docker": WORKS, "podman": WORKS, "buildah": WORKS}, "docker"),
        ({"docker": WITHOUT_DAEMON, "podman": WORKS, "buildah": WORKS}, "podman"),
        ({"docker": WITHOUT_DAEMON, "podman": BROKEN, "buildah": WORKS}, "buildah"),
    ],
)
def test_the_first_program_that_works_builds_the_image(tmp_path: Path, programs: dict[str, str], name: str) -> None:
    """Under the name, and over the base, that it was given; a client without its daemon is passed over."""
    put(tmp_path, **programs)

    done = make("image", tmp_path, IMAGE="registry.example.com/own:1", BASE="base.example.com/python:3")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "registry.example.com/own:1\n"
    (called,) = done.stderr.splitlines()
    program, command, *arguments = called.split()
    assert (Path(program).name, command) == (name, "build")
    assert {"registry.example.com/own:1", "BASE=base.example.com/python:3"} < set(arguments)


def test_without_such_a_program_each_is_told_of(tmp_path: Path) -> None:
    """What is wrong with it, and what to do."""
    put(tmp_path, docker=WITHOUT_DAEMON, podman=BROKEN, buildah=BROKEN)

    done = make("image", tmp_path)

    assert done.returncode != 0
    assert "docker: Cannot connect to the daemon\n  podman: no storage\n  buildah: no storage\n" in done.stderr
    assert "apt-get install" in done.stderr


def test_the_gate_skips_the_image_aloud_where_it_cannot_be_run(tmp_path: Path) -> None:
    """That is no failure; buildah alone does not do."""
    put(tmp_path, docker=WITHOUT_DAEMON, podman=BROKEN, buildah=WORKS)

    done = make("image-test-or-skip", tmp_path)

    assert done.returncode == 0
    assert done.stdout.startswith("make image-test-or-skip: SKIPPED. ")
    assert "  docker: Cannot connect to the daemon\n  podman: no storage\n" in done.stdout


def test_the_gate_tests_the_image_where_it_can_be_run(tmp_path: Path) -> None:
    """With podman as well as with docker."""
    put(tmp_path, docker=WITHOUT_DAEMON, podman=WORKS)

    done = make("image-test-or-skip", tmp_path, MAKEFLAGS="--eval=MAKE=echo")

    assert done.stdout == "--no-print-directory image-test\n"
