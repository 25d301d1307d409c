"""Of two entries that lead to one number, one manages it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.numbers.ownership import Ownership
from support.builders import NOW, NUMBER, OTHER_NUMBER, on_premises, resource, spec_body, spec_of

if TYPE_CHECKING:
    from bek_operator.crd.parse import BusinessEncryptionKey


def an_object(
    name: str, numbers: tuple[str, ...] = (NUMBER,), *, age: float = 0.0, **more: Any
) -> BusinessEncryptionKey:
    """Return an object of this age; `more` are members of its spec, or its namespace."""
    namespace = more.pop("namespace", "messaging")
    return resource(spec_body(numbers, **more), name=name, namespace=namespace, created=NOW - age)


def denied(ownership: Ownership, one: BusinessEncryptionKey) -> dict[str, str]:
    """Return what an object may not manage."""
    return ownership.denied(one, spec_of(one))


def test_an_object_alone_manages_its_numbers() -> None:
    """Without another claim nothing is lost, and nobody is concerned."""
    ownership = Ownership()
    one = an_object("one", (NUMBER, OTHER_NUMBER))
    assert ownership.update(one) == frozenset()
    assert denied(ownership, one) == {}


@pytest.mark.parametrize(
    ("older", "younger"),
    [
        pytest.param(an_object("z", age=60), an_object("a"), id="by creation time"),
        pytest.param(an_object("a"), an_object("z"), id="by name where both were created at once"),
    ],
)
def test_the_older_object_has_the_number(older: BusinessEncryptionKey, younger: BusinessEncryptionKey) -> None:
    """Whatever the order in which they are seen, the older object manages, and the younger is told by whom."""
    for order in ((older, younger), (younger, older)):
        ownership = Ownership()
        assert ownership.update(order[0]) == frozenset()
        assert ownership.update(order[1]) == {order[0].ref}
        assert denied(ownership, older) == {}
        assert f"older BusinessEncryptionKey {older.ref.name};" in denied(ownership, younger)[NUMBER]


@pytest.mark.parametrize("numbers", [(), (OTHER_NUMBER,)], ids=["gone", "the number listed no longer"])
def test_what_is_let_go_is_taken_over(numbers: tuple[str, ...]) -> None:
    """When the older object goes, or lists the number no longer, the younger one is told and manages it."""
    ownership = Ownership()
    older, younger = an_object("older", (NUMBER, OTHER_NUMBER), age=60), an_object("younger")
    ownership.update(older)
    ownership.update(younger)
    told = ownership.update(an_object("older", numbers, age=60)) if numbers else ownership.drop(older)
    assert told == {younger.ref}
    assert denied(ownership, younger) == {}


def test_what_changes_no_claim_concerns_nobody() -> None:
    """An object that is seen again as it was disturbs no other, and one that never claimed may be dropped."""
    ownership = Ownership()
    ownership.update(an_object("older", age=60))
    ownership.update(an_object("younger"))
    assert ownership.update(an_object("younger", intervalSeconds=60)) == frozenset()
    assert ownership.drop(an_object("stranger")) == frozenset()


@pytest.mark.parametrize("idle", [{"suspend": True}, {"publishPolicy": "Never"}], ids=str)
def test_an_object_that_does_not_publish_claims_nothing(idle: dict[str, Any]) -> None:
    """Suspended objects and those that never publish stand in nobody's way, and lose nothing either."""
    ownership = Ownership()
    older, younger = an_object("older", age=60, **idle), an_object("younger")
    ownership.update(older)
    assert ownership.update(younger) == frozenset()
    assert denied(ownership, younger) == {}
    assert denied(ownership, older) == {}


def test_within_an_object_the_lowest_number_has_the_endpoint() -> None:
    """The order of the list means nothing, and numbers are compared as numbers."""
    ownership = Ownership()
    shared = [on_premises(url="https://whatsapp-web")]
    one = an_object("one", ("+15550001111", "+4930123456", "+999999999"), apis=shared)
    ownership.update(one)
    told = "same endpoint as +999999999 of this object; remove one of them"
    assert denied(ownership, one) == {"+15550001111": told, "+4930123456": told}


def test_the_lowest_number_of_an_object_may_be_lost_to_an_older_one() -> None:
    """Each of several numbers at an endpoint of somebody else's is told what to do first."""
    ownership = Ownership()
    shared = [on_premises(url="https://whatsapp-web")]
    ownership.update(an_object("older", apis=shared, age=60))
    younger = an_object("younger", (OTHER_NUMBER, NUMBER), apis=shared)
    ownership.update(younger)
    found = denied(ownership, younger)
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
def test_what_leads_elsewhere_is_not_compared(one: BusinessEncryptionKey, other: BusinessEncryptionKey) -> None:
    """Nothing is compared across namespaces, nor where nobody is called."""
    ownership = Ownership()
    ownership.update(one)
    assert ownership.update(other) == frozenset()
    assert denied(ownership, one) == denied(ownership, other) == {}


def test_different_spellings_of_one_endpoint_are_one() -> None:
    """The short name of a Service, its long one, the port and a slash at the end make no difference."""
    ownership = Ownership()
    older = an_object("older", apis=[on_premises(url="https://whatsapp-web")], age=60)
    younger = an_object("younger", apis=[on_premises(url="https://whatsapp-web.messaging.svc:443/")])
    ownership.update(older)
    assert ownership.update(younger) == {older.ref}
    assert NUMBER in denied(ownership, younger)


def test_an_object_whose_spec_is_not_understood_claims_nothing() -> None:
    """What it claimed before goes to others."""
    ownership = Ownership()
    ownership.update(an_object("older", age=60))
    younger = an_object("younger")
    ownership.update(younger)
    assert ownership.update(resource({}, name="older", created=NOW - 60)) == {younger.ref}
    assert denied(ownership, younger) == {}
