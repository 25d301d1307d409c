"""Places: which entries lead to the same number, and which only look as if they did."""

from __future__ import annotations

from typing import Any

import pytest

from bek_operator.crd.types import OnPremisesApi, ProviderApi
from bek_operator.numbers.identity import identity_of, url_of
from support.builders import (
    NAMESPACE,
    NUMBER,
    OTHER_NUMBER,
    cloud,
    identified,
    on_premises,
    provider,
    resource,
    spec_body,
    spec_of,
)

ID = "106540352242922"


def identity(api: dict[str, Any], number: str = NUMBER, identity: str = ID, namespace: str = NAMESPACE) -> str | None:
    """Return what a number on this api is told from others by."""
    spec = spec_of(resource(spec_body(apis=[api], phoneNumbers=[identified(number, identity)])))
    return identity_of(spec.numbers[0], namespace)


TOKEN: dict[str, Any] = {"tokenSecretRef": {"name": "another", "key": "token"}}
API_KEY: dict[str, Any] = {"apiKeySecretRef": {"name": "another", "key": "{digits}"}}
CREDENTIALS: dict[str, Any] = {"credentialsSecretRef": {"name": "another"}}

SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one id with another version": (cloud(), cloud(version="v24.0")),
    "one id with another token": (cloud(), cloud(**TOKEN)),
    "one id under another name, with proof": (cloud(), cloud("other", appSecretRef={"name": "app", "key": "secret"})),
    "one pod as another user": (on_premises(), on_premises(**CREDENTIALS)),
    "one pod that is trusted otherwise": (on_premises(), on_premises("other", tls={"serverName": "whatsapp-web"})),
    "one pod with its port": (on_premises(), on_premises(url="https://whatsapp-{digits}:443")),
    "one pod with a slash": (on_premises(), on_premises(url="https://whatsapp-{digits}/")),
    "one pod by its long name": (on_premises(), on_premises(url=f"https://whatsapp-{{digits}}.{NAMESPACE}.svc")),
    "one pod by its number": (on_premises(), on_premises(url=f"https://whatsapp-{NUMBER[1:]}")),
    "one API key in another header": (provider(), provider(apiKeyHeader="X-API-KEY")),
    "one API key by its number": (provider(), provider(key=NUMBER[1:])),
}

DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another pod": (on_premises(), on_premises(url="https://whatsapp-2-{digits}")),
    "another port": (on_premises(), on_premises(url="https://whatsapp-{digits}:8443")),
    "another path": (on_premises(), on_premises(url="https://whatsapp-{digits}/b")),
    "another Secret with API keys": (provider(), provider(**API_KEY)),
    "another entry of the Secret": (provider(), provider(key="key-{digits}")),
    "another address of the provider": (provider(), provider(url="https://bsp.example/v2")),
    "another kind of API": (on_premises(url="https://bsp.example"), provider()),
    "the Cloud API and a provider": (cloud(), provider(url="https://bsp.example/{phoneNumberID}")),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_what_leads_to_one_number_has_one_identity(one: dict[str, Any], other: dict[str, Any]) -> None:
    """However it is written, as whomever it is called."""
    assert identity(one) == identity(other) is not None


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_leads_elsewhere_has_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What may be another number is called as one."""
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("api", "told_apart"),
    [
        pytest.param(on_premises(), True, id="a pod for each number"),
        pytest.param(on_premises(url="https://whatsapp-web"), False, id="a single pod"),
        pytest.param(provider(), True, id="an API key for each number"),
        pytest.param(provider(key="key"), False, id="a single API key at a single address"),
        pytest.param(provider(key="key", url="https://{digits}.bsp.example"), True, id="an address for each number"),
        pytest.param(provider(key="key", url="https://bsp.example/{phoneNumberID}"), True, id="an address for each id"),
        pytest.param(provider(key="k.{phoneNumberID}"), True, id="an API key for each id"),
        pytest.param(cloud(), True, id="the Cloud API"),
    ],
)
def test_numbers_are_told_apart_by_what_selects_them(api: dict[str, Any], *, told_apart: bool) -> None:
    """That is the address, the id or the credential, and nothing where all of these are the same."""
    assert (identity(api) != identity(api, OTHER_NUMBER, "999")) == told_apart


def test_on_the_cloud_only_the_id_counts() -> None:
    """A number that was written wrongly beside the right id is still the number of that id."""
    assert identity(cloud()) == identity(cloud(), OTHER_NUMBER)
    assert identity(cloud()) != identity(cloud(), NUMBER, "999")


def test_a_service_is_the_namespaces_own() -> None:
    """The same spec in another namespace leads elsewhere, unless it names a host of the whole world."""
    assert identity(on_premises()) != identity(on_premises(), namespace="other")
    assert identity(provider()) == identity(provider(), namespace="other")


@pytest.mark.parametrize(
    "url",
    [
        "http://bsp.example",
        "https://user@bsp.example",
        "https://{digits}",
        "https://bsp.example/../{digits}",
        "https://-",
    ],
)
@pytest.mark.parametrize("api", [on_premises, provider], ids=["OnPremises", "Provider"])
def test_what_is_no_url_leads_nowhere(api: Any, url: str) -> None:
    """What an older schema may have let through is told from nothing, and called by nobody."""
    [number] = spec_of(resource(spec_body(apis=[api(url=url)]))).numbers
    assert isinstance(number.api, OnPremisesApi | ProviderApi)
    assert identity_of(number, NAMESPACE) is None
    assert url_of(number.api, number, NAMESPACE) is None


def test_what_cannot_be_served_leads_nowhere() -> None:
    """A type that this version does not know claims nothing."""
    assert identity({"name": "a", "type": "Carrier"}) is None
