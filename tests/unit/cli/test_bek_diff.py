"""What `kubectl bek diff` foresees."""

from typing import Any

import pytest

from bek_operator.cli.plan import Change, Plan, plan_of
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.times import rfc3339
from support.builders import NOW, cloud, on_premises, public_key, resource, spec_body

OURS, THEIRS = public_key(), public_key("theirs")
FIRST, SECOND, THIRD = "+15550001111", "+15550002222", "+15550003333"
IF_LACKING = "checked; published to, if it lacks the key"
IF_HOLDING = "checked; nothing is published, if it still holds the key"


def row(number: str, **more: Any) -> dict[str, Any]:
    """Return the row of a number that holds our key."""
    return {
        "phoneNumber": number,
        "api": "default",
        "reason": "Signed",
        "signatureStatus": "VALID",
        "observedFingerprint": OURS.fingerprint,
        "lastPublishTime": rfc3339(NOW - 3600),
        "publishes": 1,
        **more,
    }


STATUS = {"observedGeneration": 1, "publicKeyFingerprint": OURS.fingerprint, "phoneNumbers": [row(FIRST), row(SECOND)]}


def live(**spec: Any) -> BusinessEncryptionKey:
    """Return an object with two numbers that are signed."""
    return resource(spec_body((FIRST, SECOND), **spec), STATUS)


def plan(after: dict[str, Any], before: BusinessEncryptionKey | None = None, **more: Any) -> Plan:
    """Return what another spec leads to."""
    fingerprint, others = more.get("fingerprint"), more.get("others", ())
    return plan_of(before or live(), resource(after, STATUS, generation=2), fingerprint, others, NOW)


def changes(found: Plan) -> list[tuple[str, str, str]]:
    """Return what becomes of the numbers that change."""
    return [(one.number, one.change, one.message) for one in found.numbers if one.change is not Change.UNCHANGED]


def test_no_difference() -> None:
    """Nor in the order of the numbers."""
    assert plan(spec_body((FIRST, SECOND))).is_empty
    assert plan(spec_body((SECOND, FIRST))).is_empty


def test_numbers_that_are_new_and_dropped() -> None:
    """The others do not change."""
    found = plan(spec_body((THIRD, FIRST)))

    assert changes(found) == [
        (THIRD, "new", IF_LACKING),
        (SECOND, "dropped", "no longer checked; it keeps the key that it holds"),
    ]
    assert not found.is_empty


def test_a_new_object() -> None:
    """All of its numbers are new."""
    found = plan_of(None, resource(spec_body((FIRST,))), None, (), NOW)
    assert changes(found) == [(FIRST, "new", IF_LACKING)]


def test_numbers_that_move() -> None:
    """To another address; what is known of the former one does not count."""
    elsewhere = on_premises(url="https://other-{digits}")
    at_meta = [{"phoneNumber": FIRST, "api": "meta", "phoneNumberID": "1"}, {"phoneNumber": SECOND, "api": "default"}]

    assert changes(plan(spec_body((FIRST, SECOND), apis=[elsewhere]))) == [
        (FIRST, "moved", IF_LACKING),
        (SECOND, "moved", IF_LACKING),
    ]
    assert changes(plan(spec_body(apis=[on_premises(), cloud()], phoneNumbers=at_meta))) == [
        (FIRST, "moved", IF_LACKING)
    ]


def test_another_login_leads_to_checks() -> None:
    """The address is the same, so what is known stays; nothing needs to be read from a Secret for that."""
    other = on_premises(credentialsSecretRef={"name": "other-login"})
    assert changes(plan(spec_body((FIRST, SECOND), apis=[other]))) == [
        (FIRST, "checked", IF_HOLDING),
        (SECOND, "checked", IF_HOLDING),
    ]


def test_another_secret() -> None:
    """With another key, the numbers get it; with the same one nothing becomes of them."""
    renamed = spec_body((FIRST, SECOND), keySecretRef={"name": "other", "key": "public.pem"})
    another, same = plan(renamed, fingerprint=THEIRS.fingerprint), plan(renamed, fingerprint=OURS.fingerprint)

    assert changes(another) == [(FIRST, "new key", IF_LACKING), (SECOND, "new key", IF_LACKING)]
    assert changes(same) == []
    assert (
        same.fields
        == another.fields
        == (
            "keySecretRef.name: flows-key -> other",
            "keySecretRef.key: (not set) -> public.pem",
        )
    )
    assert not same.is_empty


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"intervalSeconds": 60}, "intervalSeconds: (not set) -> 60"),
        ({"suspend": True}, "suspend: false -> true"),
        ({"rollout": {"type": "AllAtOnce"}}, "rollout.type: FirstNumber -> AllAtOnce"),
        (
            {"rollout": {"firstNumber": {"phoneNumber": FIRST}}},
            f"rollout.firstNumber.phoneNumber: (not set) -> {FIRST}",
        ),
        ({"rollout": {"firstNumber": {"pauseSeconds": 60}}}, "rollout.firstNumber.pauseSeconds: 0 -> 60"),
    ],
)
def test_other_fields(spec: dict[str, Any], field: str) -> None:
    """They are differences, and the numbers are not called for them."""
    found = plan(spec_body((FIRST, SECOND), **spec))

    assert (found.fields, changes(found)) == ((field,), [])
    assert not found.is_empty


def test_an_object_that_is_resumed_is_checked() -> None:
    """Its numbers may have got another key."""
    found = plan(spec_body((FIRST, SECOND)), live(suspend=True))
    assert changes(found) == [(FIRST, "checked", IF_HOLDING), (SECOND, "checked", IF_HOLDING)]


def test_what_is_not_published() -> None:
    """The consequence says why."""
    suspended, reported = (spec_body((THIRD,), **more) for more in ({"suspend": True}, {"publishPolicy": "Never"}))

    assert changes(plan(suspended))[0] == (THIRD, "new", "not called while the object is suspended")
    assert changes(plan(reported))[0] == (THIRD, "new", "checked; nothing is published (publishPolicy: Never)")


def test_numbers_of_another_object() -> None:
    """They are refused, as the operator refuses them: within the object, too."""
    other = resource(spec_body((THIRD,)), name="older", created=NOW - 60)
    twins = spec_body((FIRST, SECOND), apis=[on_premises(url="https://one")])

    assert changes(plan(spec_body((FIRST, SECOND, THIRD)), others=[other])) == [
        (THIRD, "refused", "managed by the older BusinessEncryptionKey older; remove the number from one of them")
    ]
    assert changes(plan(twins)) == [
        (FIRST, "moved", IF_LACKING),
        (SECOND, "refused", f"same endpoint as {FIRST} of this object; remove one of them"),
    ]


def test_a_flow_endpoint_that_is_added_changed_and_removed() -> None:
    """Each field by itself; a query is not shown, because it may hold a password."""
    asked = {"url": "https://flows.example.com/a?token=x", "appSecretRef": {"name": "meta-app", "key": "secret"}}
    other_query = {**asked, "url": "https://flows.example.com/a?token=y", "policy": "Report"}

    assert plan(spec_body((FIRST, SECOND), flowsEndpoint=asked)).fields == (
        "flowsEndpoint.appSecretRef: (not set) -> meta-app/secret",
        "flowsEndpoint.policy: (not set) -> Gate",
        "flowsEndpoint.url: (not set) -> https://flows.example.com/a?…",
    )
    assert plan(spec_body((FIRST, SECOND), flowsEndpoint=other_query), live(flowsEndpoint=asked)).fields == (
        "flowsEndpoint.policy: Gate -> Report",
        "flowsEndpoint.url: https://flows.example.com/a?… -> https://flows.example.com/a?… (another query)",
    )
    assert plan(spec_body((FIRST, SECOND)), live(flowsEndpoint=asked)).fields[-1] == (
        "flowsEndpoint.url: https://flows.example.com/a?… -> (not set)"
    )


def test_a_new_number_of_an_object_with_a_flow_endpoint() -> None:
    """With the policy Gate its publish waits for the endpoint, with Report for nothing."""
    endpoint = {"url": "https://flows.example.com"}
    for policy, message in (("Gate", f"{IF_LACKING}, once the Flow endpoint has opened it"), ("Report", IF_LACKING)):
        found = plan(spec_body((FIRST, SECOND, THIRD), flowsEndpoint={**endpoint, "policy": policy}))
        assert changes(found) == [(THIRD, "new", message)]
