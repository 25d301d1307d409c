"""The examples that bring a key, applied as they are, with each Secret written as the tool of the example writes it."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING

import pytest
import yaml

from cluster.installation import defined
from cluster.secret_tools import CertManager, ExternalSecrets, FluxWithSops, KubectlApply, SealedSecrets, SecretTool
from support import keys
from support.kustomize import COMPONENTS, DEPLOY, Body, build, overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.scene import Scene
    from support.keys import KeyPair
    from support.simulators.business import Business
    from support.simulators.cloud_number import CloudNumber

CRDS = Path(__file__).with_name("secret_tool_crds.yaml")
TOOLS: dict[str, type[SecretTool]] = {
    "cert-manager": CertManager,
    "external-secrets": ExternalSecrets,
    "plain": KubectlApply,
    "sealed-secrets": SealedSecrets,
    "sops": FluxWithSops,
}
WITH_A_NEW_NAME = {"plain", "sealed-secrets", "sops"}
"""Where a new key comes with a commit, and as a Secret of another name."""

KEY, TOKEN = "private.pem", "token"


class Example:
    """A user's copy of an example, whose values replace the placeholders, and what the tool does with it."""

    def __init__(self, scene: Scene, folder: Path, name: str, token: str) -> None:
        self.name = name
        self._scene = scene
        self._folder = folder / "examples" / name
        self._token = token
        self._tools: dict[str, SecretTool] = {}
        copytree(DEPLOY / "examples" / name, self._folder)
        copytree(COMPONENTS / "secret-names", folder / "components" / "secret-names")
        self._own = overlay(folder / "own", self._folder, namespace=scene.namespace)

    def apply(self) -> None:
        """Apply what is there."""
        self._scene.kubectl("apply", "--validate=strict", "--filename=-", stdin=yaml.safe_dump_all(build(self._own)))

    def bring(self, pair: KeyPair) -> None:
        """Have a key in the file if there is one, apply all but Secrets, and let the tool write these."""
        values = {KEY: pair.private, TOKEN: self._token}
        for name, text in values.items():
            # Where it is encrypted, Flux decrypts it before it builds.
            if (file := self._folder / name).exists():
                file.write_text(text, encoding="ascii")
        bodies = build(self._own)
        others = [one for one in bodies if one["kind"] != "Secret"]
        self._scene.kubectl("apply", "--validate=strict", "--filename=-", stdin=yaml.safe_dump_all(others))
        for name, entries in map(made_of, bodies):
            if name:
                self._tool(name).put_entries({entry: values[entry] for entry in entries})
        for body in bodies:
            if body["kind"] == "Certificate":
                self._tool(body["spec"]["secretName"]).put(pair)
                KubectlApply(self._scene, "meta-token").put_entries({TOKEN: self._token})

    def rename(self, old: str, new: str) -> None:
        """Replace a name in every file."""
        for file in self._folder.iterdir():
            file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def _tool(self, secret: str) -> SecretTool:
        return self._tools.setdefault(secret, TOOLS[self.name](self._scene, secret))


def made_of(body: Body) -> tuple[str, list[str]]:
    """Return the name and the entries of the Secret that comes of an object; no name where none does."""
    name, spec = body["metadata"]["name"], body.get("spec", {})
    if body["kind"] == "ExternalSecret":
        return spec["target"]["name"], [one["secretKey"] for one in spec["data"]]
    if body["kind"] == "SealedSecret":
        return name, [*spec["encryptedData"]]
    return (name, [*body["data"]]) if body["kind"] == "Secret" else ("", [])


@pytest.fixture(scope="module", autouse=True)
def _kinds(installed: ApiServer) -> Iterator[None]:
    with defined(installed, CRDS):
        yield


@pytest.fixture
def number(business: Business) -> CloudNumber:
    """Provide the number that every example has."""
    return business.add("+15550001111", identity="106540352242911")


@pytest.mark.parametrize("name", TOOLS)
def test_an_example_gets_ready_and_a_new_key_is_published(
    scene: Scene, business: Business, number: CloudNumber, tmp_path: Path, name: str
) -> None:
    """Whoever waits for Ready waits for the new key, where the example promises that."""
    example, second = Example(scene, tmp_path, name, business.token.text), keys.rsa("second")
    example.bring(keys.rsa())
    scene.wait_ready()
    assert number.holds(keys.rsa().public)

    if name == "sealed-secrets":
        example.rename("flows-key-1", "flows-key-2")
    example.bring(second)
    if name not in WITH_A_NEW_NAME:
        scene.wait_for(lambda: scene.get()["status"]["publicKeyFingerprint"] == second.fingerprint, "the key is seen")
    scene.wait_ready()

    assert number.holds(second.public)
    assert number.publishes == 2


@pytest.mark.parametrize("name", ["plain", "sops"])
def test_a_placeholder_is_no_key(scene: Scene, number: CloudNumber, tmp_path: Path, name: str) -> None:
    """Whoever forgets to replace it is told so, and nobody is called."""
    Example(scene, tmp_path, name, "").apply()

    scene.wait_for(lambda: scene.ready() == ("False", "InvalidKey"), "the key is refused")

    assert number.requests == []
