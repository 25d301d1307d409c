"""What the operator makes of an object that the API server hands it, however it was written."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.crd.parse import parse_object
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import EntryRef, InvalidSpec, OnPremisesApi, SignatureStatus, Spec, UnsupportedApi
from bek_operator.status.compute import status_of
from support.builders import (
    LOGIN_SECRET,
    NOW,
    NUMBER,
    OTHER_NUMBER,
    body,
    on_premises,
    public_key,
    resource,
    spec_body,
    spec_of,
)

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def cloud(name: str = "meta") -> dict[str, Any]:
    """Return an entry of a type that this version does not serve."""
    return {"name": name, "type": "Carrier"}


STATUS = {
    "observedGeneration": 1,
    "publicKeyFingerprint": public_key().fingerprint,
    "lastHandledReconcileAt": "now",
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Succeeded", "lastTransitionTime": "2026-11-22T10:00:00Z"}
    ],
    "phoneNumbers": [{"phoneNumber": NUMBER, "api": "default", "reason": "Signed", "signatureStatus": "VALID"}],
}


def test_everything_that_is_asked_for_is_read() -> None:
    """Every field of the spec arrives, and so does what the object is known by."""
    tls = {"caSecretRef": {"name": "whatsapp-ca", "key": "ca.crt"}, "serverName": "whatsapp-web-service"}
    found = resource(
        spec_body(
            keySecretRef={"name": "flows-key", "key": "private.pem", "passphraseKey": "passphrase"},
            apis=[on_premises(tls=tls)],
            intervalSeconds=60,
            publishPolicy="Never",
            suspend=True,
        ),
        generation=3,
        request="now",
    )
    api = OnPremisesApi(
        name="default",
        url="https://whatsapp-{digits}",
        credentials=EntryRef(secret=LOGIN_SECRET),
        ca_bundle=EntryRef(secret="whatsapp-ca", entry="ca.crt"),
        server_name="whatsapp-web-service",
    )
    spec = spec_of(found)
    assert spec.key == EntryRef(secret="flows-key", entry="private.pem")
    assert spec.passphrase_entry == "passphrase"
    assert [(number.number, number.fill_in("{digits}"), number.api) for number in spec.numbers] == [
        (NUMBER, NUMBER[1:], api)
    ]
    assert (spec.interval, spec.publish, spec.suspend) == (60, False, True)
    assert spec.secrets == {"flows-key", LOGIN_SECRET, "whatsapp-ca"}
    assert (found.ref, found.uid) == (("messaging", "flows"), "uid-of-messaging-flows")
    assert (found.generation, found.version, found.created) == (3, "1", NOW)
    assert (found.request, found.deleted) == ("now", False)


def test_a_name_may_be_as_long_as_names_are() -> None:
    """The longest that Kubernetes allows is taken."""
    assert spec_of(resource(spec_body(keySecretRef={"name": "k" * 253}))).key.secret == "k" * 253


def test_what_is_left_out_has_its_default() -> None:
    """The smallest spec publishes where needed, is not suspended and leaves the interval to the API's type."""
    spec = spec_of(resource())
    assert (spec.key.entry, spec.passphrase_entry, spec.interval) == (None, None, None)
    assert (spec.publish, spec.suspend) == (True, False)
    assert spec.secrets == {"flows-key", LOGIN_SECRET}


@pytest.mark.parametrize(
    ("apis", "names"),
    [
        pytest.param([on_premises("only")], [None], id="a single entry, whatever its name"),
        pytest.param([on_premises("other"), on_premises("default")], [None, "other"], id="the one called default"),
        pytest.param([on_premises("a"), on_premises("b")], ["b", "a"], id="the one that is named"),
    ],
)
def test_a_number_lives_on_the_api_that_it_names_or_on_the_default(
    apis: list[dict[str, Any]], names: list[str | None]
) -> None:
    """Numbers without `api` are on the only entry, or on the one called default."""
    listed = [{"phoneNumber": f"+1555000111{i}", **({"api": name} if name else {})} for i, name in enumerate(names)]
    spec = spec_of(resource(spec_body(apis=apis, phoneNumbers=listed)))
    only = apis[0]["name"] if len(apis) == 1 else "default"
    assert [number.api.name for number in spec.numbers] == [name or only for name in names]


def test_a_type_that_is_not_known_is_kept_for_the_status() -> None:
    """An API of another type is read as one that cannot be served, and its Secrets are not read."""
    spec = spec_of(resource(spec_body(apis=[cloud()])))
    assert spec.numbers[0].api == UnsupportedApi(name="meta", type="Carrier")
    assert spec.secrets == {"flows-key"}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({"keySecretRef": None}, "`spec.keySecretRef` must be set"),
    "a key without name": ({"keySecretRef": {}}, "`spec.keySecretRef.name` must be set"),
    "a key with an empty name": ({"keySecretRef": {"name": ""}}, "`spec.keySecretRef.name` must be set"),
    "a key that is true": ({"keySecretRef": {"name": True}}, "`spec.keySecretRef.name` must be a string"),
    "a key that is a text": ({"keySecretRef": "flows-key"}, "`spec.keySecretRef` must be an object"),
    "a very long name": ({"keySecretRef": {"name": "k" * 254}}, "must have at most 253 characters"),
    "no numbers": ({"phoneNumbers": []}, "`spec.phoneNumbers` must have at least one entry"),
    "numbers as an object": ({"phoneNumbers": {"a": 1}}, "`spec.phoneNumbers` must have at least one entry"),
    "an integer as number": ({"phoneNumbers": [{"phoneNumber": 1}]}, "`spec.phoneNumbers[0].phoneNumber` must be a"),
    "a number without plus": ({"phoneNumbers": [{"phoneNumber": "15550001111"}]}, 'must be "+" and 7 to 15 digits'),
    "other digits": (
        {"phoneNumbers": [{"phoneNumber": "+1555000\u0661\u0661\u0661\u0661"}]},
        'must be "+" and 7 to 15 digits',
    ),
    "null as number": ({"phoneNumbers": [None]}, "`spec.phoneNumbers[0]` must be an object"),
    "an unknown api": (
        {"phoneNumbers": [{"phoneNumber": NUMBER, "api": "nope"}]},
        f"api` of {NUMBER} must be the name of an entry",
    ),
    "no api among several": ({"apis": [on_premises("a"), on_premises("b")]}, f"api` of {NUMBER} must be the name"),
    "no apis": ({"apis": None}, "`spec.apis` must have at least one entry"),
    "an api without its member": ({"apis": [{"name": "a", "type": "OnPremises"}]}, "`spec.apis[0].onPremises` must be"),
    "a ca without entry": (
        {"apis": [on_premises(tls={"caSecretRef": {"name": "ca"}})]},
        "`spec.apis[0].onPremises.tls.caSecretRef.key` must be set",
    ),
    "a fast interval": ({"intervalSeconds": 1}, "`spec.intervalSeconds` must be from 10 to 604800"),
    "a slow interval": ({"intervalSeconds": 10**30}, "`spec.intervalSeconds` must be from 10 to 604800"),
    "an interval that is true": ({"intervalSeconds": True}, "`spec.intervalSeconds` must be an integer"),
    "a fraction": ({"intervalSeconds": 60.0}, "`spec.intervalSeconds` must be an integer"),
    "a policy of the future": ({"publishPolicy": "Sometimes"}, "`spec.publishPolicy` must be IfNeeded or Never"),
    "suspend as a text": ({"suspend": "no"}, "`spec.suspend` must be true or false"),
}


@pytest.mark.parametrize(("members", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_spec_that_is_not_understood_is_refused_by_field(members: dict[str, Any], message: str) -> None:
    """What an older or newer CRD let through is told by the field, and never half understood."""
    found = resource(spec_body(**members))
    assert isinstance(found.spec, InvalidSpec)
    assert message in found.spec.message


@pytest.mark.parametrize(
    ("request_", "echo"),
    [
        pytest.param(None, "", id="none"),
        pytest.param("x" * 64, "x" * 64, id="as long as it may be"),
        pytest.param("x" * 65, hashlib.sha256(b"x" * 65).hexdigest(), id="longer, as its digest"),
    ],
)
def test_the_request_for_a_check_is_echoed_within_bounds(request_: str | None, echo: str) -> None:
    """A request that is too long for the status is known by its digest."""
    assert resource(request=request_).request == echo


def test_an_object_that_is_going_is_told() -> None:
    """An object with a deletion timestamp is as good as gone."""
    assert resource(deletionTimestamp="2026-11-22T10:00:00Z").deleted


def test_a_status_is_read_back() -> None:
    """What the operator wrote, it understands."""
    row = {
        "phoneNumber": NUMBER,
        "api": "default",
        "signatureStatus": "MISMATCH",
        "reason": "KeyRejected",
        "message": "no",
        "observedFingerprint": "sha256:00",
        "lastPublishTime": "2026-11-22T10:00:00Z",
        "publishes": 2,
        "lost": "NotPublished",
    }
    stalled = {"type": "Stalled", "status": "True", "reason": "KeyRejected"}
    recorded = resource(
        status={
            "observedGeneration": 4,
            "publicKeyFingerprint": "sha256:01",
            "lastHandledReconcileAt": "now",
            "conditions": [{**stalled, "type": "Ready", "status": "False"}, stalled],
            "phoneNumbers": [row],
        }
    ).status
    assert (recorded.generation, recorded.fingerprint, recorded.request) == (4, "sha256:01", "now")
    assert (recorded.complete, recorded.stalled) == (True, "KeyRejected")
    found = recorded.rows[NUMBER]
    assert (found.api, found.status, found.reason) == ("default", SignatureStatus.MISMATCH, Reason.KEY_REJECTED)
    assert (found.message, found.fingerprint, found.published_at, found.publishes) == ("no", "sha256:00", NOW, 2)
    assert found.lost is Reason.NOT_PUBLISHED


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="nothing"),
        pytest.param(dict.fromkeys(STATUS), id="nulls"),
        pytest.param(dict.fromkeys(STATUS, True), id="nonsense"),
        pytest.param(
            {"conditions": [{"type": "Stalled", "status": "False", "reason": "No"}]}, id="a condition not met"
        ),
        pytest.param({"conditions": [{"type": "Stalled", "status": "True"}]}, id="a condition without reason"),
    ],
)
def test_a_status_that_says_nothing_remembers_nothing(status: dict[str, Any]) -> None:
    """What is not there is not made up."""
    recorded = resource(status=status).status
    assert (recorded.generation, recorded.fingerprint, recorded.request) == (-1, None, "")
    assert (recorded.complete, recorded.stalled, list(recorded.rows)) == (False, "", [])


def test_a_row_may_say_little() -> None:
    """A number and a reason are enough."""
    row = resource(status={"phoneNumbers": [{"phoneNumber": NUMBER, "reason": "Pending"}]}).status.rows[NUMBER]
    assert (row.api, row.message, row.status, row.published_at) == ("", "", None, None)


@pytest.mark.parametrize("members", [{"reason": "Splendid"}, {"reason": None}, {"signatureStatus": "PERHAPS"}], ids=str)
def test_a_row_of_another_version_counts_as_not_there(members: dict[str, Any]) -> None:
    """A row that says what this version does not know is ignored, and the others are not."""
    odd = {"phoneNumber": NUMBER, "reason": "Signed", **members}
    recorded = resource(status={"phoneNumbers": [odd, {"phoneNumber": OTHER_NUMBER, "reason": "Pending"}]}).status
    assert list(recorded.rows) == [OTHER_NUMBER]


@pytest.mark.parametrize(
    ("written", "read"),
    [(-3, 0), (True, 0), ("2", 0), (None, 0), (10**30, 10**30)],
    ids=["negative", "true", "a text", "null", "absurd"],
)
def test_a_count_that_is_none_is_nought(written: Any, read: int) -> None:
    """The back-off's memory is a whole number from nought on, or else there is none."""
    row = {"phoneNumber": NUMBER, "reason": "Signed", "publishes": written}
    assert resource(status={"phoneNumbers": [row]}).status.rows[NUMBER].publishes == read


@settings(max_examples=60)
@given(spec=json, status=json)
def test_whatever_a_spec_or_a_status_is_made_of_an_object_is_read(spec: Any, status: Any) -> None:
    """No JSON keeps an object from being read, and from being given a status."""
    found = parse_object(body() | {"spec": spec, "status": status})
    assert isinstance(found.spec, InvalidSpec)
    assert status_of(found, public_key(), {}, NOW).generation == found.generation


@st.composite
def mangled(draw: st.DrawFn, value: Any) -> Any:
    """Return a JSON value of which anything may have been replaced by anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(json)
    if isinstance(value, dict):
        return {name: draw(mangled(member)) for name, member in value.items()}
    return [draw(mangled(member)) for member in value] if isinstance(value, list) else value


SPEC = spec_body(
    keySecretRef={"name": "flows-key", "key": "private.pem"},
    apis=[on_premises(tls={"caSecretRef": {"name": "ca", "key": "ca.crt"}}), cloud()],
    intervalSeconds=60,
    suspend=False,
)


@settings(max_examples=100)
@given(spec=mangled(SPEC), status=mangled(STATUS))
def test_an_object_that_was_mangled_is_read_as_well(spec: Any, status: Any) -> None:
    """However a field is spoilt, the object is read, and what is read of it has the types that it should."""
    found = parse_object(body() | {"spec": spec, "status": status})
    if isinstance(found.spec, Spec):
        assert all(isinstance(name, str) for name in found.spec.secrets)
        assert all(type(number.number) is str and type(number.api.name) is str for number in found.spec.numbers)
    assert status_of(found, public_key(), {}, NOW).generation == found.generation
