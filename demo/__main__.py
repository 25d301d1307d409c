"""`python -m demo`: the operator on a real API server that this program starts.

It starts everything that it needs, goes through the tour, and on a terminal stays up for commands. Whatever KUBECONFIG
says, no other cluster is called; however it ends, nothing is left behind.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path

from demo.console import Console, Shell, StepFailedError, path_with
from demo.mixed import Mixed
from demo.play import Play, plugin_folder
from demo.tour import AT_META, NAMESPACE, ON_PREMISES, PHONE_NUMBER_ID, Tour
from support.cluster.apiserver import ApiServer, KubectlError
from support.cluster.operator_process import OperatorProcess
from support.cluster.plugin import install
from support.cluster.scene import Scene
from support.cluster.servers import ApiServerError
from support.programs import interrupts
from support.programs.binaries import MissingBinaryError, ensure
from support.programs.gobuild import BuildError
from support.programs.processes import tail
from support.simulators.business import Business
from support.simulators.cloud import Cloud
from support.simulators.flows_endpoint import FlowsEndpoint
from support.simulators.on_premises import OnPremises

_PAUSE_SECONDS = 0.8
_CANNOT_START = (MissingBinaryError, BuildError, ApiServerError)
_STEP_FAILED = (StepFailedError, KubectlError, ApiServerError, subprocess.SubprocessError)


def main() -> int:
    """Run the demo; return the exit status."""
    interrupts.expect()
    # Python has no stdin where it was started without one.
    terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    stays = terminal and os.environ.get("DEMO_EXIT", "0") in {"", "0"}
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(sys.stdout, colour=sys.stdout.isatty() and not plain, pause=_PAUSE_SECONDS if terminal else 0.0)
    try:
        status = run(console, stays=stays)
    except interrupts.Ended as ended:
        status = ended.exit_status
    except _CANNOT_START as error:
        console.bad(str(error))
        return 1
    except BrokenPipeError:
        # The reader is gone; Python would try to write the rest once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    with suppress(OSError):  # a terminal that was closed
        console.say("Everything that was started here is removed again.")
    return status


def run(console: Console, *, stays: bool) -> int:
    """Start everything, go through the tour, take commands if asked to, end everything; return the exit status."""
    console.say(
        "This demo starts a Kubernetes API server of its own, on this machine only. It calls no other cluster,\n"
        "whatever your KUBECONFIG says, and at its end everything is removed. Ctrl-C ends it at any time."
    )
    if shutil.which("openssl") is None:
        raise MissingBinaryError("The demo makes its keys with openssl, which is not on your PATH.")
    binaries = ensure()
    began = time.monotonic()
    with ExitStack() as stack:
        console.say("Starting etcd, kube-apiserver, two simulated WhatsApp API pods and a simulated Cloud API ...")
        server = ApiServer(binaries)
        stack.callback(server.stop)
        server.start()
        simulator = stack.enter_context(OnPremises(ON_PREMISES, own_ports=False))
        business = Business(stack.enter_context(Cloud()))
        business.add(AT_META, PHONE_NUMBER_ID)
        numbers = Mixed(simulator, business, stack.enter_context(FlowsEndpoint()))
        operator = OperatorProcess(server, flags_for(numbers, server.folder))
        scene = Scene(server, NAMESPACE, simulator, operator)
        stack.callback(interrupts.ignore)  # the first thing that happens at the end
        kubeconfig = server.kubeconfig(name="demo", namespace=NAMESPACE)
        shell = shell_for(scene, console, kubeconfig)
        status = walk(Tour(scene, numbers, shell), scene, console)
        if status == 0:
            console.good(f"Every step succeeded, in {time.monotonic() - began:.0f} s.")
            if stays:
                play = Play(scene, numbers, shell, kubeconfig)
                play.invite()
                play.follow(sys.stdin)
    return status


def flags_for(numbers: Mixed, folder: Path) -> list[str]:
    """Return the flags for an operator to reach the numbers, which are all on this machine."""
    cloud = numbers.business.cloud
    ca_bundle = folder / "cloud-ca.crt"
    ca_bundle.write_text(cloud.certificate.authority, encoding="ascii")
    ports = (numbers.on_premises.port, cloud.port, numbers.endpoint.port)
    return [
        *(f"--allow-host=127.0.0.1:{port}" for port in ports),
        f"--cloud-url={cloud.url}",
        f"--cloud-ca={ca_bundle}",
    ]


def shell_for(scene: Scene, console: Console, kubeconfig: Path) -> Shell:
    """Return a shell with the scene's cluster only, and with our kubectl and its plugin."""
    server = scene.api_server
    plugin = plugin_folder(scene)
    plugin.mkdir(exist_ok=True)
    install(plugin)
    return Shell(
        console,
        {
            **server.keeper.clean_env(),
            "KUBECONFIG": str(kubeconfig),
            "PATH": path_with(plugin, server.binaries.kubectl.parent),
        },
    )


def walk(tour: Tour, scene: Scene, console: Console) -> int:
    """Go through the tour; return the exit status, and if a step failed, show the object and the log."""
    try:
        tour.walk()
    except _STEP_FAILED as failed:
        expected = f"Expected {failed}" if isinstance(failed, StepFailedError) else str(failed)
        console.bad(f"This step failed. {expected}")
        with suppress(*_STEP_FAILED):
            console.say("The object:")
            console.show(scene.kubectl("get", "bek", "--output=yaml", "--request-timeout=10s", check=False))
        console.say("The end of the operator's log:")
        with suppress(FileNotFoundError):
            console.show(tail(scene.operator.log))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
