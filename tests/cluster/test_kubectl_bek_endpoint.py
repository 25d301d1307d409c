"""`kubectl bek endpoint NAME` as a user types it: the object and its Secrets are on a real API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support import keys
from support.cluster.scene import KEY_SECRET, UserNamespace
from support.simulators.flows_endpoint import FlowsEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from support.cluster.apiserver import ApiServer
    from support.cluster.plugin import Plugin
    from support.simulators.on_premises import OnPremises

OLD, NEW = keys.rsa(), keys.rsa("second")
APP_SECRET = "an app secret"


@pytest.fixture(name="endpoint")
def endpoint_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds the old key and wants signatures."""
    with FlowsEndpoint(OLD, app_secret=APP_SECRET) as endpoint:
        yield endpoint
        assert endpoint.violations == []


class Place(UserNamespace):
    """A namespace with an object that names the endpoint; the operator does not work for it."""

    def __init__(
        self, installed: ApiServer, namespace: str, simulator: OnPremises, plugin: Plugin, endpoint: FlowsEndpoint
    ) -> None:
        super().__init__(installed, namespace, simulator)
        self.plugin = plugin
        self.endpoint = endpoint

    def begin(self, pair: keys.KeyPair = OLD, **flows: Any) -> None:
        """Apply an object with all its Secrets; its endpoint is the simulated one, but for what is given."""
        self.put_key(pair)
        self.put_secret("meta-app", {"secret": APP_SECRET})
        self.put_secret("flows-ca", {"ca.crt": self.endpoint.certificate.authority})
        named = {
            "url": self.endpoint.url,
            "appSecretRef": {"name": "meta-app", "key": "secret"},
            "tls": {"caSecretRef": {"name": "flows-ca", "key": "ca.crt"}, "serverName": "flows.example.com"},
        }
        self.apply(self.manifest(suspend=True, flowsEndpoint={**named, **flows}))

    def ask(self, *arguments: str, kubeconfig: Path | None = None, **env: str) -> CompletedProcess[str]:
        """Run the command in the namespace."""
        return self.plugin.run("endpoint", *arguments, f"--namespace={self.namespace}", kubeconfig=kubeconfig, **env)


@pytest.fixture(name="place")
def place_fixture(
    installed: ApiServer, namespace: str, simulator: OnPremises, plugin: Plugin, endpoint: FlowsEndpoint
) -> Place:
    """A namespace."""
    return Place(installed, namespace, simulator, plugin, endpoint)


def key_id(pair: keys.KeyPair) -> str:
    """Return the short form of a fingerprint."""
    return pair.fingerprint.removeprefix("sha256:")[:12]


def test_an_object_and_its_secrets_say_how_to_ask(place: Place) -> None:
    """Address, key, app secret, CA and server name; nothing of the Secrets is shown."""
    place.begin()
    result = place.ask("bek/flows")
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    assert lines[0] == f"{place.endpoint.url}: ping for key {key_id(OLD)}, signed with the app secret"
    assert lines[4].split() == ["TLS", "ok", "certificate", "for", "flows.example.com"]
    assert lines[-1] == "EndpointHoldsKey: it opens what is encrypted to the key"
    assert [(ping.opened, ping.signed) for ping in place.endpoint.pings] == [(OLD.fingerprint, True)]
    assert not [one for one in (APP_SECRET, "PRIVATE", "BEGIN") if one in result.stdout]


def test_a_key_that_the_endpoint_does_not_hold_yet(place: Place) -> None:
    """The Secret's key is asked for, not the one that numbers hold."""
    place.begin(NEW)
    result = place.ask("flows")
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.splitlines()[-1].startswith("EndpointLacksKey: HTTP 421: it cannot decrypt")


@pytest.mark.usefixtures("no_operator")  # which would write the status
def test_an_old_key_that_a_number_still_holds(place: Place) -> None:
    """The endpoint is asked for it, too, if the Secret has kept it; in the words of the status."""
    place.begin(NEW)
    place.put_secret(KEY_SECRET, {"private.pem": NEW.private, "previous-private.pem": OLD.private})
    place.endpoint.hold(NEW)
    number, *_ = place.simulator.pods
    row = {
        "phoneNumber": number,
        "api": "default",
        "reason": "Signed",
        "signatureStatus": "VALID",
        "observedFingerprint": OLD.fingerprint,
    }
    patch = json.dumps({"status": {"phoneNumbers": [row]}})
    place.kubectl("patch", "bek", "flows", "--subresource=status", "--type=merge", f"--patch={patch}")
    both = place.ask("flows")
    asked = [ping.opened for ping in place.endpoint.pings]
    place.endpoint.lose(OLD)
    lost = place.ask("flows")
    assert (both.returncode, lost.returncode) == (0, 1)
    assert asked == [NEW.fingerprint, OLD.fingerprint]
    assert lost.stdout.splitlines()[-1] == (
        f"EndpointLacksOldKey: it does not open earlier key {key_id(OLD)} any more; "
        "Flows are broken on numbers until they have the new key"
    )


def test_options_take_the_place_of_secrets(place: Place, tmp_path: Path) -> None:
    """Whoever is not allowed to read Secrets is told which options to use, and then can ask."""
    place.begin()
    key, ca = tmp_path / "public.pem", tmp_path / "ca.crt"
    key.write_text(OLD.public, encoding="ascii")
    ca.write_text(place.endpoint.certificate.authority, encoding="ascii")
    place.kubectl("create", "serviceaccount", "viewer")
    token = place.api_server.service_account_token(place.namespace, "viewer")
    viewer = place.api_server.kubeconfig(token, name="viewer")
    stranger = place.ask("flows", kubeconfig=viewer)
    account = f"--serviceaccount={place.namespace}:viewer"
    place.kubectl("create", "rolebinding", "viewer", "--clusterrole=bek-view", account)
    refused = place.ask("flows", kubeconfig=viewer)
    options = ("--app-secret-env=APP", f"--ca={ca}", f"--public-key={key}")
    opened = place.ask("flows", *options, kubeconfig=viewer, APP=APP_SECRET)
    assert [one.returncode for one in (stranger, refused, opened)] == [2, 2, 0]
    assert stranger.stderr.startswith("error: you are not allowed to get businessencryptionkeys.bek.dev in the namesp")
    assert refused.stderr.removeprefix("error:").splitlines() == [
        f' {indent}you are not allowed to get the Secret "{secret}" in the namespace {place.namespace};'
        f" the ClusterRole edit would allow it; name {instead}"
        for indent, secret, instead in (
            ("", "meta-app", "the app secret with --app-secret-file or --app-secret-env"),
            ("      ", "flows-ca", "the CA with --ca"),
            ("      ", KEY_SECRET, "the key with --key"),
        )
    ]


def test_a_service_is_asked_through_a_forwarded_port(place: Place) -> None:
    """Outside of the cluster its name does not resolve; the message has the commands, and they work."""
    place.begin(
        url="https://flows:8443/flows/?code=a-password", tls={"caSecretRef": {"name": "flows-ca", "key": "ca.crt"}}
    )
    alone = place.ask("flows")
    forwarded = place.ask("flows", f"--url={place.endpoint.url}", "--server-name=flows.example.com")
    within = f"--namespace {place.namespace}"
    assert alone.returncode == 2
    assert alone.stderr.splitlines() == [
        f"error: flows.{place.namespace}.svc is a Service, and does not resolve here; its port can be forwarded:",
        f"  kubectl port-forward {within} service/flows 8443:8443",
        f"  kubectl bek endpoint flows {within} --url 'https://localhost:8443/flows/?…' --server-name flows",
    ]
    assert (forwarded.returncode, forwarded.stderr) == (0, "")


def test_an_object_without_an_endpoint(place: Place) -> None:
    """An address can be given; the key is that of the Secret."""
    place.put_key(OLD)
    place.endpoint.app_secret = ""
    place.apply(place.manifest(suspend=True))
    nowhere = place.ask("flows")
    found = place.ask("flows", f"--url={place.endpoint.url}")
    assert (nowhere.returncode, nowhere.stderr) == (
        2,
        "error: flows has no `flowsEndpoint`; name its address with --url\n",
    )
    assert found.returncode == 1
    assert found.stdout.splitlines()[0].endswith(f"ping for key {key_id(OLD)}, not signed")
    assert "CertificateNotTrusted: " in found.stdout


def test_what_cannot_be_asked(place: Place) -> None:
    """An object that does not exist, and Secrets that are missing or unusable: exit status 2, and no ping."""
    missing = place.ask("flow")
    place.begin()
    place.put_secret("meta-app", {"other": APP_SECRET})
    without_entry = place.ask("flows")
    place.put_secret("meta-app", {"secret": APP_SECRET})
    place.put_secret(KEY_SECRET, {"private.pem": "nonsense"})
    unusable = place.ask("flows")
    place.kubectl("delete", "secret", KEY_SECRET)
    without_key = place.ask("flows")
    assert [one.returncode for one in (missing, without_entry, unusable, without_key)] == [2] * 4
    assert missing.stderr.startswith('error: businessencryptionkeys.bek.dev "flow" not found')
    assert without_entry.stderr == "error: entry secret of Secret meta-app does not exist\n"
    assert unusable.stderr.startswith(f"error: Secret {KEY_SECRET} has no usable key: private.pem")
    assert without_key.stderr.endswith("; name the key with --key\n")
    assert place.endpoint.pings == []


def test_completion_in_a_shell(place: Place) -> None:
    """Names of objects and options."""
    place.apply(place.manifest(suspend=True))
    complete = place.plugin.completions
    assert complete("endpoint", f"--namespace={place.namespace}", "") == ["flows", ":4"]
    assert [line.partition("\t")[0] for line in complete("endpoint", "--app")] == [
        "--app-secret-file",
        "--app-secret-env",
        ":4",
    ]
    assert complete("endpoint", "--key", "") == [":0"]
