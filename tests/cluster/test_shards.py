"""The shards of `deploy/examples/shards`, as its manifests start them, with an API server of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import NAMESPACE, SOURCE, OperatorProcess
from support.cluster.scene import Scene
from support.simulators.faults import Hang
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.audit import AuditEvent

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "examples" / "shards"
LOCAL = ["--allow-host=127.0.0.1:*", "--leader-elect=on", f"--lease-namespace={NAMESPACE}"]


class Shards:
    """The shards main and shard1, and an object that main has made Ready."""

    def __init__(self, scene: Scene, main: OperatorProcess, other: OperatorProcess) -> None:
        self.scene = scene
        self.main = main
        self.other = other

    def writes(self, shard: OperatorProcess, since: int) -> list[AuditEvent]:
        """Return the writes of a shard since a mark of the audit log, but for its Lease."""
        events = self.scene.api_server.audit(since)
        return [
            one for one in events if one.credential == shard.credential and one.is_write and one.resource != "leases"
        ]

    def move(self) -> None:
        """Label the object, so that it is in shard1."""
        self.scene.kubectl("label", "bek", "flows", "bek.dev/shard=shard1")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Provide an API server with the example applied."""
    with ApiServer() as server:
        server.kubectl("apply", f"--kustomize={EXAMPLE}")
        server.wait_until_established("businessencryptionkeys.bek.dev")
        yield server


@pytest.fixture
def shards(server: ApiServer) -> Iterator[Shards]:
    """Provide both, with the settings of their Deployments and under their rights."""
    namespace = f"messaging-{len(server.kubectl('get', 'namespaces', '--output=name').stdout.split())}"
    server.kubectl("create", "namespace", namespace)
    settings = settings_of(server)
    assert {*settings} == {"bek-operator", "bek-operator-shard1", "bek-operator-shard2"}
    with ExitStack() as stack:
        simulator = stack.enter_context(OnPremises(numbers(3)))
        processes = {
            name: OperatorProcess(
                server,
                [*flags, *LOCAL],
                name=f"{name}-{namespace}",
            )
            for name, flags in settings.items()
        }
        scene = Scene(server, namespace, simulator, processes["bek-operator"])
        shards = Shards(scene, processes["bek-operator"], processes["bek-operator-shard1"])
        for process in (shards.main, shards.other):
            stack.callback(process.stop)
            process.start()
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        scene.wait_ready()
        scene.wait_for(lambda: bool(scene.events()), "the events are posted")
        scene.wait_for(lambda: leads(shards.main) and leads(shards.other), "each shard has a leader")
        yield shards
        scene.kubectl("delete", "bek", "--all")


def told(scene: Scene, name: str = "flows") -> tuple[Any, ...]:
    """Return what the status tells, but for what a requested check clears."""
    status = scene.get(name)["status"]
    rows = [{name: value for name, value in row.items() if name != "publishes"} for row in status["phoneNumbers"]]
    return status["conditions"], status["signed"], status["publicKeyFingerprint"], rows


def leads(shard: OperatorProcess) -> bool:
    """Return whether a shard's process is the leader, by its log."""
    return "this process is the leader now" in shard.log.read_text("utf-8")


def settings_of(server: ApiServer) -> dict[str, list[str]]:
    """Return the flags that the example gives to each Deployment."""
    bodies: list[dict[str, Any]] = list(yaml.safe_load_all(server.kubectl("kustomize", str(EXAMPLE)).stdout))
    return {body["metadata"]["name"]: flags_of(body) for body in bodies if body["kind"] == "Deployment"}


def flags_of(deployment: dict[str, Any]) -> list[str]:
    """Return the flags that a Deployment gives to its processes."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = {one["name"].removeprefix("BEK_"): one["value"] for one in container.get("env", ())}
    return [f"--{name.lower().replace('_', '-')}={value}" for name, value in variables.items()]


class Pods:
    """One process for each Deployment of an API server, which has no controllers of its own."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._count = 0
        self.running: dict[str, OperatorProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running.values():
            process.kill()

    def follow(self) -> None:
        """End the processes of Deployments that are gone, and start those of new ones."""
        answer = self._server.kubectl("get", "deployments", f"--namespace={NAMESPACE}", "--output=json")
        deployments = {one["metadata"]["name"]: one for one in json.loads(answer.stdout)["items"]}
        for name in {*self.running} - {*deployments}:
            assert self.running.pop(name).stop() == 0
        for name in {*deployments} - {*self.running}:
            self._count += 1
            process = OperatorProcess(
                self._server, [*flags_of(deployments[name]), *LOCAL], name=f"{name}-{self._count}"
            )
            self.running[name] = process
            process.start()


def commands(section: str) -> list[list[str]]:
    """Return the arguments of each kubectl that a section of the page shows."""
    page = (ROOT / "docs" / "sharding.md").read_text(encoding="utf-8")
    text = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    kubectl (.+)$", text, re.MULTILINE)
    assert len(lines) > 3
    return [line.replace("deploy/", f"{ROOT}/deploy/").split() for line in lines]


def test_a_healthy_object_is_handed_over_without_a_trace(shards: Shards) -> None:
    """No publish, no write, no condition that changes; the new shard checks on, and each has a Lease of its own."""
    scene = shards.scene
    before = told(scene)
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()

    shards.move()
    # What only the new shard can do.
    scene.request_check("after the move")
    scene.wait_for(lambda: scene.handled() == "after the move", "the new shard works on it")

    assert scene.simulator.publishes == 0
    assert told(scene) == before
    assert shards.writes(shards.main, mark) == []
    assert {(one.verb, one.resource) for one in shards.writes(shards.other, mark)} == {
        ("update", "businessencryptionkeys")
    }
    leases = json.loads(scene.api_server.kubectl("get", "leases", f"--namespace={NAMESPACE}", "--output=json").stdout)[
        "items"
    ]
    assert {one["metadata"]["name"] for one in leases} == {"bek-operator", "bek-operator-shard1"}


def test_a_rotation_that_is_cut_by_a_move_ends_with_the_new_key(shards: Shards) -> None:
    """A publish of the old shard that is under way goes on; each number is published to once more at most."""
    scene, pair = shards.scene, keys.rsa("second")
    pods = list(scene.simulator.pods.values())
    hangs = [pod.fail("publish", Hang()) for pod in pods[:2]]
    scene.put_key(pair)
    scene.wait_for(lambda: all(pod.publishes == 2 for pod in pods[:2]), "publishes are under way")

    shards.move()
    mark = scene.api_server.audit_mark()
    scene.wait_for(lambda: bool(shards.writes(shards.other, mark)), "the new shard works on it")
    for hang in hangs:
        hang.release()
    scene.wait_for(lambda: scene.simulator.all_hold(pair.public), "the new key is everywhere", 60)
    scene.wait_for(lambda: scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint, "the status tells")
    scene.wait_ready()

    # One that was prepared before is refused, because the object has changed.
    assert {one.code for one in shards.writes(shards.main, mark) if one.resource != "events"} <= {409}
    assert {pod.publishes for pod in pods} <= {2, 3}


def test_from_one_operator_to_shards_and_back() -> None:
    """By the commands of the page: healthy objects are neither published to nor written, and no condition changes."""
    with ExitStack() as stack:
        server = stack.enter_context(ApiServer())
        simulator = stack.enter_context(OnPremises(numbers(3)))
        pods = stack.enter_context(Pods(server))
        server.kubectl("apply", f"--kustomize={ROOT / 'deploy' / 'default'}")
        server.wait_until_established("businessencryptionkeys.bek.dev")
        server.kubectl("create", "namespace", "messaging")
        pods.follow()
        (operator,) = pods.running.values()
        scene = Scene(server, "messaging", simulator, operator)
        scene.put_access()
        scene.put_key(keys.rsa())
        first, *others = simulator.pods
        scene.apply(scene.manifest(numbers=[first]), scene.manifest("others", others))
        for name in ("flows", "others"):
            scene.wait_ready(name)
        before = told(scene), told(scene, "others")
        mark = server.audit_mark()
        simulator.forget_requests()

        for section, deployments in (
            ("From one operator to shards", {"bek-operator", "bek-operator-shard1", "bek-operator-shard2"}),
            ("Back to one operator", {"bek-operator"}),
        ):
            for command in commands(section):
                server.kubectl(*command)
                pods.follow()
            assert {*pods.running} == deployments
            # What only the process can do whose object it is.
            scene.check("flows")
            scene.check("others")
            writers = {one.credential: one.name for one in scene.writes(mark) if one.name == "flows"}
            last = pods.running["bek-operator-shard1" if len(deployments) > 1 else "bek-operator"]
            assert list(writers)[-1] == last.credential
            assert (told(scene), told(scene, "others")) == before

        assert simulator.publishes == 0
        # One for each check, and one more for a check that takes a while.
        written = Counter(one.name for one in scene.writes(mark))
        assert written.keys() == {"flows", "others"}
        assert set(written.values()) <= {2, 3, 4}


def test_a_namespace_and_a_selector_must_both_match(server: ApiServer) -> None:
    """An object that lacks one of them is not read by itself, not called and not written."""
    names = ("sales", "support")
    flags = ["--namespace=sales", "--watch-label-selector=bek.dev/shard=shard1", "--lease-name=bek-operator-shard1"]
    with ExitStack() as stack:
        simulator = stack.enter_context(OnPremises(numbers(3)))
        operator = stack.enter_context(OperatorProcess(server, [*flags, *LOCAL], name="both"))
        sales, support = scenes = [Scene(server, name, simulator, operator) for name in names]
        for name, scene in zip(names, scenes, strict=True):
            server.kubectl("create", "namespace", name)
            scene.put_access()
            scene.put_key(keys.rsa())
        first, second, third = simulator.pods
        support.apply(support.manifest(numbers=[third]))
        sales.apply(sales.manifest("unlabelled", [second]), sales.manifest(numbers=[first]))
        support.kubectl("label", "bek", "flows", "bek.dev/shard=shard1")
        sales.kubectl("label", "bek", "flows", "bek.dev/shard=shard1")
        sales.wait_ready()
        assert [simulator.pods[one].requests for one in (second, third)] == [[], []]

        sales.kubectl("label", "bek", "unlabelled", "bek.dev/shard=shard1")
        sales.wait_ready("unlabelled")
        assert simulator.pods[third].requests == []
        assert "conditions" not in support.get()["status"]
        requests = [one for one in server.audit() if one.credential == operator.credential]
        assert {one.namespace for one in requests if one.resource in {"secrets", "businessencryptionkeys"}} == {"sales"}
        for scene in scenes:
            scene.kubectl("delete", "bek", "--all")


@pytest.mark.parametrize("text", ["a b", "a in (b"])
def test_an_invalid_selector_ends_the_process(server: ApiServer, text: str) -> None:
    """The last line names the flag and its value."""
    flags = [f"--watch-label-selector={text}", "--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"]
    ended = subprocess.run(
        [sys.executable, "-m", "bek_operator", *flags],
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig()), "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = (ended.stdout + ended.stderr).splitlines()[-1]
    assert (
        f"stopped: --watch-label-selector: must be a label selector such as app=flows,tier in (a,b), not {text!r}"
        in last
    )
    assert ended.returncode == 1
