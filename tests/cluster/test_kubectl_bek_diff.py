"""`kubectl bek diff` as a user types it, and that the operator does what it foresees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.scene import KEY_SECRET, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.plugin import Plugin
    from support.cluster.scene import Scene

IF_LACKING = "checked; published to, if it lacks the key"


@pytest.fixture
def diff(scene: Scene, plugin: Plugin, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Provide the command, for a manifest."""

    def run(manifest: Mapping[str, Any], **more: Any) -> CompletedProcess[str]:
        file = tmp_path / "flows.yaml"
        file.write_text(json.dumps(manifest), encoding="utf-8")
        return plugin.run("diff", "-f", str(file), f"--namespace={scene.namespace}", **more)

    return run


def words(text: str) -> list[str]:
    """Return lines, with one blank between words."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_new_object_and_no_difference(
    scene: Scene, diff: Callable[..., CompletedProcess[str]], plugin: Plugin
) -> None:
    """Nothing is stored; once it is applied there is no difference any more."""
    key = keys.rsa().fingerprint.removeprefix("sha256:")[:12]
    numbers = list(scene.simulator.pods)
    scene.put_key(keys.rsa())
    new = diff(scene.manifest())

    assert (new.returncode, new.stderr) == (1, "")
    assert words(new.stdout) == [
        f"{scene.namespace}/flows (new object): {len(numbers)} new",
        f"Secret {KEY_SECRET} has the key {key}",
        "NUMBER API CHANGE WHAT FOLLOWS",
        *(f"{number} default new {IF_LACKING}" for number in numbers),
    ]
    assert scene.objects() == []
    scene.apply(scene.manifest())
    scene.wait_ready()
    same = diff(scene.manifest())
    typed = plugin.run("diff", "-f", "-", f"--namespace={scene.namespace}", stdin=json.dumps(scene.manifest()))
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout == f"{scene.namespace}/flows: {len(numbers)} unchanged\n"
    assert (typed.returncode, typed.stdout) == (0, same.stdout)


def test_what_is_foreseen_happens(scene: Scene, diff: Callable[..., CompletedProcess[str]]) -> None:
    """A number is dropped, and the rest gets the key of another Secret."""
    *kept, dropped = scene.simulator.pods
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.put_key(keys.rsa("second"), "next-key")
    changed = scene.manifest(numbers=kept, keySecretRef={"name": "next-key"})
    scene.simulator.forget_requests()
    result = diff(changed)

    assert (result.returncode, result.stderr) == (1, "")
    assert words(result.stdout) == [
        f"{scene.namespace}/flows: {len(kept)} new key, 1 dropped",
        f"keySecretRef.name: {KEY_SECRET} -> next-key",
        f"Secret next-key has the key {keys.rsa('second').fingerprint[7:19]}, another one than before",
        "NUMBER API CHANGE WHAT FOLLOWS",
        *(f"{number} default new key {IF_LACKING}" for number in kept),
        f"{dropped} default dropped no longer checked; it keeps the key that it holds",
    ]
    assert not any(pod.publishes for pod in scene.simulator.pods.values())
    scene.apply(changed)
    scene.wait_for(lambda: all(scene.simulator.pods[one].publishes for one in kept), "the numbers have the new key")
    assert scene.simulator.pods[dropped].publishes == 0


def test_what_the_api_server_refuses(scene: Scene, diff: Callable[..., CompletedProcess[str]]) -> None:
    """In its own words."""
    number, *_ = scene.simulator.pods
    invalid = diff(scene.manifest(phoneNumbers=[{"phoneNumber": "15550001111"}]))
    misspelt = diff(scene.manifest(intervalSecond=60))
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    changed = diff(scene.manifest(phoneNumbers=[{"phoneNumber": number, "api": "none"}]))

    assert [one.returncode for one in (invalid, misspelt, changed)] == [2, 2, 2]
    assert invalid.stderr.startswith('error: BusinessEncryptionKey.bek.dev "flows" is invalid: spec.phoneNumbers[0]')
    assert 'unknown field "spec.intervalSecond"' in misspelt.stderr
    assert changed.stderr.startswith('error: BusinessEncryptionKey.bek.dev "flows" is invalid: spec')


def test_secrets_that_are_of_no_use(scene: Scene, diff: Callable[..., CompletedProcess[str]]) -> None:
    """The words are those of the status."""
    missing = diff(scene.manifest())
    scene.apply(secret(KEY_SECRET, {"private.pem": "nonsense"}))
    unusable = diff(scene.manifest())

    assert f"Secret {KEY_SECRET} does not exist, so nothing is published until it does\n" in missing.stdout
    assert f"Secret {KEY_SECRET} has no usable key, so nothing is published: private.pem " in unusable.stdout


def test_files_of_no_use(scene: Scene, plugin: Plugin, tmp_path: Path) -> None:
    """Each fault is named."""
    file = tmp_path / "flows.yaml"
    elsewhere = json.dumps({**scene.manifest(), "metadata": {"name": "flows", "namespace": "other"}})
    for text, words_ in (
        ("a:\n\t- b", "the manifest is not YAML (line 2)"),
        ("kind: Secret", "has no BusinessEncryptionKey"),
        ("kind: BusinessEncryptionKey", "a BusinessEncryptionKey of the manifest has no `metadata.name`"),
        (elsewhere, f"the manifest is for the namespace other, not for {scene.namespace}"),
    ):
        file.write_text(text, encoding="utf-8")
        result = plugin.run("diff", "-f", str(file), f"--namespace={scene.namespace}")
        assert (result.returncode, result.stdout) == (2, "")
        assert words_ in result.stderr


def test_who_may_only_look(scene: Scene, diff: Callable[..., CompletedProcess[str]]) -> None:
    """The missing right is named, and the role that has it."""
    scene.kubectl("create", "serviceaccount", "viewer")
    scene.kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=bek-view", f"--serviceaccount={scene.namespace}:viewer"
    )
    token = scene.api_server.service_account_token(scene.namespace, "viewer")
    result = diff(scene.manifest(), kubeconfig=scene.api_server.kubeconfig(token, name="viewer"))

    assert result.returncode == 2
    assert result.stderr == (
        f"error: you are not allowed to create businessencryptionkeys.bek.dev in the namespace {scene.namespace};"
        " the ClusterRole edit would allow it\n"
    )
