"""Two replicas, as the Deployment has them: one works, the other stands by."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.operator_process import NAMESPACE, OperatorProcess, free_lease
from support.cluster.scene import Scene
from support.simulators.faults import Hang

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.audit import AuditEvent
    from support.simulators.on_premises import OnPremises

FLAGS = ["--allow-host=127.0.0.1:*", "--leader-elect=on", f"--lease-namespace={NAMESPACE}"]
WON, LOST = "this process is the leader now", "this process is not the leader any more"


class Replica(OperatorProcess):
    """One of the replicas."""

    def __init__(self, server: ApiServer, name: str) -> None:
        super().__init__(server, FLAGS, name=name)

    @property
    def leads(self) -> bool:
        """Whether it is the leader, by its log."""
        text = self.log.read_text("utf-8") if self.log.exists() else ""
        return text.rfind(WON) > text.rfind(LOST)

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)


class Replicas:
    """A leader and a standby, and the Lease by which they elect."""

    def __init__(self, scene: Scene, leader: Replica, standby: Replica) -> None:
        self.scene = scene
        self.leader = leader
        self.standby = standby

    def until_leads(self, replica: Replica) -> None:
        """Wait until a replica is the leader."""
        self.scene.wait_for(lambda: replica.leads, f"{replica.log.stem} leads", 60)

    def lease(self) -> dict[str, Any]:
        """Return the spec of the Lease."""
        answer = self.scene.api_server.kubectl("get", "lease", "bek-operator", f"--namespace={NAMESPACE}", "-ojson")
        spec: dict[str, Any] = json.loads(answer.stdout)["spec"]
        return spec

    def requests(self, replica: Replica, since: int) -> list[AuditEvent]:
        """Return the requests of a replica since a mark of the audit log."""
        return [one for one in self.scene.api_server.audit(since) if one.credential == replica.credential]

    def rotate(self, name: str) -> None:
        """Put another key into the Secret, and wait until every number holds it and the status says so."""
        pair = keys.rsa(name)
        self.scene.put_key(pair)
        self.scene.wait_for(lambda: self.scene.simulator.all_hold(pair.public), "the new key is everywhere", 60)
        self.scene.wait_for(
            lambda: (
                self.scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint
                and self.scene.ready()[0] == "True"
            ),
            "the status tells",
        )


def since_epoch(text: str) -> float:
    """Return the time of a MicroTime."""
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture
def replicas(installed: ApiServer, no_operator: None, namespace: str, simulator: OnPremises) -> Iterator[Replicas]:  # noqa: ARG001 - they are the only ones
    """Provide two replicas, and an object that the leader has made Ready."""
    free_lease(installed)
    leader, standby = Replica(installed, f"first-{namespace}"), Replica(installed, f"second-{namespace}")
    scene = Scene(installed, namespace, simulator, leader)
    with ExitStack() as stack:
        stack.enter_context(leader)
        replicas = Replicas(scene, leader, standby)
        replicas.until_leads(leader)
        stack.enter_context(standby)
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        scene.wait_ready()
        yield replicas


def test_a_standby_is_ready_and_sends_nothing(replicas: Replicas) -> None:
    """It only reads: objects and metadata of Secrets by watches, and the Lease."""
    scene, standby = replicas.scene, replicas.standby
    mark = scene.api_server.audit_mark()
    replicas.rotate("second")
    scene.wait_for(lambda: len(replicas.requests(standby, mark)) > 3, "the standby looks at the Lease")

    for replica in (replicas.leader, standby):
        assert (replica.probe("/readyz"), replica.probe("/healthz")) == ("ok\n", "ok\n")
    assert {(one.verb, one.resource) for one in replicas.requests(standby, mark)} <= {
        ("get", "leases"),
        ("watch", "secrets"),
        ("watch", "businessencryptionkeys"),
    }
    assert {(one.verb, one.resource) for one in replicas.requests(standby, 0) if one.is_write} == set()
    assert {pod.publishes for pod in scene.simulator.pods.values()} == {2}


def test_the_lease_tells_who_leads(replicas: Replicas) -> None:
    """In the form that kubectl and other tools know."""
    lease = replicas.lease()
    assert lease["holderIdentity"]
    assert (lease["leaseDurationSeconds"], lease["leaseTransitions"]) == (12, 0)
    assert abs(since_epoch(lease["renewTime"]) - time.time()) < 60
    assert lease["acquireTime"] <= lease["renewTime"]


def test_a_standby_takes_over_from_a_leader_that_is_stopped(replicas: Replicas) -> None:
    """The leader ends in good order and releases the Lease, so that nobody waits for it to expire."""
    before = replicas.lease()
    stopped_at = time.time()
    assert replicas.leader.stop() == 0
    replicas.until_leads(replicas.standby)

    after = replicas.lease()
    assert after["holderIdentity"] != before["holderIdentity"]
    assert after["leaseTransitions"] == 1
    assert since_epoch(after["acquireTime"]) - stopped_at < 8
    assert "the Lease is released" in replicas.leader.log.read_text("utf-8")
    replicas.rotate("second")
    assert {pod.publishes for pod in replicas.scene.simulator.pods.values()} == {2}


def test_a_standby_takes_over_from_a_leader_that_is_killed(replicas: Replicas) -> None:
    """When the Lease has expired, and not before; the key that was rotated meanwhile is published once."""
    replicas.leader.kill()
    last = since_epoch(replicas.lease()["renewTime"])
    replicas.rotate("second")

    assert replicas.standby.leads
    assert since_epoch(replicas.lease()["acquireTime"]) - last > 12
    assert {pod.publishes for pod in replicas.scene.simulator.pods.values()} == {2}


def test_a_leader_that_was_paused_sends_nothing_when_it_continues(replicas: Replicas) -> None:
    """It was paused in the middle of a rotation, which the standby has brought to its end."""
    scene, leader, standby = replicas.scene, replicas.leader, replicas.standby
    hangs = [pod.fail("read", Hang()) for pod in scene.simulator.pods.values()]
    scene.put_key(keys.rsa("second"))
    scene.request_check("during the pause")
    first = next(iter(scene.simulator.pods.values()))
    first.wait_until(lambda: any(one.kind == "read" for one in first.requests[-1:]))
    leader.send(signal.SIGSTOP)
    for hang in hangs:
        hang.release()
    replicas.until_leads(standby)
    scene.wait_for(lambda: scene.simulator.all_hold(keys.rsa("second").public), "the new key is everywhere", 60)
    scene.wait_ready()
    mark = scene.api_server.audit_mark()
    scene.simulator.forget_requests()

    leader.send(signal.SIGCONT)
    scene.wait_for(lambda: LOST in leader.log.read_text("utf-8"), "it knows that it is not the leader any more")
    scene.wait_for(lambda: "this process stands by" in leader.log.read_text("utf-8"), "it stands by")

    assert scene.simulator.publishes == 0
    assert {one.resource for one in replicas.requests(leader, mark) if one.is_write} <= {"leases"}
    assert standby.leads
    assert standby.stop() == 0
    scene.wait_for(lambda: leader.leads, "it leads again", 60)


def test_a_publish_under_way_ends_before_the_lease_is_released(replicas: Replicas) -> None:
    """SIGTERM lets it end, and it is in the status; the next leader finds it there, and does not publish it again."""
    scene, leader, standby = replicas.scene, replicas.leader, replicas.standby
    pods = list(scene.simulator.pods.values())
    hangs = [pod.fail("publish", Hang()) for pod in pods]
    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: any(pod.publishes == 2 for pod in pods), "a publish is under way")

    leader.send(signal.SIGTERM)
    before, mark = replicas.lease(), scene.api_server.audit_mark()
    scene.wait_for(lambda: replicas.lease()["renewTime"] > before["renewTime"], "the Lease is renewed all the same")
    assert replicas.lease()["holderIdentity"] == before["holderIdentity"]
    assert not standby.leads
    for hang in hangs:
        hang.release()
    assert leader.stop() == 0
    replicas.until_leads(standby)
    scene.wait_for(lambda: scene.simulator.all_hold(keys.rsa("second").public), "the new key is everywhere", 60)
    scene.wait_ready()

    assert {pod.publishes for pod in pods} == {2}
    assert {row["publishes"] for row in scene.rows().values()} == {1}
    writes = [one for one in replicas.requests(leader, mark) if one.is_write]
    assert [one.resource for one in writes if one.resource != "leases"] == ["businessencryptionkeys"]
    assert writes[-1].resource == "leases"
    assert leader.log.read_text("utf-8").splitlines()[-1].endswith("stopped: SIGTERM")


def test_an_outage_of_the_api_server_restarts_nobody(replicas: Replicas) -> None:
    """The leader stands by as long as it cannot renew the Lease; then one of the two leads again."""
    scene, leader, standby = replicas.scene, replicas.leader, replicas.standby
    pids = leader.pid, standby.pid

    with scene.api_server.outage():
        scene.wait_for(lambda: LOST in leader.log.read_text("utf-8"), "it has lost the Lease", 60)
    scene.wait_for(lambda: leader.leads or standby.leads, "one of them leads", 60)
    replicas.rotate("second")

    assert (leader.pid, standby.pid) == pids
    assert leader.leads != standby.leads
    assert {pod.publishes for pod in scene.simulator.pods.values()} == {2}


def test_a_rolling_upgrade_over_healthy_numbers_publishes_and_writes_nothing(replicas: Replicas) -> None:
    """Old and new processes side by side, as the Deployment has them: an old one ends when a new one is ready."""
    scene = replicas.scene
    listed = [f"+1557{index:07}" for index in range(200)]
    for number in listed:
        scene.simulator.add(number, own_port=False)
    manifests = [scene.manifest(f"flows-{place}", listed[place : place + 10]) for place in range(0, len(listed), 10)]
    scene.kubectl("create", "--filename=-", stdin="\n---\n".join(json.dumps(one) for one in manifests))
    scene.kubectl("wait", "--for=condition=Ready", "bek", "--all", "--timeout=60s")
    mark = scene.api_server.audit_mark()
    scene.simulator.forget_requests()

    third, fourth = (Replica(scene.api_server, f"{name}-{scene.namespace}") for name in ("third", "fourth"))
    with third:
        assert replicas.leader.stop() == 0
        scene.wait_for(lambda: replicas.standby.leads or third.leads, "another one leads")
        with fourth:
            assert replicas.standby.stop() == 0
            scene.wait_for(lambda: third.leads or fourth.leads, "a new process leads")
            # What only a process can do that has read everything and works.
            scene.request_check("after the upgrade", "flows-0")
            scene.wait_for(lambda: scene.handled("flows-0") == "after the upgrade", "it works")

    assert scene.simulator.publishes == 0
    assert {(one.verb, one.resource, one.name) for one in scene.writes(mark)} == {
        ("update", "businessencryptionkeys", "flows-0")
    }
