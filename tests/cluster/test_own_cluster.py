"""What needs an API server of its own: certificates as kubectl takes them, and a definition that comes and goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import keys, tls
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import OperatorProcess
from support.cluster.plugin import Plugin
from support.cluster.scene import Scene
from support.cluster.servers import HOST
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEFAULT, CRDS = f"--kustomize={ROOT / 'deploy' / 'default'}", f"--kustomize={ROOT / 'crds'}"
SAMPLE = ROOT / "deploy" / "samples" / "cloud.yaml"
DEFINITION = "crd/businessencryptionkeys.bek.dev"
NAMESPACE = "messaging"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Provide an API server whose certificates have neither key identifiers nor key usage.

    Some clusters that were set up years ago are so. Go's clients don't mind, kubectl and the kubelet among them; Python
    refuses such certificates from 3.13 on by default.
    """
    with ApiServer(certificate=tls.lax(tls.lax_authority(), HOST)) as server:
        server.kubectl("create", "namespace", NAMESPACE)
        yield server


@pytest.fixture
def scene(server: ApiServer) -> Iterator[Scene]:
    """Provide a namespace with what an object needs, and an operator that is not started yet."""
    with OnPremises(numbers(2)) as simulator:
        operator = OperatorProcess(server, ["--allow-host=127.0.0.1:*"])
        scene = Scene(server, NAMESPACE, simulator, operator)
        server.kubectl("apply", DEFAULT)
        scene.put_access()
        scene.put_key(keys.rsa())
        yield scene
        operator.kill()


def test_the_operator_works_where_kubectl_does(scene: Scene) -> None:
    """Its own client and kopf both get through: objects and Secrets are watched once it is ready."""
    scene.operator.start()
    scene.operator.stop()

    requests = scene.api_server.audit()
    watched = {event.uri for event in requests if event.user.endswith(":bek-operator") and event.verb == "watch"}
    assert {uri.partition("?")[0] for uri in watched} == {
        "/apis/bek.dev/v1alpha1/businessencryptionkeys",
        "/api/v1/secrets",
    }
    assert "certificate" not in scene.log_text()


def test_a_definition_that_is_deleted_is_waited_for(scene: Scene) -> None:
    """By the same process, in one line; what appears when it is back is served as anything new is."""
    scene.operator.start()
    pid = scene.operator.pid
    scene.apply(scene.manifest())
    scene.wait_ready()

    scene.api_server.kubectl("delete", DEFINITION)
    scene.wait_for(lambda: "is not installed" in scene.log_text(), "it says what it waits for")
    assert not scene.operator.is_ready()
    scene.api_server.kubectl("apply", CRDS)
    scene.api_server.wait_until_established(DEFINITION.removeprefix("crd/"))
    scene.put_key(keys.rsa("second"))
    scene.apply(scene.manifest())
    scene.wait_ready()

    assert scene.simulator.all_hold(keys.rsa("second").public)
    scene.wait_for(scene.operator.is_ready, "it is ready again")
    assert scene.operator.pid == pid
    assert scene.operator.stop() == 0
    warned = [line for line in scene.log_text().splitlines() if " WARNING " in line or " ERROR " in line]
    # Kopf may say that it repeats a list, which is refused (429) while the API server prepares the storage.
    assert [line.partition(": ")[2] for line in warned if "will retry" not in line] == [
        "the CRD businessencryptionkeys.bek.dev is not installed; apply crds/ (the operator waits for it)",
    ]
    assert scene.log_text().splitlines()[-1].endswith("stopped: SIGTERM")
    assert "Traceback" not in scene.log_text()


@pytest.mark.parametrize("turn", range(3))
def test_a_fresh_installation_is_watched(scene: Scene, turn: int) -> None:
    """However soon after the definition it comes, an operator that says it is ready hears of objects and of edits."""
    name = f"flows-{turn}"
    scene.api_server.kubectl("delete", DEFINITION)

    scene.api_server.kubectl("apply", DEFAULT)
    scene.operator.start()
    scene.apply(scene.manifest(name))
    scene.wait_ready(name)
    scene.change(name, suspend=True)
    scene.operator.stop()

    assert "restarting it" not in scene.log_text()


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        *((name, "flows") for name in ("status", "check", "suspend", "resume", "key", "rotate", "endpoint")),
        ("diff", "--filename", str(SAMPLE)),
    ],
    ids=" ".join,
)
def test_kubectl_bek_without_the_definition(server: ApiServer, tmp_path: Path, command: tuple[str, ...]) -> None:
    """It says what to apply, here too."""
    server.kubectl("delete", CRDS, "--ignore-not-found")

    result = Plugin(server, tmp_path).run(*command)

    assert (result.returncode, result.stderr) == (
        2,
        "error: the CRD businessencryptionkeys.bek.dev is not installed in this cluster; apply crds/\n",
    )
