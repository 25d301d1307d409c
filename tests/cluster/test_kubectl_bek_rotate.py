"""`kubectl bek rotate` as a user types it, and that the numbers get the key."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.scene import KEY_SECRET, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.plugin import Plugin
    from support.cluster.scene import Scene


@pytest.fixture
def rotate(scene: Scene, plugin: Plugin) -> Callable[..., CompletedProcess[str]]:
    """Provide the command, for the object."""
    return lambda *arguments: plugin.run("rotate", "flows", *arguments, f"--namespace={scene.namespace}")


def entries(scene: Scene) -> Mapping[str, str]:
    """Return the Secret's entries."""
    found = scene.api_server.read(f"/api/v1/namespaces/{scene.namespace}/secrets/{KEY_SECRET}")["data"]
    return {name: base64.b64decode(text).decode() for name, text in found.items()}


def begin(scene: Scene, pair: keys.KeyPair, reference: Mapping[str, str]) -> None:
    """Have every number signed."""
    scene.put_key(pair)
    scene.apply(scene.manifest(keySecretRef={"name": KEY_SECRET, **reference}))
    scene.wait_ready()


def test_the_endpoint_gets_it_first(scene: Scene, rotate: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """The key is made, the steps are shown, and nothing is changed until the same key is applied."""
    begin(scene, keys.rsa(), {})
    file = tmp_path / "next.pem"
    made = rotate("--out", str(file))
    before = entries(scene)
    private = file.read_text(encoding="ascii")
    fingerprint = keys.fingerprint(keys.public_of(private))
    refused = rotate("--key", str(file), "--apply")
    applied = rotate("--key", str(file), "--apply", "--yes")
    scene.wait_for(
        lambda: {pod.fingerprint for pod in scene.simulator.pods.values()} == {fingerprint}, "all hold the new key"
    )
    again = rotate("--key", str(file), "--apply", "--yes")

    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(
        f"{file}: the private key of key {fingerprint[7:19]}; keep it secret\n1. Give the endp"
    )
    assert f"   kubectl bek endpoint flows -n {scene.namespace} --key {file} --url URL\n" in made.stdout
    assert f"   kubectl bek rotate flows -n {scene.namespace} --key {file} --apply\n" in made.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert before == {"private.pem": keys.rsa().private}
    assert refused.stderr == "error: the Secret is not changed without a confirmation; give it with --yes\n"
    assert (applied.returncode, applied.stderr) == (0, "")
    assert applied.stdout.startswith(f"secret/{KEY_SECRET} changed: previous-private.pem, private.pem\n")
    assert entries(scene) == {"private.pem": private, "previous-private.pem": keys.rsa().private}
    assert again.stdout == f"secret/{KEY_SECRET} unchanged: it has key {fingerprint[7:19]}\n"
    assert all("PRIVATE" not in one.stdout + one.stderr for one in (made, refused, applied, again))


def test_a_terminal_is_asked(scene: Scene, plugin: Plugin, tmp_path: Path) -> None:
    """Nothing is written before the answer is yes."""
    begin(scene, keys.rsa(), {})
    file = tmp_path / "next.pem"
    file.write_text(keys.rsa("second").private, encoding="ascii")
    arguments = ("rotate", "flows", "--key", str(file), "--apply", f"--namespace={scene.namespace}")
    question = f"into the Secret {scene.namespace}/{KEY_SECRET}? The endpoint must decrypt with it already [y/N]: "
    with plugin.started(*arguments, terminal=True) as refused:
        refused.read_until(question)
        refused.type("")
        refusal = refused.wait()
    before = entries(scene)
    with plugin.started(*arguments, terminal=True) as answered:
        answered.read_until(question)
        answered.type("y")
        status = answered.wait()

    assert refusal == 2
    assert refused.shown.endswith("error: the Secret is not changed\r\n")
    assert before == {"private.pem": keys.rsa().private}
    assert status == 0
    assert entries(scene)["private.pem"] == keys.rsa("second").private


def test_a_key_with_a_passphrase(scene: Scene, rotate: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """The new one has the same passphrase; made and applied in one go."""
    begin(scene, keys.encrypted(), {"passphraseKey": "passphrase"})
    file = tmp_path / "next.pem"
    result = rotate("--out", str(file), "--apply", "--yes")
    public = keys.public_of(file.read_text(encoding="ascii"), keys.OPEN_SESAME)
    scene.wait_for(
        lambda: {pod.fingerprint for pod in scene.simulator.pods.values()} == {keys.fingerprint(public)}, "all hold it"
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert file.read_text(encoding="ascii").startswith("-----BEGIN ENCRYPTED PRIVATE KEY")


def test_what_is_refused(scene: Scene, rotate: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """A file that exists, a Secret of another tool, and a key that is none."""
    scene.apply(scene.manifest())
    file, public = tmp_path / "next.pem", tmp_path / "public.pem"
    file.write_text("mine", encoding="ascii")
    public.write_text(keys.rsa().public, encoding="ascii")
    missing = rotate("--apply")
    scene.put_key(keys.rsa())
    existing = rotate("--out", str(file))
    nowhere = rotate("--out", str(tmp_path / "none" / "next.pem"))
    no_key = rotate("--key", str(public))
    both = rotate("--key", str(public), "--out", str(file))
    printed = rotate("--out", "-")
    both_ways = rotate("--endpoint-first", "--apply")
    unconfirmed = rotate("--apply", "--out", str(tmp_path / "unconfirmed.pem"))
    steps = rotate("--endpoint-first", "--key", str(public))
    body = secret(KEY_SECRET, {"private.pem": keys.rsa().private})
    body["metadata"]["labels"] = {"kustomize.toolkit.fluxcd.io/name": "keys"}
    scene.apply(body)
    flux = rotate("--apply", "--yes", "--out", str(tmp_path / "other.pem"))

    assert {one.returncode for one in (missing, existing, nowhere, no_key, both, printed, both_ways, flux)} == {2}
    assert f'secrets "{KEY_SECRET}" not found' in missing.stderr
    assert f"{file} exists and is not overwritten; name another file with --out" in existing.stderr
    assert "cannot be written: No such file or directory" in nowhere.stderr
    assert f"Secret {KEY_SECRET}: the file has no private key" in no_key.stderr
    assert "name either --out or --key" in both.stderr
    assert "--out: must be a file; a private key is not printed" in printed.stderr
    assert "--endpoint-first makes and changes nothing; leave out --apply and --out" in both_ways.stderr
    assert (unconfirmed.returncode, unconfirmed.stdout) == (2, "")
    assert not (tmp_path / "unconfirmed.pem").exists()
    assert f"--key {public} --apply" in steps.stdout
    assert (steps.returncode, steps.stdout[:21]) == (0, "1. Give the endpoint ")
    assert f"the Secret {KEY_SECRET} is not changed: Flux (Kustomization keys) applies it; commit" in flux.stderr
    assert not (tmp_path / "other.pem").exists()
    assert file.read_text(encoding="ascii") == "mine"
    assert entries(scene) == {"private.pem": keys.rsa().private}
