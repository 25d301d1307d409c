"""What is worth an event."""

from __future__ import annotations

from typing import Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import read_status
from bek_operator.status.events import Event, events_of
from support.builders import NUMBER, OTHER_NUMBER

EARLIER, LATER = "2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z"


def status(*rows: dict[str, Any], ready: str = "True", reason: str = "Succeeded", key: str = "aa") -> dict[str, Any]:
    """Return a status with these rows."""
    return {
        "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": "a sentence"}],
        "publicKeyFingerprint": f"sha256:{key}",
        "keyID": key,
        "phoneNumbers": list(rows),
    }


def row(number: str = NUMBER, reason: str = "Signed", publishes: int = 1, at: str = EARLIER) -> dict[str, Any]:
    """Return a row of a number that was published to."""
    return {"phoneNumber": number, "reason": reason, "publishes": publishes, "lastPublishTime": at}


def events(
    before: dict[str, Any], after: dict[str, Any], causes: dict[str, Reason], writers: tuple[str, ...] = ()
) -> list[Event]:
    """Return what is worth an event between two statuses as they are written."""
    return events_of(read_status(before), read_status(after), causes, writers)


def test_nothing_happens_when_nothing_changes() -> None:
    """Counts, messages and requests are no news, nor is a publish that was told before."""
    before = status(row())
    after = {**status(row()), "lastHandledReconcileAt": "now"}
    assert events(before, after, {NUMBER: Reason.NOT_PUBLISHED}) == []


@pytest.mark.parametrize(
    ("before", "ready", "reason", "expected"),
    [
        pytest.param({}, "True", "Succeeded", [Event("Succeeded", "a sentence", warning=False)], id="ready at last"),
        pytest.param(
            status(), "False", "Unreachable", [Event("Unreachable", "a sentence", warning=True)], id="not any more"
        ),
        pytest.param(
            status(ready="False", reason="Unreachable"),
            "False",
            "AccessDenied",
            [Event("AccessDenied", "a sentence", warning=True)],
            id="for another reason",
        ),
        pytest.param(
            status(),
            "False",
            "WaitingForRollout",
            [Event("WaitingForRollout", "a sentence", warning=False)],
            id="on its way, which nobody must act for",
        ),
        pytest.param(status(ready="False", reason="Unreachable"), "False", "Unreachable", [], id="still not"),
        pytest.param(status(), "False", "Progressing", [], id="at work, which is no news"),
        pytest.param(status(), "False", "Suspended", [], id="suspended, which somebody knows"),
        pytest.param({"conditions": "gone", "phoneNumbers": 5}, "False", "Progressing", [], id="after nonsense"),
    ],
)
def test_readiness_is_told_when_status_or_reason_change(
    before: dict[str, Any], ready: str, reason: str, expected: list[Event]
) -> None:
    """What is not ready is a warning; what passes by itself is not told."""
    assert events(before, status(ready=ready, reason=reason), {}) == expected


WAITING = {**row(reason="KeyChangesTooOften"), "message": "changes too often"}
CHANGES = Event("KeyChangesTooOften", f"changes too often ({NUMBER})", warning=True)


@pytest.mark.parametrize(
    "worse", [[], [row(OTHER_NUMBER, "AccessDenied")]], ids=["the most severe", "beside a worse one"]
)
@pytest.mark.parametrize(
    ("writers", "who"),
    [((), ""), (("cert-manager", "a"), "; the Secret's field managers: a, cert-manager")],
    ids=["nobody is named", "two are"],
)
def test_a_key_that_changes_too_often_is_told_with_who_writes_the_secret(
    worse: list[dict[str, Any]], writers: tuple[str, ...], who: str
) -> None:
    """Once, when the first numbers begin to wait, whatever else is wrong."""
    reason = "AccessDenied" if worse else "KeyChangesTooOften"
    before = status(row(), *worse, ready="False" if worse else "True", reason=reason if worse else "Succeeded")
    after = status(WAITING, *worse, ready="False", reason=reason)
    assert events(before, after, {}, writers) == [Event(CHANGES.reason, CHANGES.note + who, warning=True)]
    assert events(after, after, {}, writers) == []
    more = status(WAITING, {**WAITING, "phoneNumber": OTHER_NUMBER}, ready="False", reason="KeyChangesTooOften")
    assert events(after, more, {}, writers) == []


def stalled(*rows: dict[str, Any], reason: str = "AccessDenied") -> dict[str, Any]:
    """Return a status of an object that waits for the user."""
    found = status(*rows, ready="False", reason=reason)
    return {
        **found,
        "conditions": [*found["conditions"], {**found["conditions"][0], "type": "Stalled", "status": "True"}],
    }


def told(message: str, number: str = NUMBER, reason: str = "AccessDenied") -> dict[str, Any]:
    """Return a row with a message."""
    return {**row(number, reason), "message": message}


def test_another_cause_under_the_same_reason_is_told() -> None:
    """The user who has seen to the first one would otherwise wait for nothing."""
    before = stalled(told("withdrawn"), told("withdrawn", OTHER_NUMBER))
    after = stalled(told("no permission"), told("no permission", OTHER_NUMBER))
    note = f"no permission ({NUMBER}, {OTHER_NUMBER})"
    assert events(before, after, {}) == [Event("AccessDenied", note, warning=True)]
    assert events(before, stalled(told("withdrawn"), told("no permission", OTHER_NUMBER)), {}) == [
        Event("AccessDenied", f"no permission ({OTHER_NUMBER})", warning=True)
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(stalled(told("a")), stalled(told("a"), told("a", OTHER_NUMBER)), id="one more number has it"),
        pytest.param(stalled(told("a"), told("a", OTHER_NUMBER)), stalled(told("a")), id="one less"),
        pytest.param(
            stalled(told("a"), told("b", OTHER_NUMBER)), stalled(told("b"), told("a", OTHER_NUMBER)), id="swapped"
        ),
        pytest.param(
            stalled(told(f"pod-{NUMBER[1:]}: a")),
            stalled(told(f"pod-{NUMBER[1:]}: a"), told(f"pod-{OTHER_NUMBER[1:]}: a", OTHER_NUMBER)),
            id="told by another host",
        ),
        pytest.param(
            stalled(told("a")), stalled(told("a"), told("b", OTHER_NUMBER, "Unreachable")), id="of a lesser reason"
        ),
        pytest.param(
            status(told("a", reason="Unreachable"), ready="False", reason="Unreachable"),
            status(told("b", reason="Unreachable"), ready="False", reason="Unreachable"),
            id="what time heals",
        ),
        pytest.param(stalled(), {**stalled(), "phoneNumbers": "gone"}, id="nonsense"),
    ],
)
def test_the_same_cause_is_not_told_again(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whichever numbers have it, and however many."""
    assert events(before, after, {}) == []


def test_few_causes_are_told_at_once() -> None:
    """The status has all of them."""
    after = stalled(*(told(f"cause {letter}", f"+155500011{place}") for place, letter in enumerate("abcde")))
    notes = [one.note for one in events(stalled(told("known")), after, {})]
    assert notes == ["cause a (+1555000110)", "cause b (+1555000111)", "cause c (+1555000112)"]


@pytest.mark.parametrize(("count", "more"), [(5, ""), (6, " and 1 more"), (7, " and 2 more")])
def test_a_first_publish_is_told_once_for_all_numbers(count: int, more: str) -> None:
    """Numbers are named up to five, the rest is counted."""
    numbers = [f"+1555000111{i}" for i in range(count)]
    before = status(*(row(number, "Pending", 0) for number in numbers))
    after = status(*(row(number) for number in numbers))
    causes = dict.fromkeys(numbers, Reason.PENDING)
    [event] = events(before, after, causes)
    assert event == Event("Published", f"published key aa to {', '.join(numbers[:5])}{more}", warning=False)


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (Reason.FOREIGN_KEY, f"another key had been published to {NUMBER}; published the key again"),
        (Reason.STALE_SIGNATURE, f"the signature was no longer VALID on {NUMBER}; published the key again"),
        (Reason.NOT_PUBLISHED, f"the API no longer held the key of {NUMBER}; published the key again"),
    ],
)
def test_a_repair_tells_what_was_lost(cause: Reason, message: str) -> None:
    """A number that was signed and had to be published to again is a warning, by its cause."""
    found = events(status(row()), status(row(publishes=2, at=LATER)), {NUMBER: cause})
    assert found == [Event(str(cause), message, warning=True)]


def test_a_new_key_is_no_loss() -> None:
    """A rotated key is published, whatever the number held before, and even at the same instant as the last."""
    found = events(status(row()), status(row(), key="bb"), {NUMBER: Reason.PENDING})
    assert found == [Event("Published", f"published key bb to {NUMBER}", warning=False)]


def test_a_publish_that_was_not_accepted_is_not_told_as_one() -> None:
    """A refused key, and one of unknown fate, count in the row but have no cause to tell of."""
    after = status(row(reason="KeyRejected", publishes=2, at=LATER))
    assert events(status(row(reason="KeyRejected")), after, {}) == []


def test_causes_are_told_apart() -> None:
    """Repairs and first publishes of one write are different events."""
    before = status(row(), row(OTHER_NUMBER, "Pending", 0))
    after = status(row(publishes=2, at=LATER), row(OTHER_NUMBER))
    causes = {NUMBER: Reason.STALE_SIGNATURE, OTHER_NUMBER: Reason.PENDING}
    assert [one.reason for one in events(before, after, causes)] == ["Published", "StaleSignature"]
