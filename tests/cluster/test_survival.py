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
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster import etcd
from support.cluster.servers import client_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cluster.audit import AuditEvent
    from support.cluster.networked_scene import NetworkedScene
    from support.cluster.scene import Scene
    from support.cluster.tcp_proxy import Direction

BINDING = "clusterrolebinding/bek-operator"
FIRST, SECOND, THIRD = (keys.rsa(name) for name in ("first", "second", "third"))
RETRIES = 60
"""More than any back-off lets through for one object in the seconds that a bad time lasts here."""


@pytest.fixture
def scene(networked: NetworkedScene) -> NetworkedScene:
    """Provide a scene whose network can be broken."""
    return networked


def test_an_api_server_that_restarts_in_the_middle_of_a_rotation(scene: NetworkedScene) -> None:
    """The rotation goes on without it, and is told when it is back."""
    scene.begin(FIRST)
    with scene.unharmed():
        hang = scene.begin_rotation(SECOND)
        connections, mark = scene.network.connections, scene.api_server.audit_mark()
        with scene.api_server.outage():
            hang.release()
            scene.simulator.wait_until(lambda: scene.simulator.all_hold(SECOND.public))
        scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)
    assert scene.network.connections - connections < RETRIES
    assert len(scene.status_writes(mark)) < RETRIES


def test_a_watch_that_expired_loses_nothing(scene: NetworkedScene) -> None:
    """What changed while the operator was cut off is found by listing again; what was deleted is left alone."""
    scene.begin(FIRST, 3)
    first, second, third = scene.simulator.pods
    scene.change(phoneNumbers=[{"phoneNumber": first}])
    scene.put_key(FIRST, "other-key")
    scene.apply(scene.manifest("short-lived", [second], keySecretRef={"name": "other-key"}))
    scene.wait_ready("short-lived")
    with scene.unharmed():
        scene.network.refuse()
        scene.kubectl("delete", "bek", "short-lived")
        scene.apply(scene.manifest("new", [third]))
        scene.put_key(SECOND)
        # A server that has just started remembers no event, so that no watch can go on from before.
        with scene.api_server.outage():
            pass
        scene.kubectl("create", "configmap", "later")
        mark = scene.api_server.audit_mark()
        scene.network.mend()
        scene.wait_signed(SECOND)
        scene.wait_signed(SECOND, "new")
        # Whoever still believes in the object that is gone would publish now.
        scene.put_key(THIRD, "other-key")
        scene.put_key(THIRD)
        scene.wait_signed(THIRD)
        scene.wait_signed(THIRD, "new")

    listed = {one.resource for one in scene.requests(mark) if one.verb == "list"}
    assert listed >= {"secrets", "businessencryptionkeys"}
    both = [SECOND.fingerprint, THIRD.fingerprint]
    assert scene.publishes() == {first: both, second: [], third: both}


CUTS = {"answers": (1, 1_000, 1_700, 2_300, 3_000, 5_000), "requests": (1, 300, 600, 800, 1_200, 1_800)}


@pytest.mark.parametrize("direction", CUTS)
def test_connections_that_are_cut_half_way(scene: NetworkedScene, direction: Direction) -> None:
    """At whatever byte: in the handshake, in the middle of a list, of an event or of a status."""
    scene.begin(FIRST)
    with scene.unharmed():
        connections, mark = scene.network.connections, scene.api_server.audit_mark()
        scene.put_key(SECOND)
        for left in CUTS[direction]:
            scene.network.cut()
            before = scene.network.resets
            scene.network.cut_after({direction: left})
            scene.wait_for(partial(is_cut_since, scene, before), "a connection is cut")
        scene.network.mend()
        scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)
    assert scene.network.connections - connections < 8 * RETRIES
    assert len(scene.status_writes(mark)) < RETRIES


def is_cut_since(scene: NetworkedScene, resets: int) -> bool:
    """Return whether there were more resets than so many."""
    return scene.network.resets > resets


def test_a_status_whose_answer_is_lost_is_written_once(scene: NetworkedScene) -> None:
    """The operator reads the object again and finds its own status there."""
    scene.begin(FIRST, 3)
    with scene.unharmed():
        hang = scene.begin_rotation(SECOND)
        mark = scene.api_server.audit_mark()
        scene.network.freeze("answers")
        hang.release()
        scene.wait_for(lambda: any(one.code == HTTPStatus.OK for one in scene.status_writes(mark)), "it is written")
        scene.network.cut()
        scene.network.mend()
        scene.wait_signed(SECOND)
        scene.put_key(THIRD)
        scene.wait_signed(THIRD)

    assert scene.publishes() == scene.each_got(SECOND, THIRD)


def test_an_api_server_that_is_slow(scene: NetworkedScene) -> None:
    """Its answers and its events come late, the echo of each write among them: nothing is done twice for that."""
    scene.begin(FIRST)
    with scene.unharmed():
        mark = scene.api_server.audit_mark()
        scene.network.delay = 0.3
        for pair in (SECOND, THIRD):
            scene.put_key(pair)
            scene.wait_signed(pair)

    assert scene.publishes() == scene.each_got(SECOND, THIRD)
    assert len(scene.requests(mark)) < RETRIES


@pytest.mark.parametrize("watches", ["stay open", "are cut"])
def test_permissions_that_are_revoked_and_given_back(scene: NetworkedScene, watches: str) -> None:
    """Whether or not the watches are refused as well."""
    api_server = scene.api_server
    bound = json.loads(api_server.kubectl("get", BINDING, "--output=json").stdout)
    scene.begin(FIRST)
    with scene.unharmed():
        hang = scene.begin_rotation(SECOND)
        mark = api_server.audit_mark()
        api_server.kubectl("delete", BINDING)
        try:
            hang.release()
            if watches == "are cut":
                scene.network.cut()
            scene.wait_for(lambda: len(refused(scene, mark)) > 2, "requests are refused")
        finally:
            body = {name: bound[name] for name in ("apiVersion", "kind", "roleRef", "subjects")}
            body["metadata"] = {"name": bound["metadata"]["name"]}
            api_server.kubectl("create", "--filename=-", stdin=json.dumps(body))
        scene.wait_signed(SECOND, seconds=90)

    assert scene.publishes() == scene.each_got(SECOND)
    assert len(refused(scene, mark)) < RETRIES


def refused(scene: NetworkedScene, since: int) -> list[AuditEvent]:
    """Return what the operator was refused."""
    return [one for one in scene.requests(since) if one.is_refused]


def test_an_object_that_somebody_edits_all_the_time(scene: NetworkedScene) -> None:
    """As fast as the API server takes it, so that statuses meet conflicts: it is told all the same."""
    scene.begin(FIRST)
    with scene.unharmed():
        mark = scene.api_server.audit_mark()
        with editor(scene) as edits:
            scene.put_key(SECOND)
            scene.wait_signed(SECOND)
            assert edits()

    assert scene.publishes() == scene.each_got(SECOND)
    assert len(scene.status_writes(mark)) < RETRIES


@contextmanager
def editor(scene: Scene) -> Iterator[Callable[[], int]]:
    """Edit an annotation of the object without a pause inside the block; provides how often that was done."""
    ended, done = threading.Event(), list[int]()
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


def test_an_etcd_that_is_full(scene: NetworkedScene) -> None:
    """While no status can be written a key is published once, however often it is lost; afterwards all is told."""
    scene.begin(FIRST, 3)
    scene.change(intervalSeconds=10)
    pods = list(scene.simulator.pods.values())
    with scene.unharmed():
        mark = scene.api_server.audit_mark()
        with etcd.full(scene.api_server.folder):
            for pod in pods:
                pod.forgetful = True
                pod.re_register()
            scene.simulator.wait_until(lambda: all(pod.publishes for pod in pods), 30, "it is published again")
            reads = {pod.number: pod.reads for pod in pods}
            scene.simulator.wait_until(lambda: all(pod.reads > reads[pod.number] + 2 for pod in pods), 30)
            assert [pod.publishes for pod in pods] == [1, 1, 1]
            assert not [one for one in scene.status_writes(mark) if one.code == HTTPStatus.OK]
        for pod in pods:
            pod.forgetful = False
            pod.hold(FIRST.public, valid=True)
        scene.wait_for(lambda: {row.get("publishes") for row in scene.rows().values()} == {1}, "it is told")
        scene.wait_signed(FIRST)

    assert [pod.publishes for pod in pods] == [1, 1, 1]
    assert len(scene.status_writes(mark)) < RETRIES
