"""A new key in the Secret reaches every number, also while some numbers or the Secret have problems."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from support import keys
from support.cluster.scene import KEY_SECRET, Scene, conditions
from support.simulators import faults


def start(scene: Scene, **spec: Any) -> None:
    """Sign every number with the first key, and forget the calls."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(**spec))
    scene.wait_ready()
    scene.simulator.forget_requests()


def at_ports_of_their_own(scene: Scene) -> dict[str, Any]:
    """Return the part of a spec that leads to each pod by an address of its own, as to a Service with one pod."""
    pods = scene.simulator.pods.values()
    return {
        "apis": [scene.api(f"pod-{pod.digits}", pod.url) for pod in pods],
        "phoneNumbers": [{"phoneNumber": pod.number, "api": f"pod-{pod.digits}"} for pod in pods],
    }


def wait_signed(scene: Scene, pair: keys.KeyPair) -> None:
    """Wait until the status says that every number is signed with this very key."""
    scene.wait_for(partial(is_signed, scene, pair), "every number is signed with the key")


def is_signed(scene: Scene, pair: keys.KeyPair) -> bool:
    """Return whether the status says so."""
    body = scene.get()
    ready = conditions(body)["Ready"]["status"] == "True"
    return ready and bool(body["status"].get("publicKeyFingerprint") == pair.fingerprint)


def signed_with(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key of an object's status and how many numbers are signed with it."""
    return body["status"].get("publicKeyFingerprint", ""), body["status"]["signed"]


def wait_for_a_later_reconcile(scene: Scene, number: str) -> None:
    """Wait until the operator has handled the change: it served another object that was changed later."""
    scene.apply(scene.manifest("later", [number]))
    scene.wait_ready("later")


def test_a_rotated_secret_reaches_every_number(scene: Scene) -> None:
    """A new key is published and read again: two calls for each number, since the last check is fresh."""
    start(scene)

    scene.put_key(keys.rsa("second"))
    wait_signed(scene, keys.rsa("second"))

    assert scene.simulator.all_hold(keys.rsa("second").public)
    for pod in scene.simulator.pods.values():
        assert [record.kind for record in pod.requests] == ["publish", "read"]
    rows = scene.rows().values()
    assert {row["observedFingerprint"] for row in rows} == {keys.rsa("second").fingerprint}
    assert [row["publishes"] for row in rows] == [1, 1, 1]


def test_a_rotation_while_a_pod_is_down_reaches_it_when_it_is_back(scene: Scene) -> None:
    """The others get the key at once, the status names who is missing and why, and the pod's return heals it."""
    *others, down = scene.simulator.pods
    start(scene, **at_ports_of_their_own(scene))
    scene.simulator[down].stop()

    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: scene.ready() == ("False", "Unreachable"), "the pod is seen to be down")
    body = scene.get()
    row = scene.rows()[down]

    assert all(scene.simulator[number].holds(keys.rsa("second").public) for number in others)
    assert body["status"]["signed"] == "2/3"
    error = f"{scene.simulator[down].url.removeprefix('https://')}: connection refused"
    assert set(conditions(body)) == {"Ready", "Reconciling"}
    assert conditions(body)["Ready"]["message"] == f"1 of 3 numbers: {error} ({down})"
    assert (row["reason"], row["message"]) == ("Unreachable", error)
    assert row["observedFingerprint"] == keys.rsa().fingerprint

    scene.simulator[down].start()
    wait_signed(scene, keys.rsa("second"))

    assert scene.get()["status"]["signed"] == "3/3"
    assert scene.simulator.all_hold(keys.rsa("second").public)
    assert scene.simulator[down].publishes == 1


def test_a_hanging_number_holds_up_nobody(scene: Scene) -> None:
    """With one of twenty numbers hanging the others are signed, and get a new key; so does that one, in the end."""
    for index in range(17):
        scene.simulator.add(f"+1556{index:07}", own_port=False)
    slow = scene.simulator["+15560000008"]
    hang = slow.fail("read", faults.Hang(), None)
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest())
    scene.wait_for(lambda: scene.get().get("status", {}).get("signed") == "19/20", "the others are signed", 8)
    assert (slow.reads, slow.busy) == (1, 1)
    assert scene.reason(slow.number) == "Pending"

    scene.put_key(keys.rsa("second"))
    scene.wait_for(
        lambda: signed_with(scene.get()) == (keys.rsa("second").fingerprint, "19/20"), "the others have the new key", 8
    )
    slow.wait_until(lambda: slow.reads == 2, what="the call for the old key is given up for one for the new key")
    assert slow.publishes == 0

    hang.release()
    wait_signed(scene, keys.rsa("second"))
    assert scene.simulator.all_hold(keys.rsa("second").public)
    assert slow.published == [keys.rsa("second").fingerprint]


def test_a_rotation_back_and_forth_ends_with_what_the_secret_holds(scene: Scene) -> None:
    """Keys that change faster than they can be published do not interfere."""
    start(scene)

    for name in ("second", "third", "second", "third"):
        scene.put_key(keys.rsa(name))
    third = keys.rsa("third")
    # The status may still speak of the first time that this key was there.
    scene.wait_for(lambda: scene.simulator.all_hold(third.public) and is_signed(scene, third), "the last key is there")

    assert [row["publishes"] for row in scene.rows().values()] == [1, 1, 1]


def test_an_edit_of_a_secrets_metadata_changes_nothing(scene: Scene) -> None:
    """A label on a Secret leads to no call at a number and to no write of the status."""
    first, second, third = scene.simulator.pods
    start(scene, phoneNumbers=[{"phoneNumber": first}, {"phoneNumber": second}])
    mark = scene.api_server.audit_mark()

    scene.kubectl("label", "secret", "--all", "team=payments")
    wait_for_a_later_reconcile(scene, third)

    assert [scene.simulator[number].requests for number in (first, second)] == [[], []]
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []


FORMS: dict[str, Callable[[], tuple[Mapping[str, str], str]]] = {
    "private.pem as OpenSSL 3 encrypts it": lambda: (
        {"private.pem": keys.encrypted().private, "passphrase": keys.OPEN_SESAME},
        keys.encrypted().public,
    ),
    "private.pem as OpenSSL 1 encrypted it": lambda: (
        {"private.pem": keys.encrypted_classic().private, "passphrase": keys.OPEN_SESAME},
        keys.encrypted_classic().public,
    ),
    "public.pem only": lambda: ({"public.pem": keys.rsa().public}, keys.rsa().public),
    "an encrypted private key whose passphrase is elsewhere, with its public part": lambda: (
        {"private.pem": keys.encrypted().private, "public.pem": keys.encrypted().public},
        keys.encrypted().public,
    ),
    "private.pem with literal \\n": lambda: (
        {"private.pem": keys.rsa().private.replace("\n", "\\n")},
        keys.rsa().public,
    ),
}


def test_a_key_may_come_in_many_forms(scene: Scene) -> None:
    """Whatever form the documented commands left the key in, its public half is what is published."""
    scene.simulator.add("+15560000001", own_port=False)
    scene.simulator.add("+15560000002", own_port=False)
    expected = {}
    manifests = []
    for index, (number, form) in enumerate(zip(scene.simulator.pods, FORMS.values(), strict=True)):
        entries, expected[number] = form()
        scene.put_secret(f"key-{index}", entries)
        reference = {"name": f"key-{index}"} | ({"passphraseKey": "passphrase"} if "passphrase" in entries else {})
        manifests.append(scene.manifest(f"flows-{index}", [number], keySecretRef=reference))

    scene.apply(*manifests)
    scene.kubectl("wait", "--for=condition=Ready", "bek", "--all", "--timeout=30s")

    for number, public in expected.items():
        assert scene.simulator[number].holds(public)
    assert scene.simulator.violations == []


def test_a_certificate_secret_is_followed_through_its_renewal(scene: Scene) -> None:
    """A Secret as cert-manager writes and renews it needs no field but its name."""

    def put_certificate(pair: keys.KeyPair) -> None:
        certificate = keys.certificate_of(pair.private)
        entries = {"tls.crt": certificate, "tls.key": pair.private, "ca.crt": scene.simulator.certificate.pem}
        scene.put_secret("flows-tls", entries, type="kubernetes.io/tls")

    put_certificate(keys.rsa())
    scene.apply(scene.manifest(keySecretRef={"name": "flows-tls"}))
    scene.wait_ready()
    assert scene.simulator.all_hold(keys.rsa().public)

    put_certificate(keys.rsa("second"))
    wait_signed(scene, keys.rsa("second"))
    assert scene.simulator.all_hold(keys.rsa("second").public)


@pytest.mark.parametrize("rotated", [False, True], ids=["the same key", "another key"])
def test_a_secret_that_is_replaced_by_force_is_never_missed(scene: Scene, *, rotated: bool) -> None:
    """Deleting and creating an immutable Secret within two seconds is a rotation at most, and no news otherwise."""
    first, second, third = scene.simulator.pods
    pair = keys.rsa("second") if rotated else keys.rsa()
    immutable = {"name": "sealed"}
    scene.put_secret("sealed", {"private.pem": keys.rsa().private}, immutable=True)
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[first, second], keySecretRef=immutable))
    scene.wait_ready()
    mark = scene.api_server.audit_mark()
    scene.simulator.forget_requests()

    scene.kubectl("delete", "secret", "sealed")
    scene.put_secret("sealed", {"private.pem": pair.private}, immutable=True)
    wait_signed(scene, pair)
    wait_for_a_later_reconcile(scene, third)

    assert scene.simulator[first].publishes == scene.simulator[second].publishes == rotated
    assert bool([one for one in scene.writes(mark) if one.name == "flows"]) == rotated
    assert "SecretNotFound" not in [reason for _, reason, _ in scene.events()]


def test_a_secret_that_stays_away_is_reported_and_its_return_calls_nobody(scene: Scene) -> None:
    """The rows stay as last seen while there is no key; when the same key is back, everything continues unchanged."""
    start(scene)
    before = scene.get()["status"]

    scene.kubectl("delete", "secret", KEY_SECRET)
    scene.wait_for(lambda: scene.ready() == ("False", "SecretNotFound"), "the loss is reported")
    body = scene.get()
    scene.put_key(keys.rsa())
    wait_signed(scene, keys.rsa())

    assert conditions(body)["Ready"]["message"] == f"Secret {KEY_SECRET} does not exist"
    assert set(conditions(body)) == {"Ready", "Reconciling"}
    for kept in ("phoneNumbers", "publicKeyFingerprint", "signed"):
        assert body["status"][kept] == before[kept] == scene.get()["status"][kept]
    assert scene.simulator.requests == []


def test_an_edit_while_a_secret_is_away_is_not_called_done(scene: Scene) -> None:
    """A number that is added within the moment that a Secret is being replaced is not taken for signed."""
    first, second, third = scene.simulator.pods
    start(scene, phoneNumbers=[{"phoneNumber": first}, {"phoneNumber": second}])

    scene.kubectl("delete", "secret", KEY_SECRET)
    scene.apply(scene.manifest(numbers=[first, second, third]))
    scene.wait_for(lambda: scene.get()["status"]["observedGeneration"] > 1, "the edit is seen")
    seen = scene.get()
    scene.put_key(keys.rsa())
    scene.wait_for(lambda: scene.get()["status"]["signed"] == "3/3", "the new number is signed")

    assert conditions(seen)["Ready"]["status"] == "False"
    assert scene.simulator[third].holds(keys.rsa().public)
