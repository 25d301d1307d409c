"""Key material, passphrases, passwords, tokens and what a server wrote appear nowhere."""

import json
import re

from support import keys
from support.cluster.scene import LOGIN_SECRET, Scene, secret
from support.simulators import faults

PASSWORD = "Canary-Password-4711"
PASSPHRASE = "canary passphrase 4711"
REMOTE = "CanaryRemoteText4711"


def test_no_secret_and_no_remote_text_can_be_found_anywhere(scene: Scene) -> None:
    """After failures of all kinds, neither objects nor events nor the debug log contain any of it."""
    first, second, third = scene.simulator.pods.values()
    for pod in scene.simulator.pods.values():
        pod.password = PASSWORD
    pair = keys.encrypted("canary", PASSPHRASE)

    # A wrong passphrase, then a wrong password, then servers that echo what they were sent.
    scene.put_secret("flows-key", {"private.pem": pair.private, "passphrase": PASSPHRASE + " wrong"})
    passphrase = {"name": "flows-key", "passphraseKey": "passphrase"}
    scene.apply(scene.manifest(keySecretRef=passphrase))
    scene.wait_for(lambda: scene.ready() == ("False", "InvalidKey"), "the passphrase is refused")
    scene.put_key(pair)
    scene.wait_for(lambda: scene.ready() == ("False", "AccessDenied"), "the password is refused")
    first.fail("read", faults.error(1000, details=f"{REMOTE} {PASSWORD}"))
    second.fail("read", faults.text(f"<html>{REMOTE} {PASSWORD}</html>", content_type="text/html"))
    third.fail("publish", faults.error(1009, details=f"{REMOTE} {pair.private}"), times=None)
    scene.apply(secret(LOGIN_SECRET, {"username": "flows", "password": PASSWORD}))
    scene.wait_for(lambda: first.holds(pair.public) and second.holds(pair.public), "two numbers are signed")
    scene.wait_for(lambda: scene.reason(third.number) == "KeyRejected", "the third refuses the key")
    first.expire_tokens()
    scene.kubectl("annotate", "bek", "flows", "bek.dev/requested-at=again")
    scene.wait_for(lambda: scene.get()["status"].get("lastHandledReconcileAt") == "again", "all were checked")

    shown = {
        "object": json.dumps(scene.get()["status"]),
        "events": scene.kubectl("get", "events", "--output=json"),
        "log": scene.log_text(),
    }
    material = [line for line in pair.private.splitlines() if re.fullmatch("[A-Za-z0-9+/=]{40,}", line)]
    tokens = [token for pod in scene.simulator.pods.values() for token in pod._tokens]
    assert material
    assert tokens
    assert "kind=login" in shown["log"]
    for canary in (PASSWORD, PASSPHRASE, REMOTE, "BEGIN", "eyJ", "Bearer ", *tokens, *material):
        assert [place for place, text in shown.items() if canary in text] == []


def test_no_request_carries_more_than_it_must(scene: Scene) -> None:
    """The API pods see no cookies, no other number's token and no part of the private key."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    assert scene.simulator.violations == []
    assert scene.simulator.strays == []
    assert not any(request.cookies for request in scene.simulator.requests)
