"""What people and GitOps tools are told about an object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import SEVERITY, ObjectReason, Reason, Severity
from bek_operator.crd.status import read_status, render_status
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.facts import NumberFacts
from bek_operator.status.compute import Blocked, status_of
from support.builders import (
    NOW,
    NUMBER,
    OTHER_NUMBER,
    REJECTED,
    body,
    facts,
    public_key,
    resource,
    signed,
    spec_body,
    target,
    verdict_of,
)
from support.cluster.conditions import faults_of, kstatus
from support.cluster.schema import status_faults

MISSING = Blocked(ObjectReason.SECRET_NOT_FOUND, "Secret flows-key does not exist")
INVALID = Blocked(ObjectReason.INVALID_KEY, "Secret flows-key: private.pem is no key")
THIRD = "+15550003333"
TRANSIENT = Severity.TRANSIENT


def seen(reason: Reason, number: str = NUMBER, *, needs_user: bool | None = None, **more: Any) -> NumberFacts:
    """Return what is known of a number that was checked, with this reason."""
    if reason is Reason.SIGNED:
        return signed(target(number), **more)
    members = {"message": f"a sentence about {reason}", "observed": True, **more}
    return facts(target(number), reason=reason, needs_user=needs_user, **members)


def told(*known: NumberFacts, key: Any = None, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the status of an object with these numbers, which an API server would take."""
    spec = spec_body([one.target.number for one in known] or [NUMBER], **(spec or {}))
    one = resource(spec, generation=more.pop("generation", 2), **more)
    return checked(one, key, {one.target.number: one for one in known})


def checked(one: BusinessEncryptionKey, key: Any, known: dict[str, NumberFacts], now: float = NOW) -> dict[str, Any]:
    """Return the status of an object, after every check that applies to any."""
    found = status_of(one, key or public_key(), known, now)
    status = render_status(found)
    assert read_status(status) == found
    assert status_faults(status) == []
    assert faults_of(status, one.generation) == []
    return status


def summary(status: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return Ready's status and reason, the type of the abnormal condition, and what kstatus makes of all."""
    ready, *abnormal = status["conditions"]
    kind = abnormal[0]["type"] if abnormal else ""
    return ready["status"], ready["reason"], kind, kstatus(status, 2)


SUSPENDED = {"suspend": True}
UNTRIED = seen(Reason.SIGNED, OTHER_NUMBER, observed=False)

TABLE: dict[str, tuple[dict[str, Any], tuple[str, str, str, str]]] = {
    "some number was not tried since the change": (
        told(seen(Reason.SIGNED), UNTRIED),
        ("False", "Progressing", "Reconciling", "InProgress"),
    ),
    "some number was not tried, and for another the user must act": (
        told(seen(Reason.ACCESS_DENIED), UNTRIED),
        ("False", "Progressing", "Reconciling", "InProgress"),
    ),
    "a number is not known at all": (
        checked(resource(spec_body([NUMBER, OTHER_NUMBER]), generation=2), None, {NUMBER: seen(Reason.SIGNED)}),
        ("False", "Progressing", "Reconciling", "InProgress"),
    ),
    "a key was accepted and is not VALID yet": (
        told(seen(Reason.SIGNED), seen(Reason.PENDING, OTHER_NUMBER)),
        ("False", "Progressing", "Reconciling", "InProgress"),
    ),
    "the Secret is missing": (
        told(key=MISSING),
        ("False", "SecretNotFound", "Reconciling", "InProgress"),
    ),
    "the API is down": (
        told(seen(Reason.SIGNED), seen(Reason.UNREACHABLE, OTHER_NUMBER)),
        ("False", "Unreachable", "Reconciling", "InProgress"),
    ),
    "the API asks for fewer requests": (
        told(seen(Reason.RATE_LIMITED)),
        ("False", "RateLimited", "Reconciling", "InProgress"),
    ),
    "the API has an error of its own": (
        told(seen(Reason.SERVICE_NOT_READY)),
        ("False", "ServiceNotReady", "Reconciling", "InProgress"),
    ),
    "it had it too often": (
        told(seen(Reason.SERVICE_NOT_READY, needs_user=True)),
        ("False", "ServiceNotReady", "Stalled", "Failed"),
    ),
    "for one number the user must act": (
        told(seen(Reason.SIGNED), seen(Reason.ACCESS_DENIED, OTHER_NUMBER)),
        ("False", "AccessDenied", "Stalled", "Failed"),
    ),
    "for one the user must act, for another time heals": (
        told(seen(Reason.UNREACHABLE), seen(Reason.UNSUPPORTED, OTHER_NUMBER)),
        ("False", "Unsupported", "Stalled", "Failed"),
    ),
    "the key is unusable": (told(key=INVALID), ("False", "InvalidKey", "Stalled", "Failed")),
    "the spec is not understood": (
        checked(resource({}, generation=2), INVALID, {}),
        ("False", "InvalidSpec", "Stalled", "Failed"),
    ),
    "every number is VALID for the current key": (
        told(seen(Reason.SIGNED), seen(Reason.SIGNED, OTHER_NUMBER)),
        ("True", "Succeeded", "", "Current"),
    ),
    "it never publishes, and every number is VALID": (
        told(seen(Reason.SIGNED), spec={"publishPolicy": "Never"}),
        ("True", "Succeeded", "", "Current"),
    ),
    "it never publishes, and a number does not hold the key": (
        told(seen(Reason.FOREIGN_KEY, needs_user=True), spec={"publishPolicy": "Never"}),
        ("False", "ForeignKey", "Stalled", "Failed"),
    ),
    "suspended, and all is known to be VALID": (
        told(seen(Reason.SIGNED), spec=SUSPENDED),
        ("True", "Succeeded", "", "Current"),
    ),
    "suspended, and a number was not checked": (
        told(seen(Reason.SIGNED), UNTRIED, spec=SUSPENDED),
        ("False", "Suspended", "", "InProgress"),
    ),
    "suspended, and a number is not VALID": (
        told(seen(Reason.ACCESS_DENIED), spec=SUSPENDED),
        ("False", "Suspended", "", "InProgress"),
    ),
    "suspended, and the Secret is missing": (
        told(key=MISSING, spec=SUSPENDED),
        ("False", "Suspended", "", "InProgress"),
    ),
    "suspended, and the key is unusable": (
        told(key=INVALID, spec=SUSPENDED),
        ("False", "Suspended", "", "InProgress"),
    ),
}


@pytest.mark.parametrize(("status", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_situation(status: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    """Each row of the table is a sentence."""
    assert summary(status) == expected


def test_an_object_that_was_never_seen_is_in_progress() -> None:
    """The schema's default makes every GitOps tool wait for the operator."""
    status = body()["status"]
    assert status == {"observedGeneration": -1}
    assert kstatus(status, 1) == "InProgress"


def test_the_whole_status_of_a_healthy_object() -> None:
    """All of its fields, and none that is empty."""
    key = public_key()
    known = seen(Reason.SIGNED, publishes=1, published_at=NOW + 0.7)
    status = told(known, request="now")
    ready = status.pop("conditions")[0]
    assert ready == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 2,
        "lastTransitionTime": "2026-11-22T10:00:00Z",
        "reason": "Succeeded",
        "message": f"1 number signed with key {key.key_id}",
    }
    assert status == {
        "observedGeneration": 2,
        "publicKeyFingerprint": key.fingerprint,
        "keyID": key.key_id,
        "desiredNumbers": 1,
        "signedNumbers": 1,
        "signed": "1/1",
        "phoneNumbers": [
            {
                "phoneNumber": NUMBER,
                "api": "default",
                "signatureStatus": "VALID",
                "reason": "Signed",
                "observedFingerprint": key.fingerprint,
                "lastPublishTime": "2026-11-22T10:00:00Z",
                "publishes": 1,
            }
        ],
        "lastHandledReconcileAt": "now",
    }


def test_the_most_severe_number_speaks_and_the_others_are_counted() -> None:
    """What needs the user goes before what does not, a later reason before an earlier one; three numbers are named."""
    denied = [seen(Reason.ACCESS_DENIED, f"+1555000444{i}") for i in range(5)]
    status = told(
        seen(Reason.SIGNED), seen(Reason.KEY_REJECTED, OTHER_NUMBER), *denied, seen(Reason.UNREACHABLE, THIRD)
    )
    ready = status["conditions"][0]
    assert ready["reason"] == "AccessDenied"
    assert ready["message"] == (
        "5 of 8 numbers: a sentence about AccessDenied (+15550004440, +15550004441, +15550004442 and 2 more); "
        "2 not signed for other reasons"
    )
    assert status["signed"] == "1/8"


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (seen(Reason.UNREACHABLE), "waiting for the rollout (first number not verified yet)"),
        (seen(Reason.KEY_REJECTED), f"waiting for the rollout until {NUMBER} is verified: put a key that works"),
        (
            seen(Reason.PENDING, refusal=REJECTED, refusals=1),
            f"until {NUMBER} (Pending) is verified: put a key that works",
        ),
    ],
    ids=["the first that can", "one that refuses the key", "one that refused it"],
)
def test_what_waits_for_the_rollout_says_for_whom(first: NumberFacts, words: str) -> None:
    """And how to go on, where that may not come by itself."""
    waiting = seen(Reason.WAITING_FOR_ROLLOUT, THIRD)
    assert words in told(first, seen(Reason.UNREACHABLE, OTHER_NUMBER), waiting)["conditions"][0]["message"]


def test_a_named_number_that_fails_is_named() -> None:
    """Nobody else goes first."""
    spec = {"rollout": {"type": "FirstNumber", "firstNumber": {"phoneNumber": NUMBER}}}
    status = told(seen(Reason.TOKEN_EXPIRED), seen(Reason.WAITING_FOR_ROLLOUT, OTHER_NUMBER), spec=spec)
    message = status["conditions"][0]["message"]
    assert f"1 waiting for the rollout until {NUMBER} is verified: repair that number" in message


def test_a_number_that_needs_the_user_speaks_for_its_reason() -> None:
    """Of two with the same reason, the one that was tried too often gives the words."""
    status = told(
        seen(Reason.SERVICE_NOT_READY, message="will pass"),
        seen(Reason.SERVICE_NOT_READY, OTHER_NUMBER, message="did not pass", needs_user=True),
    )
    assert status["conditions"][0]["message"] == f"2 of 2 numbers: did not pass ({NUMBER}, {OTHER_NUMBER})"


def test_what_is_known_does_not_wait_for_what_is_not() -> None:
    """While numbers are still checked, the most severe of the others is told; what comes right by itself is not."""

    def message(*known: NumberFacts) -> str:
        message: str = told(*known, UNTRIED)["conditions"][0]["message"]
        assert message.startswith(f"checked {len(known)} of {len(known) + 1} numbers since the last change")
        return message

    assert "AccessDenied" in message(seen(Reason.ACCESS_DENIED), seen(Reason.PENDING, THIRD))
    assert "a sentence" not in message(seen(Reason.PENDING))
    not_observed = seen(Reason.UNREACHABLE, THIRD, observed=False)
    assert "a sentence" not in told(seen(Reason.SIGNED), not_observed)["conditions"][0]["message"]


def test_a_suspended_object_that_is_ready_says_that_it_is_suspended() -> None:
    """Nobody should wonder why it does not react."""
    status = told(seen(Reason.SIGNED), spec=SUSPENDED)
    assert status["conditions"][0]["message"].startswith("suspended; 1 number signed")


def test_rows_are_in_the_order_of_the_spec() -> None:
    """Whatever order things were learnt in, and so is what the message names."""
    known = {number: seen(Reason.UNREACHABLE, number) for number in (THIRD, NUMBER, OTHER_NUMBER)}
    one = resource(spec_body([NUMBER, OTHER_NUMBER, THIRD]))
    status = checked(one, None, known)
    assert [row["phoneNumber"] for row in status["phoneNumbers"]] == [NUMBER, OTHER_NUMBER, THIRD]
    assert f"({NUMBER}, {OTHER_NUMBER}, {THIRD})" in status["conditions"][0]["message"]
    assert status == checked(one, None, dict(reversed(known.items())))


@pytest.mark.parametrize("blocked", [MISSING, INVALID], ids=["no Secret", "no key"])
def test_without_a_key_the_rows_stay_as_last_seen(blocked: Blocked) -> None:
    """So does the fingerprint; a number that is new is shown as not checked, one that went is not shown."""
    before = told(seen(Reason.SIGNED), seen(Reason.UNREACHABLE, THIRD), request="then")
    one = resource(spec_body([OTHER_NUMBER, NUMBER]), before, generation=3, request="now")
    status = checked(one, blocked, {NUMBER: seen(Reason.ACCESS_DENIED)})
    assert status["phoneNumbers"] == [
        {"phoneNumber": OTHER_NUMBER, "api": "default", "reason": "Pending"},
        before["phoneNumbers"][0],
    ]
    assert (status["signed"], status["signedNumbers"], status["desiredNumbers"]) == ("1/2", 1, 2)
    for name in ("publicKeyFingerprint", "keyID", "lastHandledReconcileAt"):
        assert status[name] == before[name]
    assert status["observedGeneration"] == 3


@pytest.mark.parametrize("blocked", [MISSING, INVALID], ids=["no Secret", "no key"])
@pytest.mark.parametrize("reason", [Reason.SIGNED, Reason.UNREACHABLE])
def test_a_suspended_object_stays_as_it_was_without_its_key(reason: Reason, blocked: Blocked) -> None:
    """Nobody uses the key meanwhile; of a spec that no status tells of yet nothing is claimed."""
    before = told(seen(reason), spec=SUSPENDED)
    spec = spec_body([NUMBER], **SUSPENDED)
    assert checked(resource(spec, before, generation=2), blocked, {}) == before
    edited = checked(resource(spec, before, generation=3), blocked, {})
    assert summary(edited)[:3] == ("False", "Suspended", "")
    assert edited["conditions"][0]["message"] == f"suspended; {blocked.message}"


def test_a_spec_that_is_not_understood_leaves_the_rows() -> None:
    """Nothing is known of which numbers are meant, so all are shown as last seen, whatever key there may be."""
    before = told(seen(Reason.SIGNED), seen(Reason.UNREACHABLE, THIRD))
    status = checked(resource({}, before, generation=3), None, {})
    assert status["phoneNumbers"] == before["phoneNumbers"]
    assert status["signed"] == "1/2"


def test_a_request_is_echoed_once_every_number_was_tried_for_it() -> None:
    """Failing counts as tried; until then the last request stays."""
    before = told(seen(Reason.SIGNED), request="then")
    not_observed = told(seen(Reason.UNREACHABLE), UNTRIED, status=before, request="now")
    assert not_observed["lastHandledReconcileAt"] == "then"
    observed = told(seen(Reason.UNREACHABLE), seen(Reason.SIGNED, OTHER_NUMBER), status=before, request="now")
    assert observed["lastHandledReconcileAt"] == "now"
    assert told(seen(Reason.SIGNED), status=observed)["lastHandledReconcileAt"] == "now"
    assert "lastHandledReconcileAt" not in told(UNTRIED, request="now")
    check_requested = told(seen(Reason.SIGNED, check_requested=True), status=before, request="now")
    assert (check_requested["lastHandledReconcileAt"], summary(check_requested)[0]) == ("then", "True")


def test_transition_times_move_when_a_status_does() -> None:
    """Another reason or message leaves the time alone; a condition that comes back begins anew."""

    def at(minute: int, reason: Reason, before: dict[str, Any] | None) -> dict[str, Any]:
        return checked(
            resource(spec_body([NUMBER]), before, generation=2), None, {NUMBER: seen(reason)}, NOW + minute * 60
        )

    def times(status: dict[str, Any]) -> dict[str, str]:
        return {each["type"]: each["lastTransitionTime"][14:16] for each in status["conditions"]}

    first = at(0, Reason.UNREACHABLE, None)
    assert times(first) == {"Ready": "00", "Reconciling": "00"}
    second = at(1, Reason.RATE_LIMITED, first)
    assert times(second) == {"Ready": "00", "Reconciling": "00"}
    third = at(2, Reason.ACCESS_DENIED, second)
    assert times(third) == {"Ready": "00", "Stalled": "02"}
    fourth = at(3, Reason.UNREACHABLE, third)
    assert times(fourth) == {"Ready": "00", "Reconciling": "03"}
    fifth = at(4, Reason.SIGNED, fourth)
    assert times(fifth) == {"Ready": "04"}
    assert at(5, Reason.SIGNED, fifth) == fifth


def test_a_condition_without_time_is_given_one() -> None:
    """A status that somebody wrote by hand does no harm."""
    before = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "once"}, 5]}
    status = told(seen(Reason.SIGNED), status=before)
    assert status["conditions"][0]["lastTransitionTime"] == "2026-11-22T10:00:00Z"


def test_long_messages_are_cut_the_same_way_everywhere() -> None:
    """What is cut in a row is cut in the condition too, so that a restart, which knows the row, writes the same."""
    known = seen(Reason.ACCESS_DENIED, message="x" * 300)
    status = told(known)
    row = status["phoneNumbers"][0]
    assert len(row["message"]) == 256
    assert told(seen(Reason.ACCESS_DENIED, message=row["message"])) == status
    assert len(told(key=Blocked(ObjectReason.INVALID_KEY, "x" * 2000))["conditions"][0]["message"]) == 1024


def test_publishes_that_count_are_told_by_how_long_before_the_last_they_were() -> None:
    """What a restart needs to go on counting, and not one byte where only the last counts."""
    (row,) = told(seen(Reason.SIGNED, published_at=NOW, recent=(NOW,)))["phoneNumbers"]
    assert "earlierPublishes" not in row
    recent = (NOW - 90.5, NOW - 0.2, NOW + 0.1, NOW + 0.4)
    (row,) = told(seen(Reason.SIGNED, published_at=NOW + 0.4, recent=recent))["phoneNumbers"]
    assert row["earlierPublishes"] == [91, 1, 0]
    turned_away = (NOW - 60, NOW, NOW + 5)
    (row,) = told(seen(Reason.SIGNED, published_at=NOW, recent=turned_away))["phoneNumbers"]
    assert row["earlierPublishes"] == [60]
    (row,) = told(seen(Reason.PENDING, recent=turned_away))["phoneNumbers"]
    assert "earlierPublishes" not in row


def test_who_must_act_goes_before_the_reason() -> None:
    """A transient failure that was retried often enough is less severe than any that only the user can mend."""
    by_itself = [verdict_of(reason).severity for reason in Reason]
    used_up = [verdict_of(reason, needs_user=True).severity for reason in Reason if SEVERITY[reason][0] == TRANSIENT]
    users = [severity for severity in by_itself if severity[0] is Severity.USER_ACTION]
    assert len({rank for _, rank in by_itself}) == len(Reason)
    assert max(severity for severity in by_itself if severity not in users) < min(used_up) < max(used_up) < min(users)


fingerprints = st.sampled_from([None, public_key().fingerprint, public_key("other").fingerprint])


@st.composite
def observations(draw: st.DrawFn, number: str) -> NumberFacts:
    """Return anything that may be known of a number."""
    reason, fingerprint = draw(st.sampled_from(Reason)), draw(fingerprints)
    return facts(
        target(number),
        reason=reason,
        message=""
        if reason is Reason.SIGNED
        else draw(st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1)),
        observed=draw(st.booleans()),
        needs_user=reason is not Reason.SIGNED and draw(st.booleans()),
        status=draw(st.none() | st.sampled_from(SignatureStatus)) if fingerprint else None,
        fingerprint=fingerprint,
        published_at=draw(st.none() | st.floats(0, 4e9)),
        publishes=draw(st.integers(0, 10**12)),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[BusinessEncryptionKey, Any, dict[str, NumberFacts]]:
    """Return an object in any state, with or without key, and what is known of its numbers."""
    numbers = draw(st.lists(st.integers(10**6, 10**15 - 1).map("+{}".format), min_size=1, max_size=6, unique=True))
    spec = spec_body(numbers, suspend=draw(st.booleans()))
    known = {number: draw(observations(number)) for number in numbers if draw(st.integers(0, 9))}
    key = draw(st.sampled_from([public_key(), MISSING, INVALID]))
    return resource(spec, generation=draw(st.integers(1, 9)), request=draw(st.none() | st.text())), key, known


@settings(max_examples=100)
@given(first=situations(), second=situations())
def test_any_status_is_one_that_an_api_server_takes_and_tools_understand(
    first: tuple[BusinessEncryptionKey, Any, dict[str, NumberFacts]],
    second: tuple[BusinessEncryptionKey, Any, dict[str, NumberFacts]],
) -> None:
    """Bounds, patterns and the rules of conditions hold whatever is known, and the same knowledge writes nothing."""
    before = checked(*first)
    spec = body(spec_body(list(second[2]) or [NUMBER]))["spec"]
    one = resource(spec, before, generation=9)
    status = checked(one, second[1], second[2], NOW + 60)
    again = resource(spec, status, generation=9)
    assert checked(again, second[1], second[2], NOW + 120) == status
