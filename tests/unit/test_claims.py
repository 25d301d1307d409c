"""Of two entries that lead to one number, one manages it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.model.claims import Claims
from kit.builders import NOW, NUMBER, OTHER_NUMBER, on_premises, resource, spec_body, spec_of

if TYPE_CHECKING:
    from bek_operator.model.resource import Resource


def an_object(name: str, numbers: tuple[str, ...] = (NUMBER,), *, age: float = 0.0, **more: Any) -> Resource:
    """Return an object of this age; `more` are members of its spec, or its namespace."""
    namespace = more.pop("namespace", "messaging")
    return resource(spec_body(numbers, **more), name=name, namespace=namespace, created=NOW - age)


def lost(claims: Claims, one: Resource) -> dict[str, str]:
    """Return what an object may not manage."""
    return claims.lost(one, spec_of(one))


def test_an_object_alone_manages_its_numbers() -> None:
    """Without another claim nothing is lost, and nobody is concerned."""
    claims = Claims()
    one = an_object("one", (NUMBER, OTHER_NUMBER))
    assert claims.place(one) == frozenset()
    assert lost(claims, one) == {}


@pytest.mark.parametrize(
    ("older", "younger"),
    [
        pytest.param(an_object("z", age=60), an_object("a"), id="by creation time"),
        pytest.param(an_object("a"), an_object("z"), id="by name where both were created at once"),
    ],
)
def test_the_older_object_has_the_number(older: Resource, younger: Resource) -> None:
    """Whatever the order in which they are seen, the older object manages, and the younger is told by whom."""
    for order in ((older, younger), (younger, older)):
        claims = Claims()
        assert claims.place(order[0]) == frozenset()
        assert claims.place(order[1]) == {order[0].ref}
        assert lost(claims, older) == {}
        assert f"older BusinessEncryptionKey {older.ref.name};" in lost(claims, younger)[NUMBER]


@pytest.mark.parametrize("numbers", [(), (OTHER_NUMBER,)], ids=["gone", "the number listed no longer"])
def test_what_is_let_go_is_taken_over(numbers: tuple[str, ...]) -> None:
    """When the older object goes, or lists the number no longer, the younger one is told and manages it."""
    claims = Claims()
    older, younger = an_object("older", (NUMBER, OTHER_NUMBER), age=60), an_object("younger")
    claims.place(older)
    claims.place(younger)
    told = claims.place(an_object("older", numbers, age=60)) if numbers else claims.drop(older)
    assert told == {younger.ref}
    assert lost(claims, younger) == {}


def test_what_changes_no_claim_concerns_nobody() -> None:
    """An object that is seen again as it was disturbs no other, and one that never claimed may be dropped."""
    claims = Claims()
    claims.place(an_object("older", age=60))
    claims.place(an_object("younger"))
    assert claims.place(an_object("younger", intervalSeconds=60)) == frozenset()
    assert claims.drop(an_object("stranger")) == frozenset()


@pytest.mark.parametrize("idle", [{"suspend": True}, {"publishPolicy": "Never"}], ids=str)
def test_an_object_that_does_not_publish_claims_nothing(idle: dict[str, Any]) -> None:
    """Suspended objects and those that never publish stand in nobody's way, and lose nothing either."""
    claims = Claims()
    older, younger = an_object("older", age=60, **idle), an_object("younger")
    claims.place(older)
    assert claims.place(younger) == frozenset()
    assert lost(claims, younger) == {}
    assert lost(claims, older) == {}


def test_within_an_object_the_lowest_number_has_the_endpoint() -> None:
    """The order of the list means nothing, and numbers are compared as numbers."""
    claims = Claims()
    shared = [on_premises(url="https://whatsapp-web")]
    one = an_object("one", ("+15550001111", "+4930123456", "+999999999"), apis=shared)
    claims.place(one)
    told = "leads to the same endpoint as +999999999 of this object; remove one of them"
    assert lost(claims, one) == {"+15550001111": told, "+4930123456": told}


def test_the_lowest_number_of_an_object_may_be_lost_to_an_older_one() -> None:
    """Each of several numbers at an endpoint of somebody else's is told what to do first."""
    claims = Claims()
    shared = [on_premises(url="https://whatsapp-web")]
    claims.place(an_object("older", apis=shared, age=60))
    younger = an_object("younger", (OTHER_NUMBER, NUMBER), apis=shared)
    claims.place(younger)
    found = lost(claims, younger)
    assert "older BusinessEncryptionKey older;" in found[NUMBER]
    assert f"as {NUMBER} of this object" in found[OTHER_NUMBER]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(an_object("one"), an_object("other", namespace="elsewhere"), id="Services of another namespace"),
        pytest.param(
            an_object("one", apis=[on_premises(url="https://a.example")]),
            an_object("other", apis=[on_premises(url="https://a.example")], namespace="elsewhere"),
            id="the same host, from another namespace",
        ),
        pytest.param(an_object("one"), an_object("other", (OTHER_NUMBER,)), id="other numbers"),
        pytest.param(
            an_object("one", apis=[on_premises(url="http://nothing")]),
            an_object("other", apis=[on_premises(url="http://nothing")]),
            id="no usable URL",
        ),
        pytest.param(
            an_object("one", apis=[{"name": "meta", "type": "Carrier"}]),
            an_object("other", apis=[{"name": "meta", "type": "Carrier"}]),
            id="an API that cannot be called",
        ),
    ],
)
def test_what_leads_elsewhere_is_not_compared(one: Resource, other: Resource) -> None:
    """Nothing is compared across namespaces, nor where nobody is called."""
    claims = Claims()
    claims.place(one)
    assert claims.place(other) == frozenset()
    assert lost(claims, one) == lost(claims, other) == {}


def test_different_spellings_of_one_endpoint_are_one() -> None:
    """The short name of a Service, its long one, the port and a slash at the end make no difference."""
    claims = Claims()
    older = an_object("older", apis=[on_premises(url="https://whatsapp-web")], age=60)
    younger = an_object("younger", apis=[on_premises(url="https://whatsapp-web.messaging.svc:443/")])
    claims.place(older)
    assert claims.place(younger) == {older.ref}
    assert NUMBER in lost(claims, younger)


def test_an_object_whose_spec_is_not_understood_claims_nothing() -> None:
    """What it claimed before goes to others."""
    claims = Claims()
    claims.place(an_object("older", age=60))
    younger = an_object("younger")
    claims.place(younger)
    assert claims.place(resource({}, name="older", created=NOW - 60)) == {younger.ref}
    assert lost(claims, younger) == {}
