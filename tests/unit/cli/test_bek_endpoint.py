"""`kubectl bek endpoint --url`: a simulated endpoint with every fault."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from bek_operator.cli.commands import bek
from support import keys
from support.simulators import faults
from support.simulators.flows_endpoint import PATH, FlowsEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from click.testing import Result

    from support.simulators.exchange import Fault
    from support.simulators.flows_endpoint import Flaw

PAIR, OTHER = keys.rsa(), keys.rsa("second")
APP_SECRET = "an app secret"
STEPS = ["name", "connection", "TLS", "HTTP 200", "base64", "decryption", "active"]
GIVES_KEY = (
    "EndpointLacksKey: HTTP 421: it cannot decrypt with any private key that it holds; give it the private half of the "
    "Secret's key. If it holds that, a proxy in front of it may have answered"
)


@pytest.fixture(name="endpoint")
def endpoint_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds a key and wants signatures."""
    with FlowsEndpoint(PAIR, app_secret=APP_SECRET) as endpoint:
        yield endpoint
        assert endpoint.violations == []


class User:
    """Somebody with files of their own, who asks an endpoint."""

    def __init__(self, endpoint: FlowsEndpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self._folder = folder

    def file(self, name: str, content: str) -> str:
        """Write a file; return its path."""
        file = self._folder / name
        file.write_text(content, encoding="utf-8")
        return str(file)

    def ask(self, *arguments: str, **options: str) -> Result:
        """Ask the endpoint by its URL, with everything that it needs; options replace that."""
        given = {
            "url": self.endpoint.url,
            "key": self.file("private.pem", PAIR.private),
            "ca": self.file("ca.crt", self.endpoint.certificate.authority),
            "app-secret-env": "APP_SECRET",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        flags = [f"--{name}={value}" for name, value in given.items() if value]
        environment = {"KUBECONFIG": "/none", "APP_SECRET": APP_SECRET, "WRONG": "another"}
        return CliRunner().invoke(bek, ["endpoint", *flags, *arguments], env=environment)

    def shown(self, result: Result) -> list[str]:
        """Return what was printed, with the words of a line one blank apart and without the port."""
        port = self.endpoint.url.removesuffix(self.endpoint.target).rpartition(":")[2]
        return [" ".join(line.split()).replace(port, "PORT") for line in result.stdout.splitlines()]


@pytest.fixture(name="user")
def user_fixture(endpoint: FlowsEndpoint, tmp_path: Path) -> User:
    """A user."""
    return User(endpoint, tmp_path)


def key_id(pair: keys.KeyPair) -> str:
    """Return the short form of a fingerprint."""
    return pair.fingerprint.removeprefix("sha256:")[:12]


def failing(step: str) -> list[str]:
    """Return the steps that did not succeed, each with its result, where one has failed."""
    at = STEPS.index(step)
    return [f"{step} failed", *(f"{one} not reached" for one in STEPS[at + 1 :])]


OPENED = [
    "STEP RESULT SEEN",
    "name ok 127.0.0.1",
    "connection ok 127.0.0.1, port PORT",
    "TLS ok certificate for 127.0.0.1",
    "HTTP 200 ok",
    "base64 ok",
    "decryption ok it opened the ping, and its answer opens with the same AES key and the vector inverted",
    'active ok {"data": {"status": "active"}}',
    "EndpointHoldsKey: it opens what is encrypted to the key",
]


def test_an_endpoint_that_holds_the_key(user: User) -> None:
    """Each step is shown; no cluster is needed."""
    result = user.ask()
    assert (result.exit_code, result.stderr) == (0, "")
    assert user.shown(result) == [
        f"https://127.0.0.1:PORT/flows: ping for key {key_id(PAIR)}, signed with the app secret",
        *OPENED,
    ]
    assert [(ping.opened, ping.signed) for ping in user.endpoint.pings] == [(PAIR.fingerprint, True)]


@pytest.mark.parametrize("form", ["public", "certificate", "encrypted"])
def test_the_key_comes_in_any_form(user: User, form: str) -> None:
    """The public half is enough to ask."""
    content = {
        "public": PAIR.public,
        "certificate": keys.certificate_of(PAIR.private),
        "encrypted": keys.openssl("pkcs8", "-topk8", "-passout", "pass:sesame", text=PAIR.private),
    }[form]
    passphrase = user.file("passphrase", "sesame")
    result = user.ask(key=user.file("key.pem", content), passphrase_file=passphrase if form == "encrypted" else "")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [ping.opened for ping in user.endpoint.pings] == [PAIR.fingerprint]


def test_the_query_is_sent_and_not_shown(user: User) -> None:
    """It may hold a password."""
    user.endpoint.target = "/flows/?code=a-password"
    result = user.ask()
    assert result.exit_code == 0
    assert user.shown(result)[0].startswith("https://127.0.0.1:PORT/flows/: ping for key ")
    assert "a-password" not in result.stdout + result.stderr


def test_the_app_secret_comes_from_a_file(user: User) -> None:
    """A line break at its end does not count."""
    assert user.ask(app_secret_env="", app_secret_file=user.file("secret", f"{APP_SECRET}\n")).exit_code == 0
    assert [ping.signed for ping in user.endpoint.pings] == [True]


class Broken(NamedTuple):
    """What is wrong, the step that fails, and how the last line begins."""

    what: str
    step: str
    reason: str
    flaw: Flaw = ""
    fault: Fault | None = None
    options: Mapping[str, str] = MappingProxyType({})


HINT = "hint: --ca names a file with the CA, and --server-name the name in the certificate\n"
BROKEN = [
    Broken("in the clear", "base64", "EndpointInvalidAnswer: its answer is JSON in the clear", "in the clear"),
    Broken(
        "vector not inverted",
        "decryption",
        "EndpointInvalidAnswer: its answer is encrypted with the initial vector of the request",
        "vector not inverted",
    ),
    Broken("AES-256", "HTTP 200", "EndpointInvalidAnswer: HTTP 500: it failed on the ping", "AES-256"),
    Broken("wrong padding", "HTTP 200", "EndpointInvalidAnswer: HTTP 500: it failed on the ping", "wrong padding"),
    Broken("another key", "decryption", "EndpointInvalidAnswer: its answer does not open", "another key"),
    Broken("a flow token", "HTTP 200", "EndpointInvalidAnswer: HTTP 427: it refuses the flow", "wants a flow token"),
    Broken("not active", "active", "EndpointInvalidAnswer: it opens the ping, but does not answer", "not active"),
    Broken("a page", "base64", "EndpointInvalidAnswer: its answer is not base64", fault=faults.page()),
    Broken("a page not found", "HTTP 200", "EndpointInvalidAnswer: HTTP 404: not the answer", fault=faults.page(404)),
    Broken("unavailable", "HTTP 200", "EndpointUnreachable: HTTP 502: it is unavailable", fault=faults.page(502)),
    Broken(
        "a redirect",
        "HTTP 200",
        "EndpointInvalidAnswer: HTTP 302: redirects are not followed",
        fault=faults.redirect("https://127.0.0.1:1/"),
    ),
    Broken("a gigabyte", "HTTP 200", "EndpointInvalidAnswer: 127.0.0.1:PORT: the response", fault=faults.Endless()),
    Broken("cut off", "HTTP 200", "EndpointUnreachable: 127.0.0.1:PORT: the connection broke", fault=faults.CutOff()),
    Broken(
        "another signature",
        "HTTP 200",
        "EndpointSignatureRefused: HTTP 432: it refuses the signature",
        options={"app_secret_env": "WRONG"},
    ),
    Broken(
        "no signature",
        "HTTP 200",
        "EndpointSignatureRefused: HTTP 432: it requires a signature",
        options={"app_secret_env": ""},
    ),
    Broken(
        "another name",
        "TLS",
        "CertificateNotTrusted: 127.0.0.1:PORT: the server's certificate is not for the name other.test",
        options={"server_name": "other.test"},
    ),
    Broken(
        "an unknown CA",
        "TLS",
        "CertificateNotTrusted: 127.0.0.1:PORT: the server's certificate is not signed by a trusted CA",
        options={"ca": ""},
    ),
    Broken(
        "no such name",
        "name",
        "EndpointUnreachable: flows.example.invalid: the name",
        options={"url": "https://flows.example.invalid/"},
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=[case.what for case in BROKEN])
def test_the_step_that_fails_is_shown(user: User, case: Broken) -> None:
    """With the reason that the status would show, and what to do; nothing of the answer is shown."""
    user.endpoint.flaw = case.flaw
    if case.fault:
        user.endpoint.fail(case.fault, times=None)
    result = user.ask(**case.options)
    *_, conclusion = shown = user.shown(result)
    assert (result.exit_code, result.stderr) == (1, HINT if case.step == "TLS" else "")
    assert shown[1 : 2 + STEPS.index(case.step)] == OPENED[: 1 + STEPS.index(case.step)]
    assert shown[2 + STEPS.index(case.step) : -1] == failing(case.step)
    assert conclusion.startswith(case.reason)
    assert "Welcome" not in result.stdout


def test_an_endpoint_that_lacks_the_key(user: User) -> None:
    """A key fault, with what to do."""
    result = user.ask(key=user.file("other.pem", OTHER.public))
    assert result.exit_code == 1
    assert user.shown(result)[4:] == [OPENED[3], *failing("HTTP 200"), GIVES_KEY]


def test_connection_and_tls_are_told_from_each_other(user: User) -> None:
    """A server that is down, and one that speaks HTTP without TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as plain:
        threading.Thread(target=plain.serve_forever).start()
        without_tls = user.shown(user.ask(url=f"https://127.0.0.1:{plain.server_port}/"))
        plain.shutdown()
    user.endpoint.stop()
    stopped = user.shown(user.ask())
    assert without_tls[4:-1] == failing("TLS")
    assert "the TLS handshake failed; the port must serve HTTPS" in without_tls[-1]
    assert stopped[3:-1] == failing("connection")
    assert stopped[-1] == "EndpointUnreachable: 127.0.0.1:PORT: connection refused"


def test_a_proxy_resolves_and_connects(user: User) -> None:
    """What it does is not taken for what the endpoint does."""
    result = user.ask(proxy="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert user.shown(result)[2:-1] == ["name ok by the proxy", *failing("connection")]
    assert user.shown(result)[-1] == "EndpointUnreachable: 127.0.0.1:PORT: the proxy: connection refused"


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data_for_scripts(user: User, output: str) -> None:
    """The same as JSON and YAML."""
    result = user.ask("-o", output)
    found = json.loads(result.stdout) if output == "json" else yaml.safe_load(result.stdout)
    assert result.exit_code == 0
    assert {name: value for name, value in found.items() if name != "steps"} == {
        "url": user.endpoint.url,
        "publicKeyFingerprint": PAIR.fingerprint,
        "signed": True,
        "opens": True,
        "reason": "EndpointHoldsKey",
        "message": "it opens what is encrypted to the key",
    }
    assert [(one["step"], one["result"]) for one in found["steps"]] == [(step, "ok") for step in STEPS]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"url": "http://127.0.0.1/"}, "--url: must be https://…; a ping is sent over TLS only, as Meta does"),
        ({"url": "https://me@flows/"}, "--url: must be https://host or https://host:port, with a /path"),
        ({"url": "https://169.254.169.254/"}, "169.254.169.254: resolves to a cloud metadata address; calling it is"),
        ({"key": ""}, "name an object, or an address and a key with --url and --key"),
        ({"key": "{bad}"}, "--key: bad.pem"),
        (
            {"key": "{locked}"},
            "; set keySecretRef.passphraseKey to the entry with its passphrase\nhint: --passphrase-file",
        ),
        ({"ca": "{bad}"}, "127.0.0.1:PORT: the CA bundle holds no certificate in PEM form"),
        ({"ca": "{empty}"}, "{empty} is empty"),
        ({"ca": "{long}"}, "{long} is longer than 65536 bytes"),
        ({"ca": "/none"}, "File '/none' does not exist"),
        ({"app_secret_env": "NONE"}, "the variable NONE of --app-secret-env is not set, or empty"),
        ({"app_secret_file": "{bad}"}, "name either --app-secret-file or --app-secret-env"),
        ({"key": "", "passphrase_file": "{bad}"}, "--passphrase-file is for an encrypted --key"),
        ({"proxy": "ftp://proxy"}, "--proxy: must be http://host:port or https://host:port"),
    ],
)
def test_what_cannot_be_asked(user: User, options: dict[str, str], fault: str) -> None:
    """Exit status 2, and the endpoint has not seen a ping."""
    files = {
        "bad": user.file("bad.pem", "nonsense"),
        "locked": user.file("locked.pem", keys.encrypted().private),
        "empty": user.file("empty", "\n"),
        "long": user.file("long", "x" * 65537),
    }
    result = user.ask(**{name: value.format(**files) for name, value in options.items()})
    port = user.endpoint.url.removesuffix(PATH).rpartition(":")[2]
    assert (result.exit_code, result.stdout) == (2, "")
    assert fault.format(**files) in result.stderr.replace(port, "PORT")
    assert user.endpoint.pings == []
