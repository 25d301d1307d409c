"""Apis of type Cloud and Provider, and the rollout, as an object has them: read to the letter, or refused by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.crd.parse import parse_object
from bek_operator.crd.types import CloudApi, EntryRef, InvalidSpec, ProviderApi, Rollout, Spec
from bek_operator.status.compute import status_of
from support.builders import (
    KEY_SECRET,
    LOGIN_SECRET,
    NOW,
    NUMBER,
    OTHER_NUMBER,
    PROVIDER_SECRET,
    TOKEN_SECRET,
    body,
    cloud,
    identified,
    on_premises,
    provider,
    public_key,
    resource,
    spec_body,
    spec_of,
)

ID = "106540352242922"
CA = {"caSecretRef": {"name": "ca", "key": "ca.crt"}, "serverName": "api.bsp.example"}
PROOF = {"name": "meta-app", "key": "secret"}


def on(*apis: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a spec with these apis and a number on the first of them; `more` are its members."""
    return spec_body(apis=list(apis), phoneNumbers=[identified(NUMBER, ID, apis[0]["name"])], **more)


def refusal(spec: dict[str, Any]) -> str:
    """Return why a spec is not understood."""
    found = resource(spec).spec
    assert isinstance(found, InvalidSpec)
    return found.message


def test_a_cloud_api_is_read() -> None:
    """Version and app secret may be left out; the Secrets that it names are followed."""
    spec = spec_of(resource(on(cloud(version="v24.0", appSecretRef=PROOF))))
    assert spec.numbers[0].api == CloudApi(
        name="meta",
        version="v24.0",
        token=EntryRef(secret=TOKEN_SECRET, entry="token"),
        app_secret=EntryRef(secret="meta-app", entry="secret"),
    )
    assert spec.numbers[0].identity == ID
    assert spec.secrets == {KEY_SECRET, TOKEN_SECRET, "meta-app"}
    smallest = spec_of(resource(on(cloud())))
    assert smallest.numbers[0].api == CloudApi(name="meta", token=EntryRef(secret=TOKEN_SECRET, entry="token"))
    assert smallest.secrets == {KEY_SECRET, TOKEN_SECRET}


def test_a_provider_is_read() -> None:
    """With the trust that a pod may have, too."""
    spec = spec_of(resource(on(provider(url="https://bsp.example/{digits}", key="k-{phoneNumberID}", tls=CA))))
    assert spec.numbers[0].api == ProviderApi(
        name="bsp",
        url="https://bsp.example/{digits}",
        header="D360-API-KEY",
        api_key=EntryRef(secret=PROVIDER_SECRET, entry="k-{phoneNumberID}"),
        ca_bundle=EntryRef(secret="ca", entry="ca.crt"),
        server_name="api.bsp.example",
    )
    assert spec.secrets == {KEY_SECRET, PROVIDER_SECRET, "ca"}
    assert spec.numbers[0].fill_in("{digits}/{phoneNumberID}") == f"{NUMBER[1:]}/{ID}"


def test_numbers_of_every_type_stand_in_one_list() -> None:
    """Only the Secrets of apis that a number uses are read."""
    listed = [identified(NUMBER, ID, "meta"), {"phoneNumber": OTHER_NUMBER}]
    spec = spec_of(resource(spec_body(apis=[on_premises(), cloud(), provider()], phoneNumbers=listed)))
    assert [number.api.name for number in spec.numbers] == ["meta", "default"]
    assert spec.secrets == {KEY_SECRET, LOGIN_SECRET, TOKEN_SECRET}


@pytest.mark.parametrize(
    ("api", "needed"),
    [
        pytest.param(cloud(), True, id="on the Cloud API"),
        pytest.param(provider(), False, id="at a provider that knows the number by its key"),
        pytest.param(provider(url="https://bsp.example/{phoneNumberID}"), True, id="by an id in its address"),
        pytest.param(provider(key="{phoneNumberID}"), True, id="by an id in the name of its key"),
        pytest.param(on_premises(), False, id="on a pod of its own"),
    ],
)
def test_an_id_is_needed_where_it_is_used(api: dict[str, Any], *, needed: bool) -> None:
    """Elsewhere it may be left out, or stay when a number is moved."""
    without = spec_body(apis=[api])
    if needed:
        assert f"`spec.phoneNumbers[].phoneNumberID` of {NUMBER} must be set" in refusal(without)
    else:
        assert spec_of(resource(without)).numbers[0].identity == ""
    assert spec_of(resource(on(api))).numbers[0].identity == ID


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (None, Rollout()),
        ({}, Rollout()),
        ({"type": "FirstNumber"}, Rollout()),
        ({"type": "AllAtOnce"}, Rollout(all_at_once=True)),
        ({"firstNumber": None}, Rollout()),
        ({"firstNumber": {}}, Rollout()),
        ({"firstNumber": {"phoneNumber": NUMBER}}, Rollout(first=NUMBER)),
        ({"firstNumber": {"pauseSeconds": 0}}, Rollout()),
        ({"firstNumber": {"pauseSeconds": 604800}}, Rollout(pause=604800.0)),
        (
            {"type": "FirstNumber", "firstNumber": {"phoneNumber": NUMBER, "pauseSeconds": 60}},
            Rollout(first=NUMBER, pause=60.0),
        ),
    ],
    ids=str,
)
def test_all_of_a_rollout_may_be_left_out(rollout: Any, expected: Rollout) -> None:
    """Then the lowest number goes first, and the others follow at once."""
    assert spec_of(resource(spec_body(rollout=rollout))).rollout == expected


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a cloud api without its member": (
        on({"name": "meta", "type": "Cloud"}),
        "`spec.apis[0].cloud` must be set",
    ),
    "a cloud api with another's member": (
        on({**on_premises("meta"), "type": "Cloud"}),
        "`spec.apis[0].cloud` must be set",
    ),
    "no token": (on(cloud(tokenSecretRef=None)), "`spec.apis[0].cloud.tokenSecretRef` must be set"),
    "no entry of the token": (
        on(cloud(tokenSecretRef={"name": "a"})),
        "`spec.apis[0].cloud.tokenSecretRef.key` must be set",
    ),
    "a token in the open": (on(cloud(tokenSecretRef="EAAG")), "`spec.apis[0].cloud.tokenSecretRef` must be an object"),
    "an app secret without entry": (
        on(cloud(appSecretRef={"name": "a"})),
        "`spec.apis[0].cloud.appSecretRef.key` must be set",
    ),
    "a version without minor": (on(cloud(version="v25")), "`spec.apis[].cloud.version` must have the form v25.0"),
    "a version with a path": (on(cloud(version="v25.0/me")), "`spec.apis[].cloud.version` must have the form v25.0"),
    "a version with a line end": (on(cloud(version="v25.0\n")), "`spec.apis[].cloud.version` must have the form v25.0"),
    "a version that is a number": (on(cloud(version=25.0)), "`spec.apis[0].cloud.version` must be a string"),
    "a provider without its member": (on({"name": "bsp", "type": "Provider"}), "`spec.apis[0].provider` must be set"),
    "no url": (on(provider(url="")), "`spec.apis[0].provider.url` must be set"),
    "a long url": (on(provider(url="https://" + "a" * 1024)), "must have at most 1024 characters"),
    "no header": (on(provider(apiKeyHeader=None)), "`spec.apis[0].provider.apiKeyHeader` must be set"),
    "a long header": (on(provider(apiKeyHeader="x" * 65)), "must have at most 64 characters"),
    "no API key": (on(provider(apiKeySecretRef={})), "`spec.apis[0].provider.apiKeySecretRef.name` must be set"),
    "tls as a list": (on(provider(tls=[])), "`spec.apis[0].provider.tls` must be an object"),
    "an id with a path": (
        spec_body(apis=[cloud()], phoneNumbers=[identified(NUMBER, "1/2")]),
        f"`spec.phoneNumbers[].phoneNumberID` of {NUMBER} must be digits",
    ),
    "an id with a line end": (
        spec_body(apis=[cloud()], phoneNumbers=[identified(NUMBER, "1\n")]),
        f"`spec.phoneNumbers[].phoneNumberID` of {NUMBER} must be digits",
    ),
    "other digits": (
        spec_body(apis=[cloud()], phoneNumbers=[identified(NUMBER, "\u0661\u0662")]),
        f"`spec.phoneNumbers[].phoneNumberID` of {NUMBER} must be digits",
    ),
    "a long id": (
        spec_body(apis=[cloud()], phoneNumbers=[identified(NUMBER, "1" * 21)]),
        "`spec.phoneNumbers[0].phoneNumberID` must have at most 20 characters",
    ),
    "an id that is a number": (
        spec_body(apis=[cloud()], phoneNumbers=[{"phoneNumber": NUMBER, "phoneNumberID": 1}]),
        "`spec.phoneNumbers[0].phoneNumberID` must be a string",
    ),
    "a policy of the future": (
        spec_body(flowsEndpoint={"url": "https://flows", "policy": "Ask"}),
        "`spec.flowsEndpoint.policy` must be Gate or Report",
    ),
    "a Flow endpoint without an address": (
        spec_body(flowsEndpoint={"policy": "Gate"}),
        "`spec.flowsEndpoint.url` must be set",
    ),
    "a rollout of the future": (
        spec_body(rollout={"type": "Canary"}),
        "`spec.rollout.type` must be FirstNumber or AllAtOnce",
    ),
    "a rollout that is a text": (spec_body(rollout="AllAtOnce"), "`spec.rollout` must be an object"),
    "a first number that is a text": (
        spec_body(rollout={"firstNumber": NUMBER}),
        "`spec.rollout.firstNumber` must be an object",
    ),
    "a first number of nobody": (
        spec_body(rollout={"firstNumber": {"phoneNumber": OTHER_NUMBER}}),
        "`spec.rollout.firstNumber.phoneNumber` must be one of `phoneNumbers`",
    ),
    "a pause that is negative": (
        spec_body(rollout={"firstNumber": {"pauseSeconds": -1}}),
        "`spec.rollout.firstNumber.pauseSeconds` must be from 0 to 604800",
    ),
    "a pause that is absurd": (
        spec_body(rollout={"firstNumber": {"pauseSeconds": 10**30}}),
        "`spec.rollout.firstNumber.pauseSeconds` must be from 0 to 604800",
    ),
    "a pause that is true": (
        spec_body(rollout={"firstNumber": {"pauseSeconds": True}}),
        "`spec.rollout.firstNumber.pauseSeconds` must be an integer",
    ),
    "a pause that is a fraction": (
        spec_body(rollout={"firstNumber": {"pauseSeconds": 0.5}}),
        "`spec.rollout.firstNumber.pauseSeconds` must be an integer",
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_understood_is_refused_by_field(spec: dict[str, Any], message: str) -> None:
    """What an older or newer CRD let through ends as a sentence, not as a call to somewhere."""
    assert message in refusal(spec)


def test_an_api_that_nobody_uses_has_to_be_right_as_well() -> None:
    """It is told before the first number is moved there."""
    assert "`spec.apis[1].cloud` must be set" in refusal(
        spec_body(apis=[on_premises(), {"name": "a", "type": "Cloud"}])
    )


SHAPES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none(), max_size=2)
SPEC = spec_body(
    apis=[cloud(version="v24.0", appSecretRef=PROOF), provider(tls=CA)],
    phoneNumbers=[identified(NUMBER, ID, "meta"), identified(OTHER_NUMBER, "7", "bsp")],
    rollout={"type": "FirstNumber", "firstNumber": {"phoneNumber": NUMBER, "pauseSeconds": 60}},
)


@st.composite
def mangled(draw: st.DrawFn, value: Any) -> Any:
    """Return a JSON value of which some things were replaced or left out."""
    if draw(st.integers(0, 14)) == 0:
        return draw(SHAPES)
    if isinstance(value, dict):
        return {name: draw(mangled(member)) for name, member in value.items() if draw(st.integers(0, 14))}
    return [draw(mangled(member)) for member in value] if isinstance(value, list) else value


@settings(max_examples=150)
@given(spec=mangled(SPEC))
def test_whatever_is_spoilt_an_object_is_read_and_has_a_status(spec: Any) -> None:
    """What is read has the types that it should, and everything that a call is made of is a text."""
    found = parse_object(body() | {"spec": spec})
    if isinstance(found.spec, Spec):
        assert all(type(name) is str for name in found.spec.secrets)
        assert type(found.spec.rollout.pause) is float
        assert found.spec.rollout.first in {None, *(number.number for number in found.spec.numbers)}
        assert all(number.identity.isdigit() or not number.identity for number in found.spec.numbers)
    assert status_of(found, public_key(), {}, NOW).generation == found.generation
