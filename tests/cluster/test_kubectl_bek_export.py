"""`kubectl bek export` as a user types it: what it prints is applied, and the operator signs the numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.scene import KEY_SECRET, secret
from support.simulators.graph_tokens import MANAGEMENT, MESSAGING, Token
from unit.http.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.plugin import Plugin
    from support.cluster.scene import Scene
    from support.simulators.business import Business
    from support.simulators.cloud import Cloud


@pytest.fixture
def token(business: Business) -> Token:
    """Provide a token that may list and publish."""
    return business.replace_token({MANAGEMENT, MESSAGING})


@pytest.fixture
def export(cloud: Cloud, business: Business, plugin: Plugin, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Provide the command, for the business's account."""
    ca_bundle = tmp_path / "ca.crt"
    ca_bundle.write_text(cloud.certificate.authority, encoding="ascii")
    waba = business.add().waba
    business.add()

    def run(*arguments: str, **env: Any) -> CompletedProcess[str]:
        flags = (f"--waba={waba}", f"--cloud-url={cloud.url}", f"--cloud-ca={ca_bundle}")
        return plugin.run("export", *flags, *arguments, **env)

    return run


def test_what_is_exported_becomes_ready(
    export: Callable[..., CompletedProcess[str]], scene: Scene, business: Business, token: Token, tmp_path: Path
) -> None:
    """With the token from a Secret; a second export adds what the account has got since then."""
    scene.apply(secret(KEY_SECRET, {"private.pem": keys.rsa().private}), *business.secrets())
    arguments = ("--token-secret=meta-token/token", f"--key-secret={KEY_SECRET}", f"--namespace={scene.namespace}")
    exported = export(*arguments)
    file = tmp_path / "flows.yaml"
    file.write_text(exported.stdout.replace("spec:", "spec:  # of all shops"), encoding="utf-8")
    scene.kubectl("apply", "--filename", str(file))
    scene.wait_ready()
    new = business.add()
    added = export(*arguments, "--onto", str(file))
    again = export(*arguments, "--onto", str(file))
    scene.kubectl("apply", "--filename", str(file))
    scene.wait_for(lambda: new.publishes == 1, "the new number has the key")

    assert (exported.returncode, exported.stderr) == (0, "")
    assert (added.returncode, added.stdout) == (0, f"{file}: 1 added, 2 listed before\n")
    assert (again.returncode, again.stdout) == (0, f"{file}: 0 added, 3 listed before\n")
    assert "spec:  # of all shops\n" in file.read_text(encoding="utf-8")
    assert token.text not in exported.stdout + added.stdout


def test_numbers_that_cannot_be_used_are_named(
    export: Callable[..., CompletedProcess[str]], business: Business, token: Token
) -> None:
    """On stderr and by the exit status; without a cluster."""
    first, odd = business.numbers
    odd.display = "call us"
    result = export(KUBECONFIG="/none", BEK_CLOUD_TOKEN=token.text)

    assert result.returncode == 1
    assert first.number in result.stdout
    assert odd.id not in result.stdout
    assert result.stderr == (f"skipped: a number, phone number id {odd.id}: its display_phone_number cannot be read\n")


@pytest.mark.parametrize("by", ["--cloud-proxy", "HTTPS_PROXY"])
async def test_through_a_proxy(
    export: Callable[..., CompletedProcess[str]], business: Business, cloud: Cloud, token: Token, by: str
) -> None:
    """By a flag or the variable; the name of the Cloud API leads to the simulator only there."""
    async with tunnel() as proxy:
        flags, env = ([f"{by}={proxy.url}"], {}) if by.startswith("--") else ([], {by: proxy.url})
        url = f"--cloud-url=https://graph.facebook.com:{cloud.port}"
        result = await asyncio.to_thread(export, url, *flags, BEK_CLOUD_TOKEN=token.text, **env)

    assert (result.returncode, result.stderr) == (0, "")
    assert all(one.number in result.stdout for one in business.numbers)
    assert proxy.targets == [f"graph.facebook.com:{cloud.port}"]


def test_what_goes_wrong(
    export: Callable[..., CompletedProcess[str]], scene: Scene, cloud: Cloud, token: Token, tmp_path: Path
) -> None:
    """Each fault says what to do, and shows no token."""
    file = tmp_path / "flows.yaml"
    file.write_text("kind: Secret\n", encoding="ascii")
    small = cloud.token()
    scene.apply(secret("empty", {"token": ""}))
    within = f"--namespace={scene.namespace}"
    for result, status, words in (
        (export(), 2, "there is no access token; set BEK_CLOUD_TOKEN, or name a Secret with --token-secret"),
        (export("--token-secret=flows"), 2, "must be NAME/KEY"),
        (export("--token-secret=flows/token", within), 2, 'secrets "flows" not found in the namespace'),
        (export("--token-secret=empty/token", within), 2, "entry token of Secret empty is empty"),
        (export(BEK_CLOUD_TOKEN=small.text), 2, "grant the token in BEK_CLOUD_TOKEN whatsapp_business_management"),
        (export("--name=Flows", BEK_CLOUD_TOKEN=token.text), 2, "'Flows' cannot be the name of an object"),
        (export("--key-secret=", BEK_CLOUD_TOKEN=token.text), 2, "'' cannot be the name of an object"),
        (export("--namespace=a/b", BEK_CLOUD_TOKEN=token.text), 2, "'a/b' cannot be the name of a namespace"),
        (export("--waba=x", BEK_CLOUD_TOKEN=token.text), 2, "must be the account's id"),
        (export("--waba=1", BEK_CLOUD_TOKEN=token.text), 2, "no WhatsApp Business Account with this id is visible"),
        (export("--api-version=25", BEK_CLOUD_TOKEN=token.text), 2, "must have the form v25.0"),
        (export("--cloud-url=http://x", BEK_CLOUD_TOKEN=token.text), 2, "--cloud-url: must be https://host"),
        (export("--onto", str(file), BEK_CLOUD_TOKEN=token.text), 2, "must have one BusinessEncryptionKey; it has 0"),
    ):
        assert (result.returncode, result.stdout) == (status, "")
        assert words in result.stderr
        assert "EAAG" not in result.stderr
    assert file.read_text(encoding="ascii") == "kind: Secret\n"
