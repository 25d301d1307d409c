"""Secrets that are deleted, or replaced by two writers in turn, on the real API server."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.scene import CA_SECRET, KEY_SECRET, LOGIN_SECRET, Scene, conditions, secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.simulators.business import Business

SECONDS_TO_TELL = 5.0
WAITS = ("False", "KeyChangesTooOften")


def apply_as(scene: Scene, manager: str, pair: keys.KeyPair) -> None:
    """Write the key's Secret by server-side apply, with a field manager's name of one's own."""
    options = ["--server-side", "--force-conflicts", f"--field-manager={manager}", "--filename=-"]
    scene.kubectl("apply", *options, stdin=json.dumps(secret(KEY_SECRET, {"private.pem": pair.private})))


def publishes(scene: Scene) -> list[int]:
    """Return how often each number was published to."""
    return [pod.publishes for pod in scene.simulator.pods.values()]


def is_settled(scene: Scene, pair: keys.KeyPair) -> bool:
    """Return whether the status speaks of a key that all numbers hold, or that they are not to be given."""
    known = scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint
    return known and scene.ready() in {("True", "Succeeded"), WAITS}


def shows(scene: Scene, reason: str, message: str) -> bool:
    """Return whether each row says so, and Ready is False for it."""
    rows = scene.rows().values()
    error = {(row["reason"], row.get("message")) for row in rows}
    return scene.ready() == ("False", reason) and error == {(reason, message)}


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        pytest.param(LOGIN_SECRET, None, f"Secret {LOGIN_SECRET} does not exist", id="the login"),
        pytest.param(CA_SECRET, {}, f"entry ca.crt of Secret {CA_SECRET} does not exist", id="an entry"),
    ],
)
def test_what_is_gone_is_reported_in_every_row_and_its_return_calls_nobody(
    scene: Scene, name: str, entries: Mapping[str, str] | None, message: str
) -> None:
    """One status write each within five seconds, and no call to any number."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    before = scene.get()["status"]
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()

    if entries is None:
        scene.kubectl("delete", "secret", name)
    else:
        scene.put_secret(name, entries)
    scene.wait_for(lambda: shows(scene, "CredentialsNotFound", message), "all rows say so", SECONDS_TO_TELL)
    assert len([one for one in scene.writes(mark) if one.name == "flows"]) == 1
    assert set(conditions(scene.get())) == {"Ready", "Reconciling"}

    scene.put_access()
    scene.wait_for(lambda: scene.ready() == ("True", "Succeeded"), "all is well again", SECONDS_TO_TELL)
    assert scene.get()["status"]["phoneNumbers"] == before["phoneNumbers"]
    assert len([one for one in scene.writes(mark) if one.name == "flows"]) == 2
    assert scene.simulator.requests == []


def test_a_token_that_is_gone_is_reported_at_once(scene: Scene, business: Business) -> None:
    """The Cloud API is not called for it, neither when it goes nor when it is back."""
    number = business.add()
    token, _ = business.secrets()
    scene.put_key(keys.rsa())
    scene.apply(token, scene.manifest(apis=[business.api()], phoneNumbers=business.listed()))
    scene.wait_ready()
    calls = len(number.requests)

    scene.kubectl("delete", "secret", token["metadata"]["name"])
    message = f"Secret {token['metadata']['name']} does not exist"
    scene.wait_for(lambda: shows(scene, "CredentialsNotFound", message), "the row says so", SECONDS_TO_TELL)
    scene.apply(token)
    scene.wait_for(lambda: scene.ready() == ("True", "Succeeded"), "all is well again", SECONDS_TO_TELL)
    assert len(number.requests) == calls


def test_two_field_managers_that_fight_over_the_key_are_named(scene: Scene) -> None:
    """Six publishes to each number, then a Warning with the names in the Secret's metadata; a restart forgets none."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    for turn in range(10):
        manager, pair = [("external-secrets", keys.rsa("second")), ("cert-manager", keys.rsa())][turn % 2]
        apply_as(scene, manager, pair)
        scene.wait_for(partial(is_settled, scene, pair), "the key is on every number, or kept from them")
    assert scene.ready() == WAITS
    assert {row["reason"] for row in scene.rows().values()} == {WAITS[1]}
    assert publishes(scene) == [6, 6, 6]
    scene.wait_for(lambda: bool(warnings(scene)), "the Warning")
    assert all("cert-manager, external-secrets" in note for note in warnings(scene))
    assert {len(row["earlierPublishes"]) for row in scene.rows().values()} == {5}

    scene.operator.stop()
    scene.operator.start()
    apply_as(scene, "external-secrets", keys.rsa("second"))
    scene.wait_for(lambda: scene.ready() == ("True", "Succeeded"), "the numbers hold this key")
    apply_as(scene, "cert-manager", keys.rsa())
    scene.wait_for(lambda: scene.ready() == WAITS, "the new process waits, too")
    assert publishes(scene) == [6, 6, 6]

    scene.request_check("now")
    scene.wait_for(lambda: scene.ready() == ("True", "Succeeded"), "the request lifts it")
    assert publishes(scene) == [7, 7, 7]
    assert not any("earlierPublishes" in row for row in scene.rows().values())


def warnings(scene: Scene) -> list[str]:
    """Return the notes of the Warnings about a key that changes too often."""
    return [note for kind, reason, note in scene.events() if (kind, reason) == ("Warning", WAITS[1])]
