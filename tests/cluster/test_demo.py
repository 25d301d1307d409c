"""The demo: every step succeeds, no other cluster is called, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from demo.__main__ import shell_for, walk
from demo.console import ROOT, Console
from demo.mixed import Mixed
from demo.play import Play
from demo.tour import AT_META, ON_PREMISES, PHONE_NUMBER_ID, Tour
from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import Scene
from support.documents import fences, table
from support.simulators.business import Business
from support.simulators.flows_endpoint import FlowsEndpoint
from support.simulators.on_premises import OnPremises

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: precious, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: somebody, user: {{token: "0123456789"}}}}]
contexts: [{{name: precious, context: {{cluster: precious, user: somebody}}}}]
current-context: precious
"""


class Home:
    """A user's home on a machine where every configuration leads to a cluster that must not be called."""

    def __init__(self, folder: Path, api_server: ApiServer) -> None:
        self.precious = socket.create_server(("127.0.0.1", 0))
        self.precious.settimeout(0)
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        port = self.precious.getsockname()[1]
        config = folder / ".kube" / "config"
        config.parent.mkdir()
        config.write_text(KUBECONFIG.format(port=port), encoding="utf-8")
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), f"http://127.0.0.1:{port}")
        self.env = {
            "HOME": str(folder),
            "KUBECONFIG": str(config),
            # What a pod of that cluster would find.
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(port),
            **proxies,
            "KUBEBUILDER_ASSETS": str(api_server.binaries.etcd.parent),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ("operator", "tests", ".")),
            "TMPDIR": str(self.temporary),
        }

    def start_demo(self, **env: str) -> subprocess.Popen[str]:
        """Start the demo without a terminal."""
        return subprocess.Popen(
            [sys.executable, "-m", "demo"],
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def was_left_alone(self) -> bool:
        """Return whether nobody connected to the user's cluster."""
        try:
            self.precious.accept()
        except BlockingIOError:
            return True
        return False

    def leftovers(self) -> list[str]:
        """Return files, and processes that work in our folder for temporary files or name it."""
        found = [str(file) for file in self.temporary.rglob("*")]
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                output = (process / "cmdline").read_text(errors="replace")
                if str(self.temporary) in f"{process.joinpath('cwd').readlink()} {output}":
                    found.append(output.replace("\0", " "))
        return found


@pytest.fixture
def home(api_server: ApiServer) -> Iterator[Home]:
    """Provide a home whose path is short enough for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="home-") as folder:
        home = Home(Path(folder), api_server)
        yield home
        home.precious.close()


def shell_in(scene: Scene, out: StringIO) -> tuple[Console, Path]:
    """Return the demo's console, and a kubeconfig for the scene's namespace."""
    path = scene.api_server.folder / f"{scene.namespace}.kubeconfig"
    return Console(out), scene.api_server.kubeconfig(namespace=scene.namespace, path=path)


def test_all_of_the_tour_comes_true(home: Home) -> None:
    """Without a terminal the demo shows everything, ends by itself, and calls no cluster but its own."""
    with home.start_demo() as demo:
        output, _ = demo.communicate()

    assert demo.returncode == 0, output
    for milestone in (
        "3/3",
        "got it first",
        "2/3",
        "Unreachable",
        "StaleSignature",
        "Every step succeeded",
        "removed again",
    ):
        assert milestone in output
    (shown,) = fences((ROOT / "README.md").read_text(encoding="utf-8"), "text")
    last = output[output.rindex("$ kubectl bek status\n") :].partition("\n\n")[0]
    assert table(last) == table(shown)
    assert "\033" not in output
    assert home.was_left_alone()
    assert home.leftovers() == []


@pytest.mark.parametrize("moment", ["Starting etcd", "One key, three phone numbers"])
def test_ctrl_c_ends_the_demo_at_any_moment(home: Home, moment: str) -> None:
    """An interrupt gives its exit status, without a traceback, and everything is gone."""
    with home.start_demo() as demo:
        assert demo.stdout
        assert any(moment in line for line in demo.stdout)
        # To all of its group, as a terminal does.
        os.killpg(demo.pid, signal.SIGINT)
        rest, _ = demo.communicate()

    assert demo.returncode == 128 + signal.SIGINT
    assert "Traceback" not in rest
    assert home.leftovers() == []


def test_a_machine_without_openssl_is_reported_so(home: Home) -> None:
    """What is missing is named before anything is started."""
    with home.start_demo(PATH=str(home.temporary)) as demo:
        output, _ = demo.communicate()

    assert demo.returncode == 1
    assert "openssl, which is not on your PATH" in output
    assert home.leftovers() == []


def test_a_tour_that_does_not_come_true_fails(
    installed: ApiServer, namespace: str, operator: OperatorProcess, business: Business
) -> None:
    """The exit status is 1, and the output has the expectation, the object and the end of the operator's log."""
    out = StringIO()
    business.add(AT_META, PHONE_NUMBER_ID)
    with OnPremises(ON_PREMISES, own_ports=False) as simulator:
        simulator[ON_PREMISES[1]].stop()
        scene = Scene(installed, namespace, simulator, operator)
        console, kubeconfig = shell_in(scene, out)
        tour = Tour(
            scene, Mixed(simulator, business, FlowsEndpoint()), shell_for(scene, console, kubeconfig), seconds=2
        )
        status = walk(tour, scene, console)

    output = out.getvalue()
    assert status == 1
    assert "Expected all three numbers signed" in output
    assert "reason: Unreachable" in output
    assert not set(operator.log.read_text(encoding="utf-8").splitlines()).isdisjoint(output.splitlines())


def test_the_prompt_makes_trouble_for_the_numbers(scene: Scene, business: Business) -> None:
    """Each command does what the help says, an unknown one prints the help, and `quit` ends it."""
    out = StringIO()
    console, kubeconfig = shell_in(scene, out)
    at_meta = business.add()
    play = Play(
        scene, Mixed(scene.simulator, business, FlowsEndpoint()), shell_for(scene, console, kubeconfig), kubeconfig
    )
    first, second, third = scene.simulator.pods.values()
    second.overwrite(keys.rsa().public)
    lines = ["down 1", "lose 2", f"overwrite {third.number}", "down 4", "up 4", "up 9", "kubectl bogus"]

    play.follow(StringIO("\n".join([*lines, "kubectl auth whoami", "quit", "up 1"])))

    output = out.getvalue()
    assert (first.state, second.signature, third.signature) == ("stopped", "MISMATCH", "VALID")
    assert f"{first.number}  On-Premises  no key, down" in output
    assert f"{at_meta.number}  Cloud API    no key, down" in output
    assert business.cloud.state == "up"
    assert "Unknown command" in output
    assert 'unknown command "bogus"' in output
    assert "admin" in output
