"""The process: its first line, its last line and its exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from support.cluster.servers import wait_until_up
from support.cluster.watched_api import OBJECTS, WatchedApi
from support.programs.processes import Keeper
from support.virtual_time import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

SOURCE = Path(__file__).parents[2] / "operator"
SIGNALS = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """Provide a folder whose processes are ended afterwards."""
    with Keeper("bek-test") as keeper:
        yield keeper


FLAGS = ("--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0", "--watch-secrets=off")


def start(
    keeper: Keeper, url: str, *path: Path, flags: Sequence[str] = FLAGS, **variables: str
) -> subprocess.Popen[bytes]:
    """Start the operator; `path` precedes the module search path."""
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "sesame"}}],
    }
    kubeconfig = keeper.folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": ":".join(map(str, [*path, SOURCE])),
        "PYTHONWARNINGS": "error",
        # For coverage to measure this process, too.
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        **variables,
    }
    return keeper.spawn("operator", [sys.executable, "-m", "bek_operator", *flags], env=environment)


def logged(keeper: Keeper) -> list[str]:
    """Return the operator's log lines without the time."""
    lines = keeper.log("operator").read_text("utf-8").splitlines()
    return [line.partition(" ")[2].partition(" ")[2] if line[:2] == "20" else line for line in lines]


@asynccontextmanager
async def running(keeper: Keeper, **variables: str) -> AsyncIterator[tuple[WatchedApi, subprocess.Popen[bytes]]]:
    """Run the operator until it watches the objects of a server."""
    async with WatchedApi().listening() as api:
        process = start(keeper, api.url, **variables)
        await until(lambda: api.watches or process.poll() is not None)
        assert process.poll() is None, logged(keeper)
        yield api, process


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit status."""
    return await asyncio.to_thread(process.wait, 30)


@SIGNALS
async def test_a_signal_ends_it_cleanly(keeper: Keeper, signum: signal.Signals) -> None:
    """Also while kopf runs; the first line names the version, the last one the signal."""
    async with running(keeper, HTTPS_PROXY="http://user:sesame@127.0.0.1:9") as (_, process):
        process.send_signal(signum)
        status = await ended(process)
    lines = logged(keeper)
    assert status == 0
    assert lines[0].startswith(f"INFO    bek_operator: starting version={version('bek-operator')} python=3.")
    assert "cloud_proxy=http://127.0.0.1:9" in lines[0]
    assert lines[-1] == f"INFO    bek_operator: stopped: {signum.name}"
    assert "sesame" not in "".join(lines)
    assert "Traceback" not in "".join(lines)


@SIGNALS
async def test_a_signal_ends_it_after_kopf_was_run_again(keeper: Keeper, signum: signal.Signals) -> None:
    """Also while it waits for the CRD."""
    async with running(keeper) as (api, process):
        api.is_served = False
        api.end_watches()
        await until(lambda: any("is not installed" in line for line in logged(keeper)))
        process.send_signal(signum)
        status = await ended(process)
    lines = logged(keeper)
    assert (status, lines[-1]) == (0, f"INFO    bek_operator: stopped: {signum.name}")
    assert "Traceback" not in "".join(lines)


async def test_a_failed_watch_is_begun_again(keeper: Keeper) -> None:
    """With the cause in a line of the log, and none of what the server wrote."""
    async with running(keeper) as (api, process):
        api.say({"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "sesame"}})
        await until(lambda: api.requests[f"{OBJECTS}?watch"] == 2)
        process.send_signal(signal.SIGTERM)
        status = await ended(process)
    lines = logged(keeper)
    assert (status, lines[-1]) == (0, "INFO    bek_operator: stopped: SIGTERM")
    failed = "the watch on BusinessEncryptionKeys failed: WatchingError; restarting it"
    assert f"WARNING bek_operator.controller.watch: {failed}" in lines
    assert "sesame" not in "".join(lines)
    assert "never retrieved" not in "".join(lines)
    assert "Traceback" not in "".join(lines)


HANGS = """
import signal
print("importing", flush=True)
signal.pause()
"""


@SIGNALS
@pytest.mark.parametrize("module", ["argparse", "kopf"], ids=["its first import", "a late import"])
def test_a_signal_ends_it_during_imports(keeper: Keeper, signum: signal.Signals, module: str) -> None:
    """A container's first process would ignore it without a handler; the last line names it here, too."""
    (keeper.folder / f"{module}.py").write_text(HANGS, encoding="utf-8")
    process = start(keeper, "http://127.0.0.1:1", keeper.folder)
    log = keeper.log("operator")
    wait_until_up("the operator", process, lambda: "importing" in log.read_text("utf-8"), log)
    process.send_signal(signum)
    assert process.wait(30) == 0
    assert logged(keeper) == ["importing", f"bek-operator: stopped: {signum.name}"]


@SIGNALS
def test_a_signal_ends_it_before_it_takes_part_in_the_election(keeper: Keeper, signum: signal.Signals) -> None:
    """Without an API server, and so without anything to release."""
    process = start(keeper, "http://127.0.0.1:1", flags=[*FLAGS, "--leader-elect=on", "--lease-namespace=bek-system"])
    log = keeper.log("operator")
    wait_until_up("the operator", process, lambda: "cannot list BusinessEncryptionKeys" in log.read_text("utf-8"), log)
    process.send_signal(signum)
    assert process.wait(30) == 0
    assert logged(keeper)[-1] == f"INFO    bek_operator: stopped: {signum.name}"
    assert not [line for line in logged(keeper) if "Traceback" in line or "released" in line]


@pytest.mark.parametrize("flag", ["--health-address", "--metrics-address"])
def test_an_address_in_use_is_logged_in_the_last_line(keeper: Keeper, flag: str) -> None:
    """With the flag that names it, and without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = start(keeper, "http://127.0.0.1:1", flags=[*FLAGS, f"{flag}={address}"])
        assert process.wait(30) == 1
    lines = logged(keeper)
    assert lines[-1] == f"ERROR   bek_operator: stopped: {flag}: cannot listen on {address}: Address already in use"
    assert "Traceback" not in "".join(lines)


UNAWAITED = """
import asyncio, sys
from bek_operator import command_line

async def fail():
    raise ValueError("nobody hears of this in time")

async def operator(settings):
    task = asyncio.create_task(fail())
    loop = [task]
    loop.append(loop)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    raise OSError("the reason")

sys.argv[1:] = []
sys.exit(command_line.run(operator))
"""


def test_the_reason_is_the_last_line_whatever_else_failed(keeper: Keeper) -> None:
    """A task that nobody awaited is logged before it."""
    program = keeper.folder / "program.py"
    program.write_text(UNAWAITED, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, program], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "nobody hears of this in time" in ended.stderr + ended.stdout
    assert (ended.stderr + ended.stdout).splitlines()[-1].endswith("stopped: the reason")
