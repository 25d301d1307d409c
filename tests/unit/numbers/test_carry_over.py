"""What is known of a number after a restart, and after its target has changed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import Rows, Status, read_status, render_status
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Failure, Reading, Retry
from bek_operator.numbers.backoff import LIMITED_TRIES
from bek_operator.numbers.carry_over import (
    REQUEST_SECONDS,
    adopted,
    expired,
    interrupts,
    restore_from_status,
    with_target,
)
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.next_action import Publish, Read, Wait, next_action
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import after_failure, after_publish, after_read
from support.builders import (
    BROKEN,
    BUSY,
    DENIED,
    LOST_ANSWER,
    NOW,
    NUMBER,
    REJECTED,
    UNREACHABLE,
    api,
    endpoint,
    facts,
    failure,
    public_key,
    signed,
    target,
)

DUE = NOW + 300
OURS, OTHER = public_key().fingerprint, public_key("other").fingerprint


def status(ready: str = "Succeeded", stalled: str = "", **row: Any) -> dict[str, Any]:
    """Return a status with one row, of a number that is signed unless told; Ready and Stalled have these reasons."""
    conditions = [{"type": "Ready", "status": "False", "reason": ready}]
    if stalled:
        conditions.append({"type": "Stalled", "status": "True", "reason": stalled})
    shown = {
        "phoneNumber": NUMBER,
        "api": "default",
        "reason": "Signed",
        "signatureStatus": "VALID",
        "observedFingerprint": OURS,
        **row,
    }
    return {
        "observedGeneration": 1,
        "publicKeyFingerprint": OURS,
        "lastHandledReconcileAt": "then",
        "conditions": conditions,
        "phoneNumbers": [shown],
    }


def recovered(written: dict[str, Any], aim: Target | None = None, generation: int = 1) -> NumberFacts:
    """Return what is known of the number after a restart."""
    return restore_from_status(aim or target(), read_status(written), generation, now=NOW, due=DUE)


def test_a_signed_number_is_signed_after_a_restart() -> None:
    """It is known to be signed as it was, and is checked when told, not at once."""
    known = recovered(status(lastPublishTime="2026-11-22T09:00:00Z", publishes=2))
    assert (known.reason, known.message, known.observed, known.verdict.retry) == (Reason.SIGNED, "", True, None)
    assert (known.reading.status, known.reading.fingerprint) == (SignatureStatus.VALID, OURS)
    assert (known.published_at, known.publishes, known.read_at) == (NOW - 3600, 2, None)
    assert next_action(known, NOW, recorded=True) == Wait(DUE)


def test_what_was_wrong_is_looked_at_at_once() -> None:
    """The row stays as it was until the first read of the new process."""
    known = recovered(status("Unreachable", reason="Unreachable", message="no answer"))
    assert (known.reason, known.message, known.observed, known.verdict.retry) == (
        Reason.UNREACHABLE,
        "no answer",
        True,
        Retry.TRANSIENT,
    )
    assert next_action(known, NOW, recorded=True) == Read()


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({}, id="no status"),
        pytest.param(status(phoneNumber="+15559999999"), id="another number"),
        pytest.param(status(api="other"), id="a number on another API"),
        pytest.param(status(reason="Splendid"), id="a reason of another version"),
    ],
)
def test_a_number_that_the_status_does_not_show_is_new(written: dict[str, Any]) -> None:
    """Nothing is believed of it."""
    assert recovered(written) == NumberFacts(target=target())


def test_after_a_rotation_meanwhile_the_new_key_is_looked_for() -> None:
    """What the API held is still shown, but it says nothing about the new key, nor does the back-off."""
    known = recovered(status(publishes=3, lastPublishTime="2026-11-22T09:59:00Z"), target(key=public_key("new")))
    assert (known.reason, known.observed, known.publishes) == (Reason.PENDING, False, 0)
    assert (known.reading.status, known.reading.fingerprint, known.published_at) == (
        SignatureStatus.VALID,
        OURS,
        NOW - 60,
    )


def test_after_a_rotation_meanwhile_no_refusal_of_the_old_key_holds_the_new_one() -> None:
    """Whatever was said of the old key, the new one is untried."""
    known = recovered(status("KeyRejected", reason="KeyRejected", publishes=3), target(key=public_key("new")))
    assert (known.reason, known.refusal, known.publishes) == (Reason.PENDING, None, 0)


@pytest.mark.parametrize("row", [{"observedFingerprint": OTHER}, {"signatureStatus": "MISMATCH"}], ids=str)
def test_a_row_that_contradicts_itself_is_not_believed(row: dict[str, Any]) -> None:
    """Signed means VALID for the status' own key; a row that says otherwise is checked anew."""
    known = recovered(status(**row))
    assert (known.reason, known.observed) == (Reason.PENDING, False)


@pytest.mark.parametrize(
    ("written", "aim", "generation"),
    [
        pytest.param(status(), target(), 2, id="the spec was edited"),
        *(
            pytest.param(status(ready), target(), 1, id=f"the object was {ready}")
            for ready in ("Progressing", "Suspended", "SecretNotFound", "InvalidKey", "InvalidSpec")
        ),
    ],
)
def test_a_number_that_was_not_looked_at_since_the_last_change_is_not_claimed_to_be(
    written: dict[str, Any], aim: Target, generation: int
) -> None:
    """The row stays as last seen, and the number is read before the object can be ready."""
    known = recovered(written, aim, generation)
    assert (known.reason, known.observed) == (Reason.SIGNED, False)
    assert next_action(known, NOW, recorded=True) == Read()


@pytest.mark.parametrize(("request_", "publishes"), [("then", 2), ("", 2), ("now", 0)])
def test_the_back_off_remembers_unless_a_check_was_asked_for(request_: str, publishes: int) -> None:
    """A new request clears the count, one that was met already does not."""
    written = status("NotPublished", reason="NotPublished", publishes=2)
    assert recovered(written, target(request=request_)).publishes == publishes


def test_a_request_that_was_made_meanwhile_is_met_at_once() -> None:
    """The number stays as it was while it waits for its turn, and the request is not forgotten."""
    known = recovered(status(), target(request="now"))
    assert (known.reason, known.observed, known.check_requested) == (Reason.SIGNED, True, True)
    assert next_action(known, NOW, recorded=True) == Read()
    assert not recovered(status(), target(request="then")).check_requested


def test_an_accepted_key_is_waited_for_after_a_restart() -> None:
    """The five minutes that an accepted publish is given go on."""
    row = {"reason": "Pending", "signatureStatus": "MISMATCH", "lastPublishTime": "2026-11-22T09:59:00Z"}
    known = recovered(status("Progressing", publishes=1, **row))
    assert (known.published.accepted, known.publish_due) == (True, NOW + 240)


@pytest.mark.parametrize(("reason", "publishes"), [("Pending", 0), ("NotPublished", 1)])
def test_only_an_accepted_key_is_waited_for(reason: str, publishes: int) -> None:
    """A number that was never published to, or that was found without the key, is repaired without delay."""
    written = status(reason, reason=reason, publishes=publishes, lastPublishTime="2026-11-22T09:59:00Z")
    known = recovered(written)
    assert (known.published.accepted, known.publish_due <= NOW) == (False, True)


def test_a_refused_key_is_not_tried_at_once_after_a_restart() -> None:
    """Publishes stay as rare as they were."""
    row = {"reason": "KeyRejected", "message": "no", "publishes": 3, "lastPublishTime": "2026-11-22T10:00:00Z"}
    known = recovered(status("KeyRejected", "KeyRejected", **row, refusedPublishes={"count": 3}))
    assert (known.published.refusals, known.verdict.retry) == (3, Retry.TERMINAL)
    assert known.publish_due == NOW + 3600
    row |= {"publishes": 1, "refusedPublishes": {}}
    known = recovered(status("KeyRejected", "KeyRejected", **row))
    assert (known.published.refusals, known.publish_due) == (1, NOW + 600)


@pytest.mark.parametrize("answer", [LOST_ANSWER, replace(BROKEN, unknown=True), REJECTED], ids=lambda one: one.message)
@pytest.mark.parametrize("checks_fail", [False, True])
@pytest.mark.parametrize("publishes", [1, 2, 3, 4])
def test_a_restart_changes_nothing_after_lost_answers(answer: Failure, publishes: int, *, checks_fail: bool) -> None:
    """Neither the verdict after the next reading nor the time of the next publish; also where checks failed since."""
    known = signed()
    for _ in range(publishes):
        known = after_publish(known, answer, NOW)
    if checks_fail:
        known = after_failure(known, UNREACHABLE, NOW + 1, 0.5)
    written = {"phoneNumbers": render_status(Status(rows=Rows([known.row])))["phoneNumbers"]}
    reading = Reading(status=SignatureStatus.MISMATCH, fingerprint=OURS)
    restored = after_read(recovered(status(known.reason) | written), reading, NOW + 5, 0.5)
    known = after_read(known, reading, NOW + 5, 0.5)
    assert (restored.verdict, restored.publish_due) == (known.verdict, known.publish_due)


@pytest.mark.parametrize(
    ("stalled", "reason", "retry"),
    [
        ("", "ServiceNotReady", Retry.TRANSIENT),
        ("ServiceNotReady", "ServiceNotReady", Retry.TERMINAL),
        ("NotPublished", "NotPublished", Retry.TERMINAL),
        ("AccessDenied", "ServiceNotReady", Retry.TRANSIENT),
        ("AccessDenied", "AccessDenied", Retry.TERMINAL),
        ("AccessDenied", "KeyRejected", Retry.TERMINAL),
    ],
)
def test_who_must_act_is_known_after_a_restart(stalled: str, reason: str, retry: Retry | None) -> None:
    """A reason that time may heal is the user's where the object is stalled for it."""
    assert recovered(status(stalled or reason, stalled, reason=reason)).verdict.retry is retry


def test_a_stalled_number_stays_so_when_it_fails_again_after_a_restart() -> None:
    """The tries that are not sure to help were used up before."""
    known = recovered(status("InvalidAnswer", "InvalidAnswer", reason="InvalidAnswer"))
    assert known.failing.limited == LIMITED_TRIES
    assert after_failure(known, BROKEN, NOW, 0.5).verdict.retry is Retry.TERMINAL


def test_tries_begin_anew_where_the_user_has_done_something_meanwhile() -> None:
    """After an edit or a request, or where nobody was asked yet, none are used up."""
    edited = recovered(status("InvalidAnswer", "InvalidAnswer", reason="InvalidAnswer"), generation=2)
    waiting = recovered(status("InvalidAnswer", reason="InvalidAnswer"))
    stalled = recovered(status("InvalidAnswer", "InvalidAnswer", reason="InvalidAnswer"))
    requested = with_target(stalled, target(request="now"), NOW)
    assert (edited.failing.limited, waiting.failing.limited, requested.failing.limited) == (0, 0, 0)


def test_a_publish_that_is_still_to_come_was_now() -> None:
    """A clock that went wrong cannot make the back-off hold for longer than ever."""
    row = {"reason": "Contended", "publishes": 3, "lastPublishTime": "2031-01-01T00:00:00Z"}
    assert recovered(status("Contended", "Contended", **row)).publish_due == NOW + 3600


def test_a_publish_that_the_status_does_not_date_holds_nothing_back() -> None:
    """A count alone, without a time, is no back-off."""
    known = recovered(status("NotPublished", reason="NotPublished", publishes=9, lastPublishTime="once"))
    assert (known.published_at, known.publish_due) == (None, 0.0)


ROW: dict[str, Any] = {"lastPublishTime": "2026-11-22T09:59:00Z", "publishes": 1}


@pytest.mark.parametrize(
    ("earlier", "recent"),
    [
        pytest.param({}, (60,), id="none"),
        pytest.param({"earlierPublishes": [90, 5, 0]}, (150, 65, 60, 60), id="some"),
        pytest.param({"earlierPublishes": [5, 90]}, (150, 65, 60), id="in disorder"),
        pytest.param({"earlierPublishes": [5, -1, "5", True, 2.5, None]}, (65, 60), id="with nonsense"),
        pytest.param({"earlierPublishes": "many"}, (60,), id="nonsense"),
        pytest.param({"earlierPublishes": [1] * 1000}, (61,) * 16 + (60,), id="more than there can be"),
        pytest.param({"earlierPublishes": [5], "lastPublishTime": "once"}, (), id="without a time"),
    ],
)
@pytest.mark.parametrize("name", ["ours", "new"], ids=["the same key", "another key"])
def test_publishes_of_any_key_are_known_after_a_restart(
    earlier: dict[str, Any], recent: tuple[int, ...], name: str
) -> None:
    """They are seconds before the last one, and none of them depends on the key."""
    found = recovered(status(**ROW | earlier), target(key=public_key(name)))
    assert found.published.recent == tuple(NOW - ago for ago in recent)


def test_publishes_that_are_still_to_come_were_now() -> None:
    """As the last one is, where a clock went wrong."""
    row: dict[str, Any] = {"lastPublishTime": "2031-01-01T00:00:00Z", "earlierPublishes": [1, 1, 1, 1, 1]}
    assert recovered(status(publishes=1, **row)).publish_due == NOW + 3600


def test_a_request_that_was_not_met_before_a_restart_leaves_room_for_one_publish() -> None:
    """A process that never gets to say that it was met cannot publish again and again for it."""
    written = status(**ROW, earlierPublishes=[30, 20, 10, 5, 1])
    assert recovered(written, target(request="now")).published.recent == tuple(
        NOW - 60 - ago for ago in (20, 10, 5, 1, 0)
    )
    assert recovered(written, target(request="then")).publish_due == NOW - 60 + 3600


def test_a_request_whose_beginning_is_recorded_clears_nothing_after_a_restart() -> None:
    """Each number is checked for it, and the publishes since it was made count."""
    written = status(**ROW | {"publishes": 3, "earlierPublishes": [30, 20]}) | {"startedReconcileAt": "now"}
    known = recovered(written, target(request="now"))
    assert (known.check_requested, known.publishes, len(known.published.recent)) == (True, 3, 3)
    assert known.publish_due == NOW - 60 + 3600
    assert recovered(written, target(request="later")).publishes == 0


@pytest.mark.parametrize(
    ("row", "fingerprint", "publishes"),
    [
        ({"lastPublishTime": "2026-11-22T09:59:30Z"}, OURS, 2),
        ({"lastPublishTime": "2026-11-22T09:59:00Z"}, OURS, 2),
        ({"lastPublishTime": "2026-11-22T09:59:30Z"}, OTHER, 0),
    ],
    ids=["later", "of the same second", "of another key"],
)
def test_what_another_process_has_published_counts(row: dict[str, Any], fingerprint: str, publishes: int) -> None:
    """The number is read next; what this process has still to do is not forgotten."""
    ours = replace(recovered(status(**ROW)), check_requested=True, retry_at=NOW + 5, checked_at=NOW - 9)
    written = status("NotPublished", **ROW | {"publishes": 2} | row) | {"publicKeyFingerprint": fingerprint}
    known = adopted(ours, read_status(written), 1, NOW)
    assert (known.publishes, known.read_at, known.due) == (publishes, None, NOW)
    assert known.published_at == (NOW - 30 if "30Z" in row["lastPublishTime"] else NOW - 60)
    assert (known.check_requested, known.retry_at, known.checked_at) == (True, NOW + 5, NOW - 9)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"publishes": 0, "lastPublishTime": "2026-11-22T09:59:00Z"},
        {"publishes": 9, "lastPublishTime": "2026-11-22T09:58:59Z"},
        {"publishes": 9, "lastPublishTime": None},
        {"publishes": 9, "lastPublishTime": "2026-11-22T09:59:59Z", "api": "other"},
        {"publishes": 9, "lastPublishTime": "2026-11-22T09:59:59Z", "phoneNumber": "+15550009999"},
    ],
)
def test_a_status_that_shows_nothing_newer_is_not_adopted(row: dict[str, Any]) -> None:
    """Whoever has written it: what this process knows is shown instead."""
    ours = recovered(status(**ROW))
    assert adopted(ours, read_status(status("NotPublished", **ROW | row)), 1, NOW) is ours


def test_a_number_that_cannot_be_called_adopts_what_it_continues_from() -> None:
    """Its problem is shown all the same."""
    blocked = target(endpoint=None, problem=DENIED, address=target().address)
    later = {"publishes": 2, "lastPublishTime": "2026-11-22T09:59:30Z"}
    known = adopted(recovered(status(**ROW), blocked), read_status(status(**ROW | later)), 1, NOW)
    assert (known.reason, known.due) == (DENIED.reason, math.inf)
    assert known.resume_from
    assert known.resume_from.publishes == 2


def test_a_new_key_has_the_publishes_of_the_last_one_and_a_request_has_none() -> None:
    """What counts whatever the key stays with the address."""
    many = known(recent=(NOW - 60,) * 6)
    rotated = with_target(many, target(key=public_key("new")), NOW)
    assert rotated.publish_due == NOW - 60 + 3600
    assert with_target(many, target(request="now"), NOW).published.recent == ()
    assert with_target(many, target(key=public_key("new"), request="now"), NOW).published.recent == ()
    assert with_target(many, target(endpoint=endpoint("+15550009999")), NOW).published.recent == ()


GONE = failure(Reason.CREDENTIALS_NOT_FOUND, "Secret whatsapp-admin does not exist")
BLOCKED = target(endpoint=None, problem=GONE, address=target().address)


def test_a_problem_that_is_certain_is_shown_at_once() -> None:
    """The row keeps what the API said last, and no call is due, whatever was signed before or asked for."""
    before = known(check_requested=True)
    blocked = with_target(before, BLOCKED, NOW)
    assert (blocked.reason, blocked.message, blocked.verdict.retry) == (GONE.reason, GONE.message, Retry.TRANSIENT)
    assert (blocked.observed, blocked.check_requested, blocked.due) == (True, False, math.inf)
    assert (blocked.reading.status, blocked.reading.fingerprint) == (before.reading.status, before.reading.fingerprint)
    assert (blocked.published_at, blocked.publishes) == (before.published_at, before.publishes)
    denied = with_target(blocked, replace(BLOCKED, problem=DENIED), NOW)
    assert (denied.reason, denied.verdict.retry) == (DENIED.reason, Retry.TERMINAL)


@pytest.mark.parametrize("before", [signed(), facts(), after_failure(signed(), BUSY, NOW, 0.5)], ids=str)
def test_a_problem_that_is_over_leaves_nothing_behind(before: NumberFacts) -> None:
    """However the number was doing, it goes on so, also where another problem came in between."""
    blocked = with_target(with_target(before, BLOCKED, NOW), replace(BLOCKED, problem=DENIED), NOW)
    assert with_target(blocked, before.target, max(before.due - 1, 0.0)) == before


def test_a_check_that_came_due_while_nobody_could_be_called_goes_first() -> None:
    """Nothing is claimed of the number before it."""
    after = with_target(with_target(signed(), BLOCKED, NOW), target(), NOW + 600)
    assert (after.reason, after.observed, after.read_at) == (Reason.SIGNED, False, None)
    assert next_action(after, NOW + 600, recorded=True) == Read()


def test_a_number_that_another_object_had_is_looked_at() -> None:
    """Whatever was known of it, and whatever stood in the way after that."""
    taken = replace(BLOCKED, problem=failure(Reason.DUPLICATE_NUMBER, "is managed by another"))
    for blocked in (with_target(signed(), taken, NOW), with_target(with_target(signed(), taken, NOW), BLOCKED, NOW)):
        after = with_target(blocked, target(), NOW + 1)
        assert (after.reason, after.observed) == (Reason.SIGNED, False)
        assert next_action(after, NOW + 1, recorded=True) == Read()


def test_a_rest_is_not_forgotten_for_a_problem() -> None:
    """A number that was suspended meanwhile is checked when its problem is over."""
    blocked = expired(with_target(signed(), BLOCKED, NOW), NOW)
    assert (blocked.reason, blocked.observed, blocked.due) == (GONE.reason, True, math.inf)
    assert not with_target(blocked, target(), NOW).observed


def test_what_changes_beside_a_problem_counts_when_it_is_over() -> None:
    """A new key goes out on what was read before; other credentials, and a request, need a look."""
    blocked = with_target(known(), BLOCKED, NOW)
    rotated = with_target(blocked, replace(BLOCKED, key=public_key("new")), NOW)
    assert (rotated.reason, rotated.publishes) == (GONE.reason, 0)
    after = with_target(rotated, target(key=public_key("new")), NOW + 20)
    assert next_action(after, NOW + 20, recorded=True) == Publish()
    assert with_target(rotated, target(), NOW + 20) == known()
    check_requested = with_target(
        with_target(blocked, replace(BLOCKED, request="now"), NOW), target(request="now"), NOW
    )
    assert (check_requested.check_requested, check_requested.publishes) == (True, 0)
    better = with_target(blocked, target(endpoint=endpoint(password="new")), NOW)
    assert (better.reason, better.observed, better.due) == (Reason.SIGNED, False, NOW)


def test_a_problem_is_shown_after_a_restart_and_leaves_what_the_status_told() -> None:
    """Whether the status spoke of it already or not, the number is checked once it is over."""
    row: dict[str, Any] = {"lastPublishTime": "2026-11-22T09:00:00Z", "publishes": 2}
    for before in (status(**row), status("CredentialsNotFound", reason="CredentialsNotFound", **row)):
        blocked = recovered(before, BLOCKED)
        assert (blocked.reason, blocked.message, blocked.observed) == (GONE.reason, GONE.message, True)
        assert (blocked.published_at, blocked.publishes, blocked.due) == (NOW - 3600, 2, math.inf)
        after = with_target(blocked, target(), NOW)
        assert (after.publishes, after.observed) == (2, False)
        assert next_action(after, NOW, recorded=True) == Read()


def known(**more: Any) -> NumberFacts:
    """Return a signed number with everything that a target change might clear."""
    return signed(publishes=2, published_at=NOW - 60, cause=Reason.FOREIGN_KEY, retry_at=NOW + 10, **more)


def test_the_same_target_changes_nothing() -> None:
    """Not even the value."""
    one = known()
    assert with_target(one, target(), NOW) is one


@pytest.mark.parametrize(
    "aim", [target(interval=60.0), target(request="")], ids=["another interval", "a request withdrawn"]
)
def test_what_does_not_concern_the_number_leaves_it_alone(aim: Target) -> None:
    """An interval or a request that is withdrawn needs no look at the number, and clears nothing."""
    before = known(observed=True)
    before = replace(before, target=target(request="then"))
    after = with_target(before, aim, NOW)
    assert after.looks_like(before)
    assert (after.publishes, after.read_at, after.retry_at) == (2, NOW, NOW + 10)


def test_a_shorter_interval_counts_from_now() -> None:
    """A check that would have been due in a week is due within the new interval."""
    week = signed(target(interval=604800.0))
    assert with_target(week, target(interval=10.0), NOW).due == NOW + 10
    assert with_target(signed(), target(interval=604800.0), NOW).due == NOW + 600


def test_another_address_is_another_number_as_far_as_one_can_tell() -> None:
    """Nothing that was known is worth anything, and no limit holds."""
    aim = target(endpoint=endpoint("+15550009999"))
    assert with_target(known(), aim, NOW) == NumberFacts(target=aim)


def test_another_login_keeps_what_is_known_but_not_what_was_read() -> None:
    """The publish back-off stays, the row too; the next decision needs a new read, which is due now."""
    aim = target(endpoint=endpoint(password="new"))
    after = with_target(known(), aim, NOW)
    assert after.looks_like(known())
    assert (after.read_at, after.due, after.retry_at) == (None, NOW, NOW + 10)


def test_any_change_ends_a_back_off() -> None:
    """A number that is failing is checked anew, with all of its tries."""
    failing = known(failures=4, limited=4)
    after = with_target(failing, target(interval=60.0), NOW)
    assert (after.failures, after.failing.limited, after.due) == (0, 0, NOW)


def test_another_login_makes_what_was_wrong_old_news() -> None:
    """What stood in the way may be gone, so the row waits for the next look."""
    denied = after_failure(facts(), DENIED, NOW, 0.5)
    after = with_target(denied, target(endpoint=endpoint(password="new")), NOW)
    assert (after.reason, after.observed, after.verdict.needs_user) == (Reason.PENDING, False, False)
    assert after.message != denied.message


@pytest.mark.parametrize(
    ("refusal", "kept"), [(REJECTED, REJECTED), (BUSY, None)], ids=["of the key", "of who published it"]
)
def test_another_login_may_publish_what_the_last_one_could_not(refusal: Any, kept: Any) -> None:
    """A refusal of the key itself stays, any other is worth another try."""
    after = with_target(known(refusal=refusal, refusals=3), target(endpoint=endpoint(password="new")), NOW)
    assert (after.refusal, after.published.refusals) == (kept, 3 if kept else 0)


def test_a_new_key_goes_out_on_what_was_read_before() -> None:
    """No second read is needed, no back-off holds, and the row speaks of the new key."""
    after = with_target(known(), target(key=public_key("new")), NOW + 20)
    assert (after.reason, after.observed, after.publishes, after.cause) == (Reason.PENDING, False, 0, None)
    assert (after.reading.status, after.reading.fingerprint, after.published_at) == (
        SignatureStatus.VALID,
        OURS,
        NOW - 60,
    )
    assert next_action(after, NOW + 20, recorded=False) == Publish()


def test_a_new_key_needs_a_read_where_the_last_one_failed() -> None:
    """A failed check leaves nothing to publish on, and tells nothing of the new key."""
    failed = after_failure(facts(), UNREACHABLE, NOW, 0.5)
    after = with_target(failed, target(key=public_key("new")), NOW)
    assert (after.reason, after.message == failed.message) == (Reason.PENDING, False)
    assert next_action(after, NOW, recorded=True) == Read()


def test_a_new_key_is_nobodys_failure_yet() -> None:
    """Whatever the user was asked to do about the last one."""
    rejected = facts(reason=Reason.KEY_REJECTED, observed=True, needs_user=True)
    assert with_target(rejected, target(key=public_key("new")), NOW).verdict.retry is None


def test_a_new_key_waits_for_a_server_that_asked_to_be_left_alone() -> None:
    """The row goes on saying why, but never that the new key is signed."""
    aim = target(key=public_key("new"))
    busy = after_failure(facts(), replace(BUSY, retry_after=60.0), NOW, 0.5)
    after = with_target(busy, aim, NOW)
    assert (after.reason, after.message, after.observed) == (Reason.RATE_LIMITED, BUSY.message, False)
    assert next_action(after, NOW, recorded=True) == Wait(NOW + 60)
    hidden = after_failure(signed(), replace(BUSY, retry_after=60.0), NOW, 0.5)
    assert hidden.reason is Reason.SIGNED
    assert with_target(hidden, aim, NOW).reason is Reason.PENDING


def test_a_request_clears_publishes_and_failures() -> None:
    """All is checked anew, but for what the server asked for; the cause of a publish is kept for its event."""
    before = known(failures=2, refusal=BUSY, refusals=3, accepted=True)
    after = with_target(before, target(request="now"), NOW)
    assert (after.publishes, after.published.accepted, after.refusal, after.failures) == (0, False, None, 0)
    assert (after.reason, after.publish_due) == (Reason.SIGNED, 0.0)
    assert (after.observed, after.check_requested, after.published.refusals, after.cause) == (
        True,
        True,
        0,
        Reason.FOREIGN_KEY,
    )
    assert next_action(after, NOW, recorded=True) == Wait(NOW + 10)
    assert next_action(after, NOW + 10, recorded=True) == Read()


NEW = public_key("new")


def test_a_request_that_comes_with_a_key_asks_for_nothing_more() -> None:
    """Whatever has come of the key by then stays; publishes before it are forgotten, as after any request."""
    before = known(recent=(NOW - 60, NOW - 1))
    rotated = with_target(before, target(key=NEW), NOW)
    refused = after_publish(rotated, REJECTED, NOW + 1)
    for facts_ in (rotated, refused):
        recent = tuple(at for at in facts_.published.recent if at >= NOW)
        expected = replace(facts_, target=target(key=NEW, request="now"))
        after = with_target(facts_, expected.target, NOW + 1.5)
        assert after == replace(expected, published=replace(facts_.published, recent=recent))
        assert not interrupts(after, facts_)
    asked = with_target(refused, target(key=NEW, request="now"), NOW + REQUEST_SECONDS)
    assert (asked.check_requested, asked.refusal) == (True, None)
    assert interrupts(asked, refused)


def test_a_request_that_comes_with_a_key_ends_its_limit_of_publishes_an_hour() -> None:
    """A number that waits for the hour to be over is looked at for the request."""
    waiting = with_target(known(recent=(NOW - 60,) * 6), target(key=NEW), NOW)
    asked = with_target(waiting, target(key=NEW, request="now"), NOW + 1)
    assert (asked.check_requested, asked.publish_due) == (True, 0.0)


def test_a_key_that_follows_a_request_takes_it_over() -> None:
    """It has the number looked at anyway; what was read before the request goes for it as without one."""
    requested = with_target(known(), target(request="now"), NOW)
    after = with_target(requested, target(key=NEW, request="now"), NOW + 0.1)
    assert (after.check_requested, after.observed, after.read_at) == (False, False, requested.read_at)
    assert interrupts(after, requested)


def test_an_edit_that_comes_with_a_request_and_a_key_is_an_edit() -> None:
    """What the request does not ask for, the edit may."""
    rotated = with_target(known(), target(key=NEW), NOW)
    after = with_target(rotated, target(key=NEW, request="now", publish=False), NOW + 1)
    assert (after.check_requested, after.target.publish, after.observed) == (False, False, False)


def test_an_edit_that_comes_with_a_request_is_an_edit_all_the_same() -> None:
    """The number is not said to have been checked since, which a request alone would leave as it was."""
    after = with_target(known(), target(request="now", api=api(url="https://whatsapp-{digits}/")), NOW)
    assert (after.observed, after.check_requested, after.publishes) == (False, True, 0)


@pytest.mark.parametrize(
    "aim", [target(publish=False), target(api=api(url="https://whatsapp-{digits}/"))], ids=["policy", "api"]
)
def test_an_edit_that_may_matter_has_the_number_looked_at(aim: Target) -> None:
    """The publish back-off stays where key and address do."""
    after = with_target(known(needs_user=True), aim, NOW + 10)
    assert (after.observed, after.verdict.needs_user, after.publishes) == (False, False, 2)


def test_the_policy_may_change_to_publishing() -> None:
    """What was only reported is repaired on the last read."""
    missing = facts(
        target(publish=False), reason=Reason.NOT_PUBLISHED, observed=True, needs_user=True, read_at=NOW, due=DUE
    )
    assert next_action(with_target(missing, target(), NOW), NOW, recorded=True) == Publish()
