"""The operator outlives its API server's bad times: afterwards all is right, and without help.

Between the two is a network that can be cut, frozen and mended. After each bad time the status tells the truth, each
number was published to exactly once (the process lives and knows what it did), no more was asked of the API server than
its back-offs allow, and the process has not grown.
"""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster import etcd
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import Scene
from support.cluster.servers import client_context
from support.cluster.tcp_proxy import Direction, TcpProxy
from support.cluster.vitals import Vitals
from support.simulators import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.audit import AuditEvent
    from support.simulators.on_premises import OnPremises

USER = "system:serviceaccount:bek-system:bek-operator"
BINDINGS = ("clusterrolebinding/bek-operator",)
FIRST, SECOND, THIRD = (keys.rsa(name) for name in ("first", "second", "third"))
RETRIES = 60
"""More than any back-off lets through for one object in the seconds that a bad time lasts here; a loop makes thousands."""


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace, and the network through which the operator reaches its API server."""

    scene: Scene
    network: TcpProxy

    def start(self, numbers: int = 24) -> None:
        """Have an object Ready with so many numbers, and forget how that came about."""
        for index in range(numbers - len(self.scene.simulator.pods)):
            self.scene.simulator.add(f"+1556{index:07}", own_port=False)
        self.scene.put_key(FIRST)
        self.scene.apply(self.scene.manifest(rollout={"type": "AllAtOnce"}))
        self.scene.wait_ready()
        self.scene.simulator.forget_requests()

    def wait_signed(self, pair: keys.KeyPair, seconds: float = 45) -> None:
        """Wait until the status tells that every number holds a key."""
        self.scene.wait_for(lambda: is_signed(self.scene, pair), "the status tells", seconds)

    def publishes(self) -> dict[str, list[str]]:
        """Return the keys that each number was given since the start."""
        return {number: pod.published for number, pod in self.scene.simulator.pods.items()}

    def each_got(self, *pairs: keys.KeyPair) -> dict[str, list[str]]:
        """Return what `publishes` is when each number was given these keys, once."""
        return dict.fromkeys(self.scene.simulator.pods, [pair.fingerprint for pair in pairs])

    def requests(self, since: int) -> list[AuditEvent]:
        """Return what the operator asked of the API server."""
        return [one for one in self.scene.api_server.audit(since) if one.user == USER]

    def writes(self, since: int) -> list[AuditEvent]:
        """Return the writes of statuses among them."""
        return [one for one in self.requests(since) if one.is_write and one.subresource == "status"]


def is_signed(scene: Scene, pair: keys.KeyPair, name: str = "flows") -> bool:
    """Return whether an object is Ready with a key."""
    status = scene.get(name).get("status", {})
    return status.get("publicKeyFingerprint") == pair.fingerprint and scene.ready(name) == ("True", "Succeeded")


@pytest.fixture
def place(installed: ApiServer, namespace: str, simulator: OnPremises, no_operator: None) -> Iterator[Place]:
    """Provide an operator of the test's own, behind a network of its own."""
    del no_operator
    flags = ["--allow-host=127.0.0.1:*", "--concurrency-per-host=50", "--log-level=debug"]
    with (
        TcpProxy(lambda: installed.address) as network,
        OperatorProcess(installed, flags, name="survivor", server=network.url) as operator,
    ):
        scene = Scene(installed, namespace, simulator, operator)
        scene.put_access()
        yield Place(scene, network)
        assert operator.is_running()
        assert "Traceback" not in scene.log_text()


@contextmanager
def unharmed(place: Place) -> Iterator[None]:
    """Assert that the process inside the block is ready afterwards, the same one, and has not grown."""
    operator = place.scene.operator
    pid, before = operator.pid, Vitals.of(operator.pid)
    yield
    place.scene.wait_for(operator.is_ready, "it is ready again", 60)
    assert operator.pid == pid
    assert Vitals.of(pid).grown_beyond(before) == []


def begin_rotation(place: Place) -> faults.Hang:
    """Rotate the key; return when half of the numbers have it and the others are in the middle of being published to."""
    numbers = list(place.scene.simulator.pods.values())
    hang = faults.Hang()
    for pod in numbers[::2]:
        pod.fail("publish", hang)
    place.scene.put_key(SECOND)
    place.scene.simulator.wait_until(
        lambda: place.scene.simulator.publishes == len(numbers) and all(pod.busy for pod in numbers[::2]),
        what="half of the publishes hang",
    )
    return hang


def test_an_api_server_that_restarts_in_the_middle_of_a_rotation(place: Place) -> None:
    """The rotation goes on without it, and is told when it is back."""
    place.start()
    with unharmed(place):
        hang = begin_rotation(place)
        connections, mark = place.network.connections, place.scene.api_server.audit_mark()
        with place.scene.api_server.outage():
            hang.release()
            place.scene.simulator.wait_until(lambda: place.scene.simulator.all_hold(SECOND.public))
        place.wait_signed(SECOND)

    assert place.publishes() == place.each_got(SECOND)
    assert place.network.connections - connections < RETRIES
    assert len(place.writes(mark)) < RETRIES


def test_a_watch_that_expired_loses_nothing(place: Place) -> None:
    """What changed while the operator was cut off is found by listing again; what was deleted is left alone."""
    place.start(3)
    first, second, third = place.scene.simulator.pods
    place.scene.change(phoneNumbers=[{"phoneNumber": first}])
    place.scene.apply(place.scene.manifest("short-lived", [second]))
    place.scene.wait_ready("short-lived")
    with unharmed(place):
        place.network.refuse()
        place.scene.kubectl("delete", "bek", "short-lived")
        place.scene.apply(place.scene.manifest("new", [third]))
        place.scene.put_key(SECOND)
        # A server that has just started remembers no event, so that no watch can go on from before.
        with place.scene.api_server.outage():
            pass
        place.scene.kubectl("create", "configmap", "later")
        mark = place.scene.api_server.audit_mark()
        place.network.mend()
        place.wait_signed(SECOND)
        place.scene.wait_for(lambda: is_signed(place.scene, SECOND, "new"), "the new object is served")

    listed = {one.resource for one in place.requests(mark) if one.verb == "list"}
    assert listed >= {"secrets", "businessencryptionkeys"}
    assert place.publishes() == {first: [SECOND.fingerprint], second: [], third: [SECOND.fingerprint]}


CUTS = {"answers": (1, 300, 1_000, 1_700, 2_300, 3_000, 5_000, 8_000), "requests": (1, 300, 600, 800, 1_200, 1_800)}


@pytest.mark.parametrize("direction", CUTS)
def test_connections_that_are_cut_half_way(place: Place, direction: Direction) -> None:
    """At whatever byte: in the handshake, in the middle of a list, of an event or of a status."""
    place.start()
    with unharmed(place):
        connections, mark = place.network.connections, place.scene.api_server.audit_mark()
        place.scene.put_key(SECOND)
        for left in CUTS[direction]:
            place.network.cut()
            resets = place.network.resets
            place.network.cut_after(**{direction: left})
            place.scene.wait_for(lambda resets=resets: place.network.resets > resets + 1, "two connections are cut")
        place.network.mend()
        place.wait_signed(SECOND)

    assert place.publishes() == place.each_got(SECOND)
    assert place.network.connections - connections < 8 * RETRIES
    assert len(place.writes(mark)) < RETRIES


def test_a_status_whose_answer_is_lost_is_written_once(place: Place) -> None:
    """The operator reads the object again and finds its own status there."""
    place.start(3)
    with unharmed(place):
        hang = begin_rotation(place)
        mark = place.scene.api_server.audit_mark()
        place.network.freeze("answers")
        hang.release()
        place.scene.wait_for(lambda: any(one.code == HTTPStatus.OK for one in place.writes(mark)), "it is written")
        place.network.cut()
        place.network.mend()
        place.wait_signed(SECOND)
        place.scene.put_key(THIRD)
        place.wait_signed(THIRD)

    assert place.publishes() == place.each_got(SECOND, THIRD)


def test_an_api_server_that_hangs(place: Place) -> None:
    """It accepts connections and answers nothing: the numbers go on, and every request has an end."""
    place.start()
    with unharmed(place):
        hang = begin_rotation(place)
        connections, mark = place.network.connections, place.scene.api_server.audit_mark()
        place.network.freeze()
        hang.release()
        place.scene.simulator.wait_until(lambda: place.scene.simulator.all_hold(SECOND.public))
        place.scene.wait_for(lambda: "no response in time" in place.scene.log_text(), "a request is given up", 40)
        place.network.mend()
        place.wait_signed(SECOND)

    assert place.publishes() == place.each_got(SECOND)
    assert place.network.connections - connections < RETRIES
    assert len(place.writes(mark)) < RETRIES


@pytest.mark.parametrize("watches", ["stay open", "are cut"])
def test_permissions_that_are_revoked_and_given_back(place: Place, watches: str) -> None:
    """Whether or not the watches are refused as well."""
    api_server = place.scene.api_server
    bound = [api_server.kubectl("get", one, "--output=json").stdout for one in BINDINGS]
    place.start()
    with unharmed(place):
        hang = begin_rotation(place)
        mark = api_server.audit_mark()
        api_server.kubectl("delete", *BINDINGS)
        try:
            hang.release()
            if watches == "are cut":
                place.network.cut()
            place.scene.wait_for(lambda: len(refused(place, mark)) > 2, "requests are refused")
        finally:
            for one in bound:
                api_server.kubectl("apply", "--filename=-", stdin=without_version(one))
        place.wait_signed(SECOND, 90)

    assert place.publishes() == place.each_got(SECOND)
    print(place.scene.log_text()[-5000:]); print([(r.verb,r.uri,r.code) for r in place.requests(mark)])
    assert len(refused(place, mark)) < RETRIES


def refused(place: Place, since: int) -> list[AuditEvent]:
    """Return what the operator was refused."""
    return [one for one in place.requests(since) if one.is_refused]


def without_version(body: str) -> str:
    """Return an object as it was before the API server stored it."""
    found = json.loads(body)
    for name in ("resourceVersion", "uid", "creationTimestamp"):
        del found["metadata"][name]
    return json.dumps(found)


def test_an_object_that_somebody_edits_all_the_time(place: Place) -> None:
    """As fast as the API server takes it, so that statuses meet conflicts: it is told all the same."""
    place.start()
    with unharmed(place):
        mark = place.scene.api_server.audit_mark()
        with editor(place.scene) as edits:
            place.scene.put_key(SECOND)
            place.wait_signed(SECOND)
            edits_then = edits()
        conflicts = [one for one in place.writes(mark) if one.code == HTTPStatus.CONFLICT]
        assert edits_then > 50

    assert place.publishes() == place.each_got(SECOND)
    print(f"{edits_then} edits, {len(place.writes(mark))} writes, {len(conflicts)} conflicts, {len(place.requests(mark))} requests")
    assert len(place.writes(mark)) < RETRIES


@contextmanager
def editor(scene: Scene) -> Iterator[Callable[[], int]]:
    """Edit an annotation of the object without a pause inside the block; provides how often that was done."""
    ended, done = threading.Event(), []
    server = scene.api_server
    headers = {"Authorization": f"Bearer {server.admin_token}", "Content-Type": "application/merge-patch+json"}
    path = f"/apis/bek.dev/v1alpha1/namespaces/{scene.namespace}/businessencryptionkeys/flows"

    def edit() -> None:
        context = client_context(server.ca_file)
        with closing(http.client.HTTPSConnection(*server.address, timeout=30, context=context)) as connection:
            while not ended.is_set():
                body = json.dumps({"metadata": {"annotations": {"example.com/edit": str(len(done))}}})
                connection.request("PATCH", path, body=body, headers=headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == HTTPStatus.OK
                done.append(answer.status)

    thread = threading.Thread(target=edit, name="editor", daemon=True)
    thread.start()
    try:
        yield lambda: len(done)
    finally:
        ended.set()
        thread.join()


def test_an_etcd_that_is_full(place: Place) -> None:
    """While no status can be written a key is published once, however often it is lost; afterwards all is told."""
    place.start(3)
    place.scene.change(intervalSeconds=10)
    pods = list(place.scene.simulator.pods.values())
    with unharmed(place):
        mark = place.scene.api_server.audit_mark()
        with etcd.full(place.scene.api_server.folder):
            for pod in pods:
                pod.forgetful = True
                pod.re_register()
            place.scene.simulator.wait_until(lambda: all(pod.publishes for pod in pods), 30, "it is published again")
            reads = {pod.number: pod.reads for pod in pods}
            place.scene.simulator.wait_until(lambda: all(pod.reads > reads[pod.number] + 2 for pod in pods), 30)
            assert [pod.publishes for pod in pods] == [1, 1, 1]
            assert not [one for one in place.writes(mark) if one.code == HTTPStatus.OK]
        for pod in pods:
            pod.forgetful = False
            pod.hold(FIRST.public, valid=True)
        place.scene.wait_for(lambda: {row.get("publishes") for row in place.scene.rows().values()} == {1}, "it is told")
        place.wait_signed(FIRST)

    assert [pod.publishes for pod in pods] == [1, 1, 1]
    assert len(place.writes(mark)) < RETRIES
