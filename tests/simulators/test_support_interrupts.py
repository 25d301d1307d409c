"""A signal that ends the program is raised as an exception, after the block that must not be interrupted."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAD = """\
import os, signal, threading
from support.programs.interrupts import Ended, expect, held
expect()
"""

# The second signal comes while the first one's exception is on its way, as from somebody impatient.
HELD = """\
try:
    with held():
        with held():
            os.kill(os.getpid(), signal.{signal})
        print("noted")
    print("too late")
except Ended as ended:
    os.kill(os.getpid(), signal.SIGINT)
    print(ended.exit_status)
"""

AT_ONCE = """\
try:
    with held():
        print("noted")
    os.kill(os.getpid(), signal.{signal})
    print("too late")
except Ended as ended:
    print(ended.exit_status)
"""

ELSEWHERE = """\
inside, over = threading.Event(), threading.Event()
def hold():
    with held():
        inside.set()
        over.wait()
threading.Thread(target=hold).start()
inside.wait()
try:
    print("noted")
    os.kill(os.getpid(), signal.{signal})
    print("too late")
except Ended as ended:
    print(ended.exit_status)
over.set()
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("program", [HELD, AT_ONCE, ELSEWHERE], ids=["held", "at once", "held elsewhere"])
def test_the_first_signal_ends_a_program_that_has_noted_what_it_made(program: str, signum: signal.Signals) -> None:
    """Only the main thread's own block makes the exception wait; the signals that follow are ignored."""
    ran = subprocess.run(
        [sys.executable, "-c", HEAD + program.format(signal=signum.name)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr == ""
    assert ran.stdout.split() == ["noted", str(128 + signum)]
