"""What users are told about an object and its Flow endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from bek_operator.crd.reasons import EndpointReason, ObjectReason, Reason
from bek_operator.crd.status import Status, read_status, render_status
from bek_operator.endpoint.facts import HOLDS_KEY, LOST_KEY, EndpointFacts, EndpointVerdict, expired
from bek_operator.endpoint.target import EndpointTarget
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.facts import NumberFacts
from bek_operator.status.compute import Blocked, status_of
from bek_operator.status.events import Event, events_of
from support.builders import NOW, NUMBER, facts, public_key, resource, signed, spec_body, target
from support.cluster.conditions import faults_of, kstatus
from support.cluster.schema import status_faults

OURS = public_key()
LACKS, PENDING = EndpointReason.LACKS_KEY, EndpointReason.PENDING
FAILING = EndpointVerdict(LACKS, "HTTP 421: it lacks the key", Retry.TRANSIENT)
STALLED = EndpointVerdict(LACKS, "HTTP 421: it lacks the key", Retry.TERMINAL)
GONE = Blocked(ObjectReason.SECRET_NOT_FOUND, "Secret flows-key does not exist")


def endpoint(verdict: EndpointVerdict | None = None, *, gate: bool = True, **more: Any) -> EndpointFacts:
    """Return the facts about an endpoint that was asked, with this verdict; without one it was not asked."""
    aim = EndpointTarget(
        address="https://flows", endpoint=None, problem=None, key=OURS, gate=gate, interval=600.0, request=""
    )
    if verdict is None:
        return EndpointFacts(target=aim, **more)
    return EndpointFacts(target=aim, carried=verdict, observed=True, opened=OURS.fingerprint, **more)


def seen(reason: Reason, *, needs_user: bool | None = None, observed: bool = True) -> NumberFacts:
    """Return the facts about a number with this reason."""
    if reason is Reason.SIGNED:
        return signed(observed=observed)
    return facts(target(), reason=reason, needs_user=needs_user, message="a sentence", observed=observed)


def told(
    known: NumberFacts, asked: EndpointFacts | None, key: PublicKey | Blocked = OURS, **more: Any
) -> dict[str, Any]:
    """Return the status of an object of one number, after every check that applies to any."""
    members = {"flowsEndpoint": {"url": "https://flows"}, **more.pop("spec", {})}
    one = resource(spec_body(**members), generation=2, **more)
    found = status_of(one, key, {NUMBER: known}, NOW, endpoint=asked)
    status = render_status(found)
    assert read_status(status) == found
    assert status_faults(status) == []
    assert faults_of(status, one.generation) == []
    return status


def summary(status: dict[str, Any]) -> tuple[str, str, str]:
    """Return Ready's status and reason, and what kstatus makes of all."""
    ready = status["conditions"][0]
    return ready["status"], ready["reason"], kstatus(status, 2)


def message(status: dict[str, Any]) -> str:
    """Return the message of Ready."""
    text: str = status["conditions"][0]["message"]
    return text


SUSPENDED = {"suspend": True}
TABLE: dict[str, tuple[NumberFacts, EndpointFacts, dict[str, Any], tuple[str, str, str]]] = {
    "all is well": (seen(Reason.SIGNED), endpoint(HOLDS_KEY), {}, ("True", "Succeeded", "Current")),
    "the endpoint is being asked": (seen(Reason.SIGNED), endpoint(), {}, ("False", "Progressing", "InProgress")),
    "it is asked again after a pause": (
        seen(Reason.SIGNED),
        expired(endpoint(HOLDS_KEY), NOW),
        {},
        ("False", "Progressing", "InProgress"),
    ),
    "the endpoint has lost the key": (
        seen(Reason.SIGNED),
        endpoint(FAILING),
        {},
        ("False", "EndpointLacksKey", "InProgress"),
    ),
    "for long": (seen(Reason.SIGNED), endpoint(STALLED), {}, ("False", "EndpointLacksKey", "Failed")),
    "numbers wait for it": (
        seen(Reason.WAITING_FOR_ENDPOINT),
        endpoint(FAILING),
        {},
        ("False", "EndpointLacksKey", "InProgress"),
    ),
    "numbers wait for the first answer": (
        seen(Reason.WAITING_FOR_ENDPOINT),
        endpoint(),
        {},
        ("False", "Progressing", "InProgress"),
    ),
    "the endpoint goes before a number that is unreachable": (
        seen(Reason.UNREACHABLE),
        endpoint(FAILING),
        {},
        ("False", "EndpointLacksKey", "InProgress"),
    ),
    "a number that needs the user goes before an endpoint that does not": (
        seen(Reason.ACCESS_DENIED),
        endpoint(FAILING),
        {},
        ("False", "AccessDenied", "Failed"),
    ),
    "of two that need the user the endpoint goes first": (
        seen(Reason.ACCESS_DENIED),
        endpoint(STALLED),
        {},
        ("False", "EndpointLacksKey", "Failed"),
    ),
    "numbers are not checked yet": (
        seen(Reason.PENDING, observed=False),
        endpoint(STALLED),
        {},
        ("False", "Progressing", "InProgress"),
    ),
    "numbers say more than an endpoint that was not asked": (
        seen(Reason.ACCESS_DENIED),
        endpoint(),
        {},
        ("False", "AccessDenied", "Failed"),
    ),
    "a suspended object claims what was looked at": (
        seen(Reason.SIGNED),
        endpoint(HOLDS_KEY),
        SUSPENDED,
        ("True", "Succeeded", "Current"),
    ),
    "and nothing else": (seen(Reason.SIGNED), endpoint(), SUSPENDED, ("False", "Suspended", "InProgress")),
    "nor that all is well": (seen(Reason.SIGNED), endpoint(FAILING), SUSPENDED, ("False", "Suspended", "InProgress")),
    "a report changes nothing": (
        seen(Reason.SIGNED),
        endpoint(STALLED, gate=False),
        {},
        ("True", "Succeeded", "Current"),
    ),
}


@pytest.mark.parametrize(("known", "asked", "spec", "expected"), TABLE.values(), ids=TABLE.keys())
def test_ready_depends_on_endpoint_and_numbers(
    known: NumberFacts, asked: EndpointFacts, spec: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """Each case is a sentence."""
    assert summary(told(known, asked, spec=spec)) == expected


def test_a_message_names_both() -> None:
    """The endpoint by its name, the numbers as ever."""
    both = message(told(seen(Reason.ACCESS_DENIED), endpoint(FAILING)))
    assert both == f"1 of 1 number: a sentence ({NUMBER}); Flow endpoint: HTTP 421: it lacks the key"
    waiting = message(told(seen(Reason.WAITING_FOR_ENDPOINT), endpoint(FAILING)))
    assert waiting == "Flow endpoint: HTTP 421: it lacks the key; numbers that wait get the key when it opens it"
    assert message(told(seen(Reason.SIGNED), expired(endpoint(HOLDS_KEY), NOW))) == (
        "Flow endpoint: not asked since the last change"
    )


@pytest.mark.parametrize("observed", [True, False])
def test_a_suspended_object_says_the_same_after_a_restart(*, observed: bool) -> None:
    """Rows count as known then, not as checked."""
    status = told(seen(Reason.SIGNED, observed=observed), endpoint(FAILING), spec=SUSPENDED)
    assert message(status) == "suspended; 1 of 1 number known to be signed; Flow endpoint: HTTP 421: it lacks the key"


def test_a_condition_of_its_own_says_whether_it_holds_the_key() -> None:
    """After the others, with any policy; and a part of the status has the same words."""
    for gate in (True, False):
        status = told(seen(Reason.SIGNED), endpoint(FAILING, gate=gate))
        condition = status["conditions"][-1]
        assert (condition["type"], condition["status"], condition["reason"]) == ("EndpointReady", "False", LACKS)
        assert condition["message"] == "HTTP 421: it lacks the key"
        assert status["flowsEndpoint"] == {
            "reason": LACKS,
            "message": "HTTP 421: it lacks the key",
            "openedFingerprint": OURS.fingerprint,
        }
    holds = told(seen(Reason.SIGNED), endpoint(HOLDS_KEY))["conditions"][-1]
    assert (holds["status"], holds["reason"]) == ("True", "EndpointHoldsKey")


def test_an_old_key_that_was_lost_is_told_and_changes_nothing_else() -> None:
    """Ready and EndpointReady stay True."""
    lost = frozenset({f"sha256:{'0' * 64}"})
    status = told(seen(Reason.SIGNED), endpoint(HOLDS_KEY, lost=lost))
    assert summary(status) == ("True", "Succeeded", "Current")
    assert message(status).endswith(
        "; Flow endpoint: it does not open earlier key 000000000000 any more; "
        "Flows are broken on numbers until they have the new key"
    )
    assert [one["status"] for one in status["conditions"]] == ["True", "True"]


def test_a_request_is_handled_once_the_endpoint_was_asked_too() -> None:
    """Until then the echo is the last one."""
    known = seen(Reason.SIGNED)
    pending = endpoint(HOLDS_KEY, check_requested=True)
    assert "lastHandledReconcileAt" not in told(known, pending, request="now")
    assert told(known, endpoint(HOLDS_KEY), request="now")["lastHandledReconcileAt"] == "now"


@pytest.mark.parametrize("spec", [{}, {"flowsEndpoint": None}, {"flowsEndpoint": 1}], ids=["spec", "none", "invalid"])
def test_without_a_key_or_spec_the_endpoint_stays_as_last_seen(spec: dict[str, Any]) -> None:
    """Unless the spec has none any more."""
    before = told(seen(Reason.SIGNED), endpoint(HOLDS_KEY))
    after = told(seen(Reason.SIGNED), None, GONE, spec=spec, status=before)
    has_endpoint = spec.get("flowsEndpoint", 1) is not None
    assert ("flowsEndpoint" in after) == has_endpoint
    assert [one["type"] for one in after["conditions"]][2:] == (["EndpointReady"] if has_endpoint else [])


BOTH = f"a fault; {LOST_KEY} bb any more"
OPENS = Event("EndpointHoldsKey", "the Flow endpoint opens key aa", warning=False)
OLD_LOST = Event("EndpointLacksOldKey", f"Flow endpoint: {LOST_KEY} bb any more", warning=True)


def status(
    reason: str, *, opened: str | None = None, ready: str = "Succeeded", message: str = "a fault", true: bool = True
) -> Status:
    """Return a status as it is written."""
    body: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": str(true), "reason": ready, "message": "a sentence"}],
        "keyID": "aa",
    }
    if reason:
        body["flowsEndpoint"] = {"reason": reason, "message": message, "openedFingerprint": opened}
    return read_status(body)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (status("EndpointHoldsKey", opened="a"), status("EndpointHoldsKey", opened="a"), []),
        (status(""), status(""), []),
        (status(""), status("EndpointPending"), []),
        (
            status("EndpointHoldsKey", opened="a"),
            status("EndpointHoldsKey", opened="b"),
            [OPENS],
        ),
        (status(""), status("EndpointHoldsKey", opened="a"), [OPENS]),
        (status("EndpointLacksKey"), status("EndpointHoldsKey", opened="a"), [OPENS]),
        (status("EndpointInvalidAnswer", opened="a"), status("EndpointHoldsKey", opened="a"), [OPENS]),
        (
            status("EndpointLacksKey", ready="EndpointLacksKey", true=False),
            status("EndpointHoldsKey", opened="a"),
            [Event("Succeeded", "a sentence", warning=False)],
        ),
        (status("EndpointHoldsKey"), status("EndpointLacksOldKey", message=BOTH[9:]), [OLD_LOST]),
        (
            status("EndpointHoldsKey"),
            status("EndpointLacksKey", message=BOTH),
            [OLD_LOST, Event("EndpointLacksKey", f"Flow endpoint: {BOTH}", warning=True)],
        ),
        (status("EndpointLacksKey"), status("EndpointLacksKey", message=BOTH), [OLD_LOST]),
        (status("EndpointLacksKey", message=BOTH), status("EndpointLacksOldKey", message=BOTH[9:]), []),
        (status("EndpointLacksOldKey", message=BOTH[9:]), status("EndpointHoldsKey"), []),
        (
            status("EndpointHoldsKey", opened="a"),
            status("EndpointLacksKey", opened="a"),
            [Event("EndpointLacksKey", "Flow endpoint: a fault", warning=True)],
        ),
        (
            status("EndpointHoldsKey", opened="a", ready="EndpointLacksKey"),
            status("EndpointLacksKey", opened="a", ready="EndpointLacksKey"),
            [],
        ),
    ],
    ids=[
        "same",
        "none",
        "pending",
        "another key",
        "first key",
        "has it again",
        "answers again",
        "recovery told by Ready",
        "old key lost",
        "both lost",
        "old key lost too",
        "new key held",
        "old key held",
        "lost",
        "told by Ready",
    ],
)
def test_an_event_tells_what_the_endpoint_does_now(before: Status, after: Status, expected: list[Event]) -> None:
    """Once, and not beside the event about Ready with the same reason."""
    assert events_of(before, after, {}) == expected
