"""The shipped image in Pods: installed, at work, replaced, killed, ended, and removed."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT
from support.cluster.scene import UserNamespace, conditions
from support.node.deployed import DEPLOY, LEASE, Deployed, Pod
from support.simulators import faults
from support.simulators.business import Business, provider_api, provider_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.audit import AuditEvent
    from support.node.node import Node
    from support.simulators.cloud import Cloud
    from support.simulators.on_premises import OnPremises
    from support.simulators.provider import Provider

CRDS = f"--kustomize={DEPLOY.parent / 'crds'}"
DEFINITION = "crd/businessencryptionkeys.bek.dev"
OBJECTS = ("on-premises", "cloud", "provider")
# A new leader checks each number at a random time within the interval.
SELDOM: dict[str, Any] = {"intervalSeconds": 604_800}
USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
TAKE_OVER = timedelta(seconds=15)


class Numbers:
    """The numbers of every API, and an object for those of each."""

    def __init__(self, user: UserNamespace, business: Business, provider: Provider) -> None:
        self._user = user
        self._business = business
        self._provider = provider
        business.add()

    def apply(self) -> None:
        """Apply the objects and the Secrets with their credentials."""
        listed = [{"phoneNumber": number.number, "api": "bsp"} for number in self._provider.numbers.values()]
        self._user.put_access()
        self._user.apply(
            *self._business.secrets(),
            *provider_secrets(self._provider),
            self._user.manifest("on-premises", **SELDOM),
            self._user.manifest("cloud", apis=[self._business.api()], phoneNumbers=self._business.listed(), **SELDOM),
            self._user.manifest("provider", apis=[provider_api(self._provider)], phoneNumbers=listed, **SELDOM),
        )

    def rotate(self, pair: keys.KeyPair) -> None:
        """Put a key into the Secret; return when every object says that it is signed with it."""
        self._user.put_key(pair)
        self._user.wait_for(lambda: self.are_signed(pair), "every object is signed")

    def are_signed(self, pair: keys.KeyPair) -> bool:
        """Return whether every object says so, and every number holds the key."""
        bodies = [self._user.get(name) for name in OBJECTS]
        told = all(
            conditions(body).get("Ready", {}).get("status") == "True"
            and body["status"]["publicKeyFingerprint"] == pair.fingerprint
            for body in bodies
        )
        homes = [*self._user.simulator.pods.values(), *self._business.numbers, *self._provider.numbers.values()]
        return told and all(home.holds(pair.public) for home in homes)

    def calls(self) -> int:
        """Return how many calls the numbers got since `forget`."""
        apis = (self._user.simulator, self._business.cloud, self._provider)
        return sum(len(api.requests) for api in apis)

    def forget(self) -> None:
        """Forget all calls."""
        for api in (self._user.simulator, self._business.cloud, self._provider):
            api.forget_requests()


@pytest.fixture(scope="module")
def user(node: Node, simulator: OnPremises) -> UserNamespace:
    """Provide a namespace with a user's objects."""
    return UserNamespace(node.api_server, "messaging", simulator)


@pytest.fixture(scope="module")
def all_numbers(user: UserNamespace, cloud: Cloud, provider: Provider) -> Numbers:
    """Provide numbers of every API."""
    return Numbers(user, Business(cloud), provider)


@pytest.fixture
def operator(deployed: Deployed, with_simulators: Path) -> Deployed:
    """Provide the Deployment, rolled out, with two Pods of which one leads."""
    deployed.apply(with_simulators)
    return deployed


@pytest.fixture
def signed(operator: Deployed, all_numbers: Numbers, user: UserNamespace) -> Iterator[Numbers]:
    """Provide an object for each API, all of them signed with the first key, and no record of how that came about."""
    del operator  # it works
    # A new object has no record of earlier keys, of which each gets a few within an hour.
    user.kubectl("delete", "bek", "--all")
    all_numbers.apply()
    all_numbers.rotate(keys.rsa())
    all_numbers.forget()
    yield all_numbers
    all_numbers.forget()


def status_writes(node: Node, since: int) -> list[AuditEvent]:
    """Return the operator's writes of statuses since a mark of the audit log, refused ones included."""
    requests = node.api_server.audit(since)
    return [one for one in requests if one.user == USER and one.is_write and one.subresource == "status"]


def follow(node: Node, *arguments: str) -> Path:
    """Start a kubectl that goes on in the operator's namespace; return the file with what it prints."""
    keeper, name = node.api_server.keeper, f"kubectl-{arguments[0]}"
    kubectl = [str(node.api_server.binaries.kubectl), f"--kubeconfig={node.api_server.folder}/admin.kubeconfig"]
    keeper.spawn(name, [*kubectl, *arguments, f"--namespace={NAMESPACE}"])
    return keeper.log(name)


def wait_ready(user: UserNamespace, operator: Deployed, pods: list[Pod]) -> None:
    """Wait until these very Pods, with the same processes, are ready."""
    user.wait_for(lambda: operator.pods() == pods, "the Pods are as they were", 60)


def test_the_shipped_manifests_install_it_without_a_warning(deployed: Deployed) -> None:
    """Neither kubectl nor the node warns of anything, and both replicas are ready at once."""
    warned = deployed.apply()

    pods = deployed.pods()
    assert warned == ""
    assert [(pod.is_ready, pod.restarts) for pod in pods] == [(True, 0)] * 2
    assert deployed.warnings() == []
    assert deployed.leader() in pods


def test_its_process_has_no_rights(operator: Deployed) -> None:
    """Neither root's user nor root's group, no capability, none to be had, and a filter of system calls."""
    found = operator.leader().process_status()

    assert [found[name] for name in ("Uid", "Gid")] == ["65532 65532 65532 65532"] * 2
    assert found["Groups"] in {"", "65532"}
    assert {found[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_numbers_of_every_api_are_signed_and_follow_a_rotation(signed: Numbers) -> None:
    """The objects become Ready, and so they do with another key."""
    signed.rotate(keys.rsa("second"))


def test_a_rolling_update_calls_no_number_and_writes_no_status(signed: Numbers, operator: Deployed, node: Node) -> None:
    """Every process is another one afterwards, and one of them leads and works."""
    before, mark = operator.pods(), node.api_server.audit_mark()

    operator.restart()

    assert signed.calls() == 0
    assert status_writes(node, mark) == []
    assert {pod.name for pod in before}.isdisjoint(pod.name for pod in operator.pods())
    assert operator.warnings() == []
    signed.rotate(keys.rsa("second"))  # it works


def test_a_killed_leader_is_replaced_by_the_standby(signed: Numbers, operator: Deployed, user: UserNamespace) -> None:
    """Within 15 seconds, by the Lease's own record; what changes in the meantime is done then, once."""
    leader, holder = operator.leader(), operator.holder()

    killed = datetime.now(UTC)
    os.kill(leader.pid, signal.SIGKILL)
    user.put_key(keys.rsa("second"))
    user.wait_for(lambda: operator.holder() not in {holder, ""}, "another process leads")
    acquired = operator.kubectl("get", LEASE, "--output=jsonpath={.spec.acquireTime}")
    user.wait_for(lambda: signed.are_signed(keys.rsa("second")), "every object is signed")

    assert datetime.fromisoformat(acquired) - killed < TAKE_OVER
    assert [pod.publishes for pod in user.simulator.pods.values()] == [1] * 3
    user.wait_for(lambda: [pod.is_ready for pod in operator.pods()] == [True] * 2, "the killed one is back", 60)


def test_a_pod_ends_clean_while_a_call_hangs(
    signed: Numbers, operator: Deployed, user: UserNamespace, node: Node
) -> None:
    """The process waits for the answer and ends by itself, with exit status 0; the next leader does what was left."""
    leader = operator.leader()
    terminated = '{.status.containerStatuses[0].state.terminated.exitCode}{"\\n"}'
    exit_status = follow(node, "get", f"pod/{leader.name}", "--watch", f"--output=jsonpath={terminated}")
    log = follow(node, "logs", f"pod/{leader.name}", "--follow")
    user.wait_for(lambda: bool(exit_status.read_text("utf-8") and log.read_text("utf-8")), "the Pod is followed")
    hung = next(iter(user.simulator.pods.values()))
    hung.fail("publish", faults.Hang())

    user.put_key(keys.rsa("second"))
    user.simulator.wait_until(lambda: hung.busy > 0, what="the publish hangs")
    operator.kubectl("delete", f"pod/{leader.name}")
    user.wait_for(lambda: signed.are_signed(keys.rsa("second")), "every object is signed")

    user.wait_for(lambda: '"stopped: ' in log.read_text("utf-8"), "the log is complete")
    assert log.read_text("utf-8").rstrip().endswith('"message": "stopped: SIGTERM"}')
    assert "Traceback" not in log.read_text("utf-8")
    assert set(exit_status.read_text("utf-8").split()) == {"0"}
    operator.wait_rolled_out()


def test_a_definition_that_is_deleted_is_waited_for(signed: Numbers, operator: Deployed, user: UserNamespace) -> None:
    """By the same processes, which are not ready meanwhile; what is applied when it is back is signed."""
    pods = operator.pods()

    user.kubectl("delete", CRDS)
    user.wait_for(lambda: not operator.leader().is_ready, "the leader says that it cannot work", 60)
    user.kubectl("apply", CRDS)
    user.api_server.wait_until_established(DEFINITION.removeprefix("crd/"))
    signed.apply()
    signed.rotate(keys.rsa("second"))

    wait_ready(user, operator, pods)


def test_it_is_removed_as_documented(signed: Numbers, operator: Deployed, user: UserNamespace) -> None:
    """The objects stay, no number is called, and no process is left; then the definition goes, with the objects."""
    pids = [pod.pid for pod in operator.pods()]

    user.kubectl("delete", "namespace", NAMESPACE)
    user.kubectl("delete", "clusterrole,clusterrolebinding", "--selector=app.kubernetes.io/name=bek-operator")

    assert len(user.objects()) == len(OBJECTS)
    assert signed.calls() == 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    user.kubectl("delete", CRDS)
    assert user.kubectl("get", DEFINITION, "--ignore-not-found") == ""
