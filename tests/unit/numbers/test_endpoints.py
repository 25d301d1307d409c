"""Access: what an API is called with, taken from the spec, the Secrets and the operator's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import Spec
from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.url import parse_url
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.endpoint import CloudEndpoint, OnPremisesEndpoint
from bek_operator.numbers.endpoints import (
    DEFAULT_CLOUD_VERSION,
    EgressPolicy,
    Endpoints,
    Missing,
    held_bytes,
    wanted_entries,
)
from support.builders import (
    KEY_SECRET,
    LOGIN_SECRET,
    NAMESPACE,
    NUMBER,
    OTHER_NUMBER,
    PROVIDER_SECRET,
    TOKEN_SECRET,
    cloud,
    identified,
    on_premises,
    provider,
    resource,
    secrets,
    spec_body,
    spec_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ID = "106540352242922"
PROOF: dict[str, Any] = {"appSecretRef": {"name": "meta-app", "key": "secret"}}
CA: dict[str, Any] = {"caSecretRef": {"name": "ca", "key": "ca.crt"}}
FOUND = secrets(
    **{
        TOKEN_SECRET: {"token": b"EAAG-token\n"},
        PROVIDER_SECRET: {NUMBER[1:]: b"key of one", OTHER_NUMBER[1:]: b"key of the other", f"id.{ID}": b"by id"},
        "meta-app": {"secret": b"app secret\r\n"},
        "ca": {"ca.crt": b"-----BEGIN CERTIFICATE-----"},
    }
)


def egress(
    allow: str = "bsp.example", cloud: str = "https://graph.example.com", ca_bundle: str | None = None
) -> EgressPolicy:
    """Return what the operator's settings let an object call."""
    hosts = AllowedHosts.parse(allow.split(",") if allow else ())
    return EgressPolicy(hosts=hosts, cloud=parse_url(cloud), cloud_ca=ca_bundle)


def ends(
    api: dict[str, Any],
    found: Mapping[str, Mapping[str, bytes] | Missing] = FOUND,
    within: EgressPolicy | None = None,
    numbers: tuple[str, ...] = (NUMBER,),
) -> list[CloudEndpoint | OnPremisesEndpoint | Failure]:
    """Return where numbers on this api are called, or why they are not."""
    listed = [identified(number, ID if number == NUMBER else "999") for number in numbers]
    spec = spec_of(resource(spec_body(apis=[api], phoneNumbers=listed)))
    endpoints = Endpoints(NAMESPACE, found, within or egress())
    return [endpoints.of(number) for number in spec.numbers]


def end(api: dict[str, Any], **more: Any) -> CloudEndpoint:
    """Return where a number on an api that speaks the Cloud API's protocol is called."""
    [found] = ends(api, **more)
    assert isinstance(found, CloudEndpoint)
    return found


def problem(api: dict[str, Any], **more: Any) -> Failure:
    """Return why a number on this api is not called."""
    [found] = ends(api, **more)
    assert isinstance(found, Failure)
    return found


def test_a_number_on_the_cloud_is_called_by_version_and_id() -> None:
    """At the operator's own address, with the operator's own trust; the token comes without its line end."""
    found = end(cloud(), within=egress(cloud="https://proxy.example:8443/graph", ca_bundle="PEM"))
    assert str(found.url) == f"https://proxy.example:8443/graph/{DEFAULT_CLOUD_VERSION}/{ID}"
    assert (found.trust.ca_bundle, found.trust.server_name, found.trust.tenant) == ("PEM", "proxy.example", "")
    assert (found.header, found.token.reveal(), found.app_secret) == ("Authorization", "EAAG-token", None)
    assert str(end(cloud(version="v24.0")).url) == f"https://graph.example.com/v24.0/{ID}"


def test_the_cloud_needs_no_allowance() -> None:
    """Whoever set its address allowed it, for apis of type Cloud and for a provider that is there."""
    assert end(cloud(), within=egress(allow="")).url.host == "graph.example.com"
    assert end(provider(url="https://graph.example.com/v1"), within=egress(allow="")).url.path == "/v1"
    assert (
        problem(provider(url="https://graph.example.com:8443"), within=egress(allow="")).reason
        is Reason.HOST_NOT_ALLOWED
    )


def test_an_app_secret_is_taken_where_one_is_named() -> None:
    """It comes without its line end, and is part of what makes two endpoints differ."""
    found = end(cloud(**PROOF))
    assert found.app_secret is not None
    assert found.app_secret.reveal() == "app secret"
    assert found != end(cloud())


def test_a_provider_is_called_at_its_own_address_with_a_key_for_each_number() -> None:
    """In its own header, without an id; the certificate is for the host as it was written, or the name given."""
    one, other = ends(provider(), numbers=(NUMBER, OTHER_NUMBER))
    assert isinstance(one, CloudEndpoint)
    assert isinstance(other, CloudEndpoint)
    assert str(one.url) == str(other.url) == "https://bsp.example"
    assert (one.header, one.token.reveal(), other.token.reveal()) == ("D360-API-KEY", "key of one", "key of the other")
    assert one.identity != other.identity
    assert (one.provider, one.source) == (True, f"entry {NUMBER[1:]} of Secret {PROVIDER_SECRET}")
    assert one.limiter_key != other.limiter_key
    assert (one.trust.ca_bundle, one.trust.server_name, one.trust.tenant) == (None, "bsp.example", NAMESPACE)
    trust = end(provider(tls={**CA, "serverName": "api.bsp.example"})).trust
    assert (trust.ca_bundle, trust.server_name) == ("-----BEGIN CERTIFICATE-----", "api.bsp.example")


@pytest.mark.parametrize(
    ("api", "url", "key"),
    [
        pytest.param(provider(key="id.{phoneNumberID}"), "https://bsp.example", "by id", id="the id in the key"),
        pytest.param(
            provider(url="https://bsp.example/{phoneNumberID}/{digits}"),
            f"https://bsp.example/{ID}/{NUMBER[1:]}",
            "key of one",
            id="both in the path",
        ),
        pytest.param(
            provider(url="https://n{digits}.bsp.example"),
            f"https://n{NUMBER[1:]}.bsp.example",
            "key of one",
            id="the host",
        ),
        pytest.param(
            provider(url="https://bsp"), f"https://bsp.{NAMESPACE}.svc", "key of one", id="a Service of the namespace"
        ),
    ],
)
def test_what_stands_for_the_number_is_filled_in(api: dict[str, Any], url: str, key: str) -> None:
    """In the address as in the name of the Secret's entry."""
    found = end(api, within=egress("bsp.example,*.bsp.example"))
    assert (str(found.url), found.token.reveal()) == (url, key)


def test_a_token_is_one_lane_at_each_address() -> None:
    """Whatever the number, the version or the object; another token, or another address, is another one."""
    limits = {found.limiter_key for found in (end(cloud()), end(cloud("b", version="v24.0")), end(cloud(**PROOF)))}
    [one, other] = ends(cloud(), numbers=(NUMBER, OTHER_NUMBER))
    assert not isinstance(one, Failure)
    assert not isinstance(other, Failure)
    assert limits == {one.limiter_key} == {other.limiter_key}
    renewed = {**FOUND, TOKEN_SECRET: {"token": b"EAAG-renewed"}}
    assert end(cloud(), found=renewed).limiter_key not in limits
    assert end(cloud(), within=egress(cloud="https://other.example")).limiter_key not in limits
    assert "EAAG" not in one.limiter_key + repr(one)


def test_a_providers_number_is_where_its_url_and_key_lead() -> None:
    """Whatever Secret and entry the key is from, and by whatever header and trust the provider is called."""
    copied = {**FOUND, "copy": {"key": b"key of one\n"}}
    elsewhere = provider(name="b", key="key", apiKeySecretRef={"name": "copy", "key": "key"}, apiKeyHeader="X-Key")
    one, other = end(provider(), found=copied), end(elsewhere, found=copied)
    assert one != other
    assert one.identity == other.identity
    assert one.identity != end(provider(url="https://bsp.example/v2")).identity


def test_where_credentials_are_from_is_told() -> None:
    """By Secret and entry, for messages."""
    assert end(cloud()).source == f"entry token of Secret {TOKEN_SECRET}"
    assert not end(cloud()).provider
    [pod] = ends(on_premises(), found=secrets())
    assert isinstance(pod, OnPremisesEndpoint)
    assert pod.source == f"Secret {LOGIN_SECRET}"


def without(secret: str, entry: str = "", value: bytes | None = None) -> dict[str, Mapping[str, bytes] | Missing]:
    """Return the Secrets without one of them, or without an entry of it, or with another value there."""
    if not entry:
        return {**FOUND, secret: Missing.ABSENT}
    found = FOUND[secret]
    assert not isinstance(found, Missing)
    data = {name: text for name, text in found.items() if name != entry}
    return {**FOUND, secret: data if value is None else {**data, entry: value}}


NOT_FOUND = Reason.CREDENTIALS_NOT_FOUND
PROBLEMS: dict[str, tuple[dict[str, Any], Mapping[str, Mapping[str, bytes] | Missing], Reason, str]] = {
    "no token Secret": (cloud(), without(TOKEN_SECRET), NOT_FOUND, f"Secret {TOKEN_SECRET} does not exist"),
    "no token entry": (
        cloud(),
        without(TOKEN_SECRET, "token"),
        NOT_FOUND,
        f"entry token of Secret {TOKEN_SECRET} does not exist",
    ),
    "no app Secret": (cloud(**PROOF), without("meta-app"), NOT_FOUND, "Secret meta-app does not exist"),
    "no app secret": (
        cloud(**PROOF),
        without("meta-app", "secret"),
        NOT_FOUND,
        "entry secret of Secret meta-app does not exist",
    ),
    "no key for this number": (
        provider(),
        without(PROVIDER_SECRET, NUMBER[1:]),
        NOT_FOUND,
        f"entry {NUMBER[1:]} of Secret {PROVIDER_SECRET} does not exist",
    ),
    "no CA of the provider": (provider(tls=CA), without("ca"), NOT_FOUND, "Secret ca does not exist"),
    "an empty token": (
        cloud(),
        without(TOKEN_SECRET, "token", b"\n"),
        Reason.INVALID_CREDENTIALS,
        f"entry token of Secret {TOKEN_SECRET} is empty",
    ),
    "a token of bytes": (
        cloud(),
        without(TOKEN_SECRET, "token", b"\xff"),
        Reason.INVALID_CREDENTIALS,
        f"entry token of Secret {TOKEN_SECRET} is not UTF-8 text",
    ),
    "an endless token": (
        cloud(),
        without(TOKEN_SECRET, "token", b"x" * 8193),
        Reason.INVALID_CREDENTIALS,
        f"entry token of Secret {TOKEN_SECRET} is longer than 8192 bytes",
    ),
    "an endless app secret": (
        cloud(**PROOF),
        without("meta-app", "secret", b"x" * 1025),
        Reason.INVALID_CREDENTIALS,
        "entry secret of Secret meta-app is longer than 1024 bytes",
    ),
    "a host that nobody allowed": (
        provider(url="https://evil.example"),
        FOUND,
        Reason.HOST_NOT_ALLOWED,
        "host evil.example is not allowed; start the operator with --allow-host=evil.example",
    ),
    "a port that nobody allowed": (
        provider(url="https://bsp.example:8443"),
        FOUND,
        Reason.HOST_NOT_ALLOWED,
        "host bsp.example is not allowed; start the operator with --allow-host=bsp.example:8443",
    ),
    "a cloud's metadata": (
        provider(url="https://169.254.169.254"),
        FOUND,
        Reason.HOST_NOT_ALLOWED,
        "host 169.254.169.254 is a cloud's metadata service; calling it is forbidden",
    ),
    "what is no URL": (
        provider(url="https://{phoneNumberID}"),
        FOUND,
        Reason.HOST_NOT_ALLOWED,
        "`url` of api bsp is not a valid https URL",
    ),
}


@pytest.mark.parametrize(("api", "found", "reason", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_is_missing_is_named(
    api: dict[str, Any], found: Mapping[str, Mapping[str, bytes] | Missing], reason: Reason, message: str
) -> None:
    """By Secret and entry, never by what is in it; what may still arrive is waited for."""
    known = problem(api, found=found)
    assert (known.reason, known.message) == (reason, message)
    assert known.retry is (Retry.TRANSIENT if reason is NOT_FOUND else Retry.TERMINAL)


def test_one_missing_key_concerns_its_own_number_only() -> None:
    """Where each number has an entry of its own the others are called."""
    one, other = ends(provider(), found=without(PROVIDER_SECRET, NUMBER[1:]), numbers=(NUMBER, OTHER_NUMBER))
    assert isinstance(one, Failure)
    assert isinstance(other, CloudEndpoint)


def test_no_api_shows_through_into_another() -> None:
    """Each type looks at its own Secrets only."""
    assert isinstance(ends(on_premises(), found=secrets())[0], OnPremisesEndpoint)
    assert end(cloud(), found={TOKEN_SECRET: FOUND[TOKEN_SECRET]}).token.reveal()
    assert end(provider(), found={PROVIDER_SECRET: FOUND[PROVIDER_SECRET]}).token.reveal()


LONG, KEY = "s" * 253, "k" * 253
LONG_NAMES = cloud(tokenSecretRef={"name": LONG, "key": KEY})


def test_what_takes_too_much_memory_is_told_of_the_namespace() -> None:
    """The Secret that is needed first need not be the one that is too large."""
    found = problem(cloud(), found={TOKEN_SECRET: Missing.TOO_MUCH})
    assert found.reason is Reason.INVALID_CREDENTIALS
    assert found.message == (
        "the credentials and CA bundles of this object and of older ones in the namespace take more than 16 MiB; "
        "name fewer or smaller ones"
    )


@pytest.mark.parametrize(
    ("api", "content", "words"),
    [
        (LONG_NAMES, Missing.ABSENT, "does not exist"),
        (LONG_NAMES, Missing.FORBIDDEN, "cannot be read: RBAC forbids the operator to get it"),
        (LONG_NAMES, {}, "does not exist"),
        (LONG_NAMES, {KEY: b""}, "is empty"),
        (LONG_NAMES, {KEY: b"\xff"}, "is not UTF-8 text"),
        (LONG_NAMES, {KEY: b"x" * 9999}, "bytes"),
        (
            on_premises(credentialsSecretRef={"name": LONG}),
            {"username": b"a:b", "password": b"c"},
            "must not contain a colon (HTTP basic authentication forbids it)",
        ),
    ],
)
def test_long_names_leave_room_for_what_is_wrong(api: dict[str, Any], content: Any, words: str) -> None:
    """The row's message has 256 characters; beginning and end of a name are left, as it is chosen by its owner."""
    message = problem(api, found={LONG: content}).message
    assert message.endswith(words)
    assert "s…s" in message
    assert len(message) <= 256


def test_held_bytes_are_those_of_credentials_and_ca_bundles() -> None:
    """Each entry once, as large as its text; what is no use or not there takes nothing."""
    endpoint = {"url": "https://flows.example", "appSecretRef": {"name": "meta-app", "key": "secret"}}
    body = spec_body(apis=[on_premises("one", tls=CA), on_premises("two", tls=CA)], flowsEndpoint=endpoint)
    listed = [identified(NUMBER, api="one"), identified(OTHER_NUMBER, api="two")]
    spec = spec_of(resource({**body, "phoneNumbers": listed}))
    login = {"username": b"admin", "password": b"secret"}
    found = secrets(
        **{LOGIN_SECRET: login, "ca": {"ca.crt": b"x" * 100}, KEY_SECRET: {"private.pem": b"x"}, "meta-app": {}}
    )
    assert held_bytes(spec, found) == 111
    assert held_bytes(spec, {**found, "meta-app": {"secret": b"12345"}}) == 116
    assert held_bytes(spec, {**found, "ca": {"ca.crt": "€".encode() + b"x" * 97}}) == 411
    assert held_bytes(spec, {**found, "ca": Missing.ABSENT}) == 11


def test_wanted_entries_are_those_that_numbers_and_keys_are_made_of() -> None:
    """Each with the largest size that is of use; an entry that is named twice has the larger one."""
    ca = {"name": "ca", "key": "ca.crt"}
    apis = [
        on_premises(tls={"caSecretRef": ca}),
        on_premises("plain"),
        cloud(appSecretRef={"name": TOKEN_SECRET, "key": "token"}),
        cloud("other", tokenSecretRef={"name": TOKEN_SECRET, "key": "other"}),
        provider(tls={"caSecretRef": ca}),
        {"name": "newer", "type": "Newer"},
    ]
    names = ("default", "plain", "meta", "other", "bsp", "bsp", "newer")
    listed = [identified(f"+1555000{index:04}", api=name) for index, name in enumerate(names)]
    spec = resource(spec_body(apis=apis, phoneNumbers=listed)).spec
    assert isinstance(spec, Spec)
    pem, token, credential = 64 * 1024, 8 * 1024, 1024
    expected = {
        KEY_SECRET: dict.fromkeys(("public.pem", "private.pem", "tls.crt", "tls.key"), pem),
        LOGIN_SECRET: {"username": credential, "password": credential},
        TOKEN_SECRET: {"token": token, "other": token},
        PROVIDER_SECRET: {"15550000004": token, "15550000005": token},
        "ca": {"ca.crt": pem},
    }
    assert wanted_entries(spec) == expected
    assert spec.secrets == expected.keys()


def test_wanted_entries_of_a_named_key_and_of_a_flow_endpoint() -> None:
    """A named entry is the only one; the passphrase may be in any."""
    flows = {"url": "https://flows.example", "appSecretRef": {"name": "meta-app", "key": "secret"}}
    for endpoint, more in (
        (flows, {"meta-app": {"secret": 1024}}),
        (
            {"url": "https://flows.example", "tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}},
            {"ca": {"ca.crt": 64 * 1024}},
        ),
    ):
        key = {"name": KEY_SECRET, "key": "key.pem", "passphraseKey": "passphrase"}
        spec = resource(spec_body(keySecretRef=key, flowsEndpoint=endpoint)).spec
        assert isinstance(spec, Spec)
        assert wanted_entries(spec) == {
            KEY_SECRET: {"key.pem": 64 * 1024, "passphrase": 1024},
            LOGIN_SECRET: {"username": 1024, "password": 1024},
            **more,
        }
