"""The main job on a real API server: a key reaches every listed number, and the status says so."""

import json

import pytest

from bek_operator.controller.kopf_run import NO_FINALIZER
from support import keys
from support.cluster.apiserver import KubectlError
from support.cluster.scene import Scene, conditions


def test_every_number_holds_the_secrets_key(scene: Scene) -> None:
    """A new object becomes Ready when each number's API is VALID for the Secret's key."""
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest())
    scene.wait_ready()

    assert scene.simulator.all_hold(keys.rsa().public)
    assert scene.get()["status"]["signed"] == "3/3"
    assert scene.get()["status"]["publicKeyFingerprint"] == keys.rsa().fingerprint


def test_kubectl_get_shows_all_in_one_line(scene: Scene) -> None:
    """The printer columns show readiness, the share of signed numbers and the reason."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    head, row = scene.kubectl("get", "bek").splitlines()
    wide = scene.kubectl("get", "bek", "--output=wide")

    assert head.split() == ["NAME", "READY", "SIGNED", "REASON", "AGE"]
    assert row.split()[:4] == ["flows", "True", "3/3", "Succeeded"]
    assert keys.rsa().fingerprint.removeprefix("sha256:")[:12] in wide


def test_a_number_that_already_holds_the_key_is_not_published_to(scene: Scene) -> None:
    """An object that adopts numbers which were signed by hand makes no POST."""
    for pod in scene.simulator.pods.values():
        pod.overwrite(keys.rsa().public)
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest())
    scene.wait_ready()

    assert scene.simulator.publishes == 0


def test_an_added_number_is_signed_and_a_removed_one_left_alone(scene: Scene) -> None:
    """Editing the list publishes to the new number only, and takes nothing back from the old one."""
    first, second, third = scene.simulator.pods
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[first, second]))
    scene.wait_ready()
    scene.simulator.forget_requests()

    scene.apply(scene.manifest(numbers=[second, third]))
    scene.wait_ready()

    assert list(scene.rows()) == [second, third]
    assert scene.simulator[first].requests == []
    assert scene.simulator[first].holds(keys.rsa().public)
    assert scene.simulator[second].publishes == 0
    assert scene.simulator[third].publishes == 1


def test_wait_is_never_satisfied_by_a_stale_status(scene: Scene) -> None:
    """After an edit that cannot succeed, `kubectl wait` for Ready does not return on the old result."""
    first, second, third = scene.simulator.pods
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[first, second]))
    scene.wait_ready()
    scene.simulator[third].stop()

    scene.apply(scene.manifest(numbers=[first, second, third]))
    scene.kubectl("wait", "--for=condition=Ready=False", "bek/flows", "--timeout=30s")
    scene.wait_for(lambda: scene.ready() == ("False", "Unreachable"), "the new number is seen to be down")

    status = scene.get()["status"]
    assert status["signed"] == "2/3"
    assert status["observedGeneration"] == scene.get()["metadata"]["generation"]


def test_everything_may_arrive_in_any_order(scene: Scene) -> None:
    """The Secret, the login and the CA may come after the object, which becomes Ready without an edit."""
    scene.kubectl("delete", "secret", "--all")
    scene.apply(scene.manifest())
    scene.wait_for(lambda: scene.ready() == ("False", "SecretNotFound"), "the missing key is named")
    assert set(conditions(scene.get())) == {"Ready", "Reconciling"}

    scene.put_key(keys.rsa())
    scene.wait_for(lambda: scene.ready() == ("False", "CredentialsNotFound"), "the missing login is named")

    scene.put_access()
    scene.wait_ready()

    assert conditions(scene.get())["Ready"]["reason"] == "Succeeded"
    assert "Reconciling" not in conditions(scene.get())


def test_a_new_object_is_in_progress_before_it_is_observed(scene: Scene) -> None:
    """The status of an unseen object has generation -1, so that GitOps tools wait for it."""
    answer = scene.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(scene.manifest()))

    created = json.loads(answer)

    assert created.get("status", {}).get("observedGeneration", -1) == -1
    assert not any(one["status"] == "True" for one in created.get("status", {}).get("conditions", ()))


def test_nothing_but_the_status_is_ever_written_to_an_object(scene: Scene) -> None:
    """Neither annotation nor label nor finalizer is added, and the spec stays as it was written."""
    scene.put_key(keys.rsa())
    manifest = scene.manifest()
    scene.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    before = scene.get()

    scene.wait_ready()
    after = scene.get()

    written = ("annotations", "labels", "finalizers", "ownerReferences")
    assert [after["metadata"].get(field) for field in written] == [None] * len(written)
    assert after["spec"] == before["spec"]


def test_a_finalizer_in_kopfs_name_leads_to_no_write(scene: Scene) -> None:
    """Kopf would remove one that it takes for its own; the API server accepts none of the name that is its own here."""
    scene.put_key(keys.rsa())
    manifest = scene.manifest()
    manifest["metadata"]["finalizers"] = ["bek.dev/kopf", "kopf.zalando.org/KopfFinalizerMarker"]
    since = scene.api_server.audit_mark()
    scene.apply(manifest)
    scene.wait_ready()
    for value in range(3):
        scene.kubectl("label", "bek", "flows", f"touched={value}", "--overwrite")
    scene.check()

    assert {(one.verb, one.subresource) for one in scene.writes(since) if one.resource.startswith("business")} == {
        ("update", "status")
    }
    refusal = {"metadata": {"finalizers": [NO_FINALIZER]}}
    with pytest.raises(KubectlError, match="finalizers"):
        scene.kubectl("patch", "bek", "flows", "--type=merge", f"--patch={json.dumps(refusal)}")
    scene.kubectl("patch", "bek", "flows", "--type=merge", '--patch={"metadata": {"finalizers": null}}')


def test_one_object_carries_a_thousand_numbers(scene: Scene) -> None:
    """The largest object that the schema allows becomes Ready."""
    for index in range(1000 - len(scene.simulator.pods)):
        scene.simulator.add(f"+1556{index:07}", own_port=False)
    scene.put_key(keys.rsa())

    scene.kubectl("create", "--filename=-", stdin=json.dumps(scene.manifest()))
    scene.wait_ready(seconds=90)

    assert scene.get()["status"]["signed"] == "1000/1000"
    assert scene.simulator.all_hold(keys.rsa().public)
