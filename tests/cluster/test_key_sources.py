"""A key's Secret may be managed by any of the usual tools: each rotation is published, other changes are ignored."""

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from cluster.secret_tools import TOOLS, CertManager, KubectlApply, SecretTool
from support import keys
from support.cluster.scene import KEY_SECRET, Scene, conditions
from support.key_samples import der_of
from support.keys import KeyPair

COMPONENT = Path(__file__).parents[2] / "deploy" / "components" / "secret-names"
SECONDS = 10.0
"""How long a rotation may take."""


def listed(scene: Scene) -> list[str]:
    """Return the numbers that the tests' object has; one is left for another object."""
    return list(scene.simulator.pods)[:2]


def apply_for(scene: Scene, tool: SecretTool) -> None:
    """Apply an object that takes its key from the tool's Secret."""
    scene.apply(scene.manifest(numbers=listed(scene), keySecretRef=dict(tool.reference)))


def wait_signed(scene: Scene, pair: KeyPair) -> None:
    """Wait until the status says that every number is signed with this very key."""
    scene.wait_for(lambda: is_signed(scene, pair), "every number is signed with the key", SECONDS)
    assert all(scene.simulator[number].holds(pair.public) for number in listed(scene))


def is_signed(scene: Scene, pair: KeyPair) -> bool:
    """Return whether the status says so."""
    body = scene.get()
    ready = conditions(body).get("Ready", {}).get("status") == "True"
    return ready and bool(body["status"].get("publicKeyFingerprint") == pair.fingerprint)


def wait_for_the_operator(scene: Scene) -> None:
    """Wait until the operator has handled the change: it has served another object that was created later."""
    scene.apply(scene.manifest("later", list(scene.simulator.pods)[2:], keySecretRef={"name": "later-key"}))
    scene.put_key(keys.rsa(), "later-key")
    scene.wait_for(lambda: scene.ready("later")[0] == "True", "the later object is signed")


@pytest.mark.parametrize("kind", TOOLS, ids=lambda kind: kind.__name__)
def test_a_rotation_is_picked_up_and_a_change_of_metadata_is_not(scene: Scene, kind: type[SecretTool]) -> None:
    """However the tool writes the Secret, a new key is published once and nothing but a new key is."""
    tool = kind(scene)
    tool.put(keys.rsa())
    apply_for(scene, tool)
    wait_signed(scene, keys.rsa())
    scene.simulator.forget_requests()

    tool.put(keys.rsa("second"))
    wait_signed(scene, keys.rsa("second"))
    assert [scene.simulator[number].publishes for number in listed(scene)] == [1, 1]
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()

    tool.touch()
    wait_for_the_operator(scene)

    assert [scene.simulator[number].requests for number in listed(scene)] == [[], []]
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []
    assert scene.simulator.violations == []


FORMS: dict[str, Callable[[KeyPair], Mapping[str, str | bytes]]] = {
    "PKCS#8 under the label of PKCS#1, as some libraries for Java write it": lambda pair: {
        "private.pem": pair.private.replace("PRIVATE", "RSA PRIVATE")
    },
    "base64 of the PEM, as of data for stringData": lambda pair: {
        "private.pem": base64.b64encode(pair.private.encode()).decode()
    },
    "DER": lambda pair: {"private.pem": der_of(pair.private)},
    "no newlines": lambda pair: {"private.pem": pair.private.replace("\n", "")},
}


def test_a_key_is_read_in_whatever_form_it_came(scene: Scene) -> None:
    """What befell it on its way into the Secret is undone, and each new key is published once."""
    reference = {"name": KEY_SECRET, "key": "private.pem"}
    scene.apply(scene.manifest(numbers=listed(scene), keySecretRef=reference))
    for name, form in FORMS.items():
        scene.simulator.forget_requests()
        scene.put_secret(KEY_SECRET, form(keys.rsa(name)))
        wait_signed(scene, keys.rsa(name))
        assert [scene.simulator[number].publishes for number in listed(scene)] == [1, 1]


def test_a_renewal_that_keeps_the_key_changes_nothing(scene: Scene) -> None:
    """Another certificate for the same key leads to no call and no write."""
    tool = CertManager(scene)
    tool.put(keys.rsa())
    apply_for(scene, tool)
    wait_signed(scene, keys.rsa())
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()

    tool.renew_with_the_same_key(keys.rsa())
    wait_for_the_operator(scene)

    assert [scene.simulator[number].requests for number in listed(scene)] == [[], []]
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []


def test_a_generated_secret_has_another_name_each_time(scene: Scene, tmp_path: Path) -> None:
    """Kustomize carries the new name into the object, and the old Secret may be pruned afterwards without a word."""
    kustomization = {
        "resources": ["key.yaml"],
        "components": [os.path.relpath(COMPONENT, tmp_path.resolve())],
        "secretGenerator": [{"name": "flows-key", "files": ["private.pem"]}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    (tmp_path / "key.yaml").write_text(yaml.safe_dump(scene.manifest(numbers=listed(scene))), encoding="utf-8")

    def put(pair: KeyPair) -> str:
        (tmp_path / "private.pem").write_text(pair.private, encoding="ascii")
        scene.kubectl("apply", "--filename=-", stdin=scene.kubectl("kustomize", str(tmp_path)))
        wait_signed(scene, pair)
        return str(scene.get()["spec"]["keySecretRef"]["name"])

    first = put(keys.rsa())
    second = put(keys.rsa("second"))
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()
    scene.kubectl("delete", "secret", first)
    wait_for_the_operator(scene)

    assert first != second
    assert {name.rpartition("-")[0] for name in (first, second)} == {"flows-key"}
    assert [scene.simulator[number].requests for number in listed(scene)] == [[], []]
    assert [one for one in scene.writes(mark) if one.name == "flows"] == []


def test_a_move_from_one_tool_to_another_keeps_the_key_signed(scene: Scene) -> None:
    """Where the same key comes from another Secret, the object says so and nobody is called."""
    by_hand, certificates = KubectlApply(scene), CertManager(scene)
    by_hand.put(keys.rsa())
    apply_for(scene, by_hand)
    wait_signed(scene, keys.rsa())
    scene.simulator.forget_requests()

    certificates.put(keys.rsa())
    apply_for(scene, certificates)
    scene.wait_for(lambda: scene.get()["status"]["observedGeneration"] == 2, "the move is seen")

    assert scene.ready() == ("True", "Succeeded")
    assert scene.simulator.requests == []
