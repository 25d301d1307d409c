"""What the kubelet is told of the real process when just one thing in it is broken."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster import broken_operator
from support.cluster.operator_process import NAMESPACE, OperatorProcess, free_lease
from support.cluster.scene import Scene
from support.cluster.watch_proxy import WatchProxy

if TYPE_CHECKING:
    from support.cluster.apiserver import ApiServer
    from support.simulators.on_premises import OnPremises

FLAGS = ["--allow-host=127.0.0.1:*", "--leader-elect=on", f"--lease-namespace={NAMESPACE}", "--log-format=json"]
ALONE = ["--allow-host=127.0.0.1:*", "--leader-elect=off", "--watch-secrets=off", "--log-format=json"]
SECRETS, OBJECTS = "/api/v1/secrets", "/apis/bek.dev/v1alpha1/businessencryptionkeys"
OK = "ok\n"


class Breakable(OperatorProcess):
    """An operator that breaks on a signal; a task has the given name."""

    def __init__(self, server: ApiServer, name: str, task: str, url: str, flags: list[str]) -> None:
        super().__init__(server, flags, name=name)
        self.program = (str(Path(broken_operator.__file__)), task)
        self._url = url
        self._server_url = server.url

    def _kubeconfig(self) -> Path:
        path = super()._kubeconfig()
        if self._url:
            path.write_text(path.read_text("utf-8").replace(self._server_url, self._url), "utf-8")
        return path

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def healthz(self) -> str:
        """Return what the liveness probe answers, empty for nothing."""
        return self.probe("/healthz")


class Bench:
    """An installed API server, and operators that are started for it, one at a time."""

    def __init__(self, server: ApiServer, namespace: str, simulator: OnPremises) -> None:
        self.server = server
        self._namespace = namespace
        self._simulator = simulator

    def operator(self, task: str = "", url: str = "", flags: list[str] = FLAGS) -> Breakable:
        """Return an operator."""
        return Breakable(self.server, self._namespace, task, url, flags)

    def scene(self, operator: Breakable) -> Scene:
        """Return a scene with an object that the operator has made Ready."""
        scene = Scene(self.server, self._namespace, self._simulator, operator)
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        scene.wait_ready()
        return scene


@pytest.fixture
def bench(installed: ApiServer, no_operator: None, namespace: str, simulator: OnPremises) -> Bench:  # noqa: ARG001 - nobody else leads
    """Provide a bench, and no Lease."""
    free_lease(installed)
    return Bench(installed, namespace, simulator)


def touch(scene: Scene, value: int) -> None:
    """Have each watch deliver something."""
    scene.kubectl("label", "bek,secrets", "--all", f"touched={value}", "--overwrite")


def test_an_event_loop_that_stands_still_answers_no_probe(bench: Bench) -> None:
    """Once it moves again, nothing is said against the process."""
    with bench.operator() as operator:
        scene = bench.scene(operator)
        operator.send(signal.SIGUSR1)
        scene.wait_for(lambda: operator.healthz() == "", "the probe is not answered", 60)
        assert operator.healthz() == ""
        operator.send(signal.SIGUSR2)
        scene.wait_for(lambda: operator.is_ready() and operator.healthz() != "", "the probes are answered", 60)


@pytest.mark.parametrize(
    "task",
    [
        "informer",
        "object watch",
        "leadership",
        "secret watch",
        "check of the API server",
        "workers of numbers",
        "worker 1 of events",
    ],
)
def test_a_task_that_dies_ends_the_process(bench: Bench, task: str) -> None:
    """Its name is in the last line of the log, and the exit status says that this was no order."""
    with bench.operator(task) as operator:
        scene = bench.scene(operator)
        operator.send(signal.SIGHUP)
        scene.wait_for(lambda: operator.exit_status is not None, "the process ends", 60)
        assert operator.exit_status == 1
        # Python itself may add a warning about a connection, which is no line of the log.
        lines = [line for line in operator.log.read_text("utf-8").splitlines() if line.startswith("{")]
        assert json.loads(lines[-1])["message"] == f"stopped: {task}: ended by itself"


def test_watches_that_are_silent_while_all_else_passes_are_lost(bench: Bench) -> None:
    """Also when every new watch is accepted; one that delivers is enough for as long as it does."""
    with (
        WatchProxy(bench.server.url, bench.server.ca_file) as proxy,
        bench.operator(url=proxy.url) as operator,
    ):
        scene = bench.scene(operator)
        for value in range(20):
            touch(scene, value)
            scene.wait_for(lambda: operator.healthz() == OK, "the watches deliver", 60)
        proxy.silent.set()
        scene.wait_for(lambda: "delivered nothing" in operator.healthz(), "the probe fails", 60)
        assert operator.healthz().startswith((f"the watch {SECRETS} ", f"the watch {OBJECTS} "))
        assert operator.exit_status is None


def test_the_only_watch_is_silent_while_nothing_else_is_asked(bench: Bench) -> None:
    """Without leader election and a watch on Secrets; an API server that is away is still no reason."""
    with (
        WatchProxy(bench.server.url, bench.server.ca_file) as proxy,
        bench.operator(url=proxy.url, flags=ALONE) as operator,
    ):
        scene = bench.scene(operator)
        with bench.server.outage():
            scene.wait_for(lambda: not operator.is_ready(), "the watch is down", 90)
            assert operator.healthz() == OK
        scene.wait_for(operator.is_ready, "it is ready again", 60)
        proxy.silent.set()
        scene.wait_for(lambda: operator.healthz().startswith(f"the watch {OBJECTS} "), "the probe fails", 60)
        assert operator.exit_status is None


def test_an_api_server_that_is_away_restarts_nobody(bench: Bench) -> None:
    """For longer than a watch may be silent: until the Lease is lost, and ever after."""
    with bench.operator() as operator:
        scene = bench.scene(operator)
        with bench.server.outage():
            scene_lost = "stands by: the Lease was lost"
            scene.wait_for(lambda: scene_lost in operator.log.read_text("utf-8"), "the Lease is lost", 60)
            scene.wait_for(lambda: not operator.is_ready(), "the watch is down", 90)
            assert operator.healthz() == OK
            assert operator.exit_status is None
