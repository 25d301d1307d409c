"""Deletion, restarts, crashes and outages of operator and API server."""

import json
import signal
import sys
from pathlib import Path

import pytest
import yaml

from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.audit import AuditEvent
from support.cluster.operator_process import SOURCE, OperatorProcess
from support.cluster.scene import Scene
from support.cluster.servers import wait_until_up
from support.programs.processes import Keeper

DEPLOY = Path(__file__).parents[2] / "deploy" / "default"
USER = "system:serviceaccount:bek-system:bek-operator"


def operator_writes(events: list[AuditEvent]) -> list[AuditEvent]:
    """Return what the operator wrote."""
    return [event for event in events if event.is_write and event.user == USER]


@pytest.mark.parametrize("running", [True, False], ids=["operator up", "operator down"])
def test_deletion_returns_at_once_and_calls_nobody(scene: Scene, *, running: bool) -> None:
    """`kubectl delete` waits for nobody, and the numbers keep their key."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.simulator.forget_requests()
    if not running:
        scene.operator.kill()

    scene.kubectl("delete", "bek", "--all", "--timeout=2s")
    scene.operator.ensure_running()

    assert scene.kubectl("get", "bek", "--output=name") == ""
    assert scene.simulator.requests == []
    assert scene.simulator.all_hold(keys.rsa().public)


def test_a_restart_over_a_hundred_healthy_objects_publishes_and_writes_nothing(scene: Scene) -> None:
    """After a restart there is no POST at any number and no write in the API server's audit log."""
    listed = list(scene.simulator.pods)[:1]
    for index in range(100 - len(listed)):
        listed.append(f"+1557{index:07}")
        scene.simulator.add(listed[-1], own_port=False)
    scene.put_key(keys.rsa())
    manifests = [scene.manifest(f"flows-{place}", [number]) for place, number in enumerate(listed)]
    scene.kubectl("create", "--filename=-", stdin="\n---\n".join(json.dumps(one) for one in manifests))
    scene.kubectl("wait", "--for=condition=Ready", "bek", "--all", "--timeout=60s")
    assert scene.operator.stop() == 0
    mark = scene.api_server.audit_mark()
    scene.simulator.forget_requests()

    scene.operator.start()
    # A change that can only be seen by an operator that has read everything and works.
    scene.kubectl("annotate", "bek", "flows-0", "bek.dev/requested-at=now")
    scene.wait_for(lambda: scene.get("flows-0")["status"].get("lastHandledReconcileAt") == "now", "it works again")

    # What a write has changed may be seen before the write itself is in the log.
    scene.wait_for(lambda: bool(operator_writes(scene.api_server.audit(mark))), "the echo of the request is in the log")
    written = operator_writes(scene.api_server.audit(mark))
    assert scene.simulator.publishes == 0
    assert [(event.verb, event.name) for event in written] == [("update", "flows-0")]


def test_a_key_rotated_while_the_operator_was_down_is_published_afterwards(scene: Scene) -> None:
    """Changes while it was down are handled afterwards."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.operator.kill()
    scene.put_key(keys.rsa("second"))

    scene.operator.start()
    scene.wait_for(lambda: scene.simulator.all_hold(keys.rsa("second").public), "the new key is everywhere")
    scene.wait_for(
        lambda: (
            scene.get()["status"]["publicKeyFingerprint"] == keys.rsa("second").fingerprint
            and scene.ready()[0] == "True"
        ),
        "the status tells",
    )


def test_a_crash_before_the_status_is_written_costs_one_publish_at_most(scene: Scene) -> None:
    """A number that is never VALID is not published to again and again by a process that dies each time."""
    first = next(iter(scene.simulator.pods))
    pod = scene.simulator[first]
    pod.forgetful = True
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest(numbers=[first]))
    pod.wait_until(lambda: pod.publishes == 1)
    scene.operator.kill()
    scene.operator.start()
    scene.wait_for(lambda: scene.rows().get(first, {}).get("publishes", 0) >= 1, "the publish is on record")
    scene.operator.kill()
    scene.operator.start()
    reads = pod.reads
    pod.wait_until(lambda: pod.reads > reads)

    assert pod.publishes <= 2


def test_an_outage_of_the_api_server_is_survived(scene: Scene) -> None:
    """The operator continues after an outage of the API server, without a restart."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    pid = scene.operator.pid

    with scene.api_server.outage():
        pass
    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: scene.simulator.all_hold(keys.rsa("second").public), "the new key is everywhere", 60)

    # An API server that has just started does not serve the CRD at once.
    scene.wait_for(scene.operator.is_ready, "the operator is ready")
    assert scene.operator.pid == pid


def test_it_starts_as_the_deployment_starts_it(installed: ApiServer, no_operator: None) -> None:  # noqa: ARG001 - one is enough
    """The arguments that are shipped are enough, and SIGTERM ends it in good order."""
    manifests = yaml.safe_load_all(installed.kubectl("kustomize", str(DEPLOY)).stdout)
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0].get("args", [])

    with OperatorProcess(installed, arguments, name="as-deployed") as process:
        status = process.stop()

    assert status == 0


KUBECONFIG_OF_NOBODY = """
apiVersion: v1
kind: Config
current-context: nobody
contexts: [{name: nobody, context: {cluster: nobody, user: nobody}}]
clusters: [{name: nobody, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: sesame}}]
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_before_there_is_an_api_server(signum: signal.Signals) -> None:
    """In good order, as later on: who waits for the API server is not to be killed for it."""
    with Keeper("bek-test") as keeper:
        kubeconfig = keeper.folder / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG_OF_NOBODY, encoding="utf-8")
        log = keeper.log("operator")
        process = keeper.spawn(
            "operator",
            [sys.executable, "-m", "bek_operator", "--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"],
            env={"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        )
        wait_until_up(
            "the operator", process, lambda: "cannot list BusinessEncryptionKeys" in log.read_text("utf-8"), log
        )

        process.send_signal(signum)
        status = process.wait(20)
        output = log.read_text("utf-8")

    assert status == 0
    assert output.splitlines()[-1].endswith(f"bek_operator: stopped: {signum.name}")
    assert "Traceback" not in output
