"""Processes and files end with their owner, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.processes import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

# Starts a shell that starts a child of its own, says where and who, and waits to be killed.
OWNER = """\
import sys
from support.programs.processes import Keeper
keeper = Keeper("bek-test")
process = keeper.spawn("shell", ["sh", "-c", "sleep 300 & echo $!; wait"])
print(keeper.folder, process.pid, flush=True)
sys.stdin.read()
"""


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once something has come true."""
    pause = threading.Event()
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def is_gone(pid: int) -> bool:
    """Return whether a process runs no longer, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def child_of(log: Path) -> int:
    """Return the pid that the shell wrote down."""
    wait_for(lambda: log.read_text().endswith("\n"))
    return int(log.read_text())


def test_close_ends_children_of_children_and_files() -> None:
    """Closing ends what the programs started themselves, and removes the folder."""
    with Keeper("bek-test") as keeper:
        process = keeper.spawn("shell", ["sh", "-c", "sleep 300 & echo $!; wait"])
        child = child_of(keeper.log("shell"))
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: is_gone(child))
    assert not keeper.folder.exists()


def test_killed_owner_leaves_nothing_behind() -> None:
    """A SIGKILL of the owner takes its processes, their children and the folder along."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        folder, pid = owner.stdout.readline().split()
        child = child_of(Path(folder) / "shell.log")
        owner.kill()
    wait_for(lambda: is_gone(int(pid)) and is_gone(child) and not Path(folder).exists())


def test_grace_lets_a_program_end_in_its_own_way() -> None:
    """With time to do so a program decides on its own exit status."""
    with Keeper("bek-test") as keeper:
        polite = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        process = keeper.spawn("polite", ["sh", "-c", polite])
        wait_for(lambda: "ready" in keeper.log("polite").read_text())
        assert keeper.end(process, grace=20) == 7


def test_programs_see_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this user's kubeconfig nor home or proxies reach a program."""
    monkeypatch.setenv("KUBECONFIG", "/elsewhere/config")
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere:3128")
    with Keeper("bek-test") as keeper:
        keeper.spawn("env", ["env"], env={"EXTRA": "1"}).wait(20)
        seen = dict(line.split("=", 1) for line in keeper.log("env").read_text().splitlines())
        assert seen["EXTRA"] == "1"
        assert seen["HOME"].startswith(str(keeper.folder))
    assert not {"KUBECONFIG", "HTTPS_PROXY"} & seen.keys()
