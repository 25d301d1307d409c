"""Hours of a number's life: what is published when, what is shown meanwhile, and what a restart does to it."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Accepted, Failure, Retry
from bek_operator.numbers.carry_over import with_target
from bek_operator.numbers.transitions import after_publish, after_read, invalidated
from support.builders import (
    BROKEN,
    BUSY,
    DENIED,
    LOST_ANSWER,
    NOW,
    REJECTED,
    UNREACHABLE,
    facts,
    failure,
    on_premises,
    public_key,
    signed,
    target,
    valid,
)
from unit.numbers.rehearsal import Rehearsal, VirtualApi

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
READY = ("True", "Succeeded", "")


def healthy(**spec: Any) -> Rehearsal:
    """Return a life whose number has been signed for a minute."""
    return Rehearsal(**spec).run(MINUTE)


def test_a_new_number_is_read_published_and_read_back() -> None:
    """All at once, with one publish; then it is checked each interval, and nothing is written any more."""
    life = Rehearsal()
    assert life.ready == ("False", "Progressing", "Reconciling")
    life.run()
    assert (life.ready, life.api.publishes, life.api.reads) == (READY, [0], [0, 0])
    writes = life.writes
    life.run(2 * HOUR)
    assert life.api.reads[2:] == [600 * i for i in range(1, 13)]
    assert (life.api.publishes, life.writes) == ([0], writes)


def test_a_number_that_holds_the_key_is_not_published_to() -> None:
    """Adopting what is right already takes a single read."""
    life = Rehearsal(VirtualApi(held=public_key(), valid_from=NOW)).run()
    assert (life.ready, life.api.publishes, life.api.reads) == (READY, [], [0])
    assert "lastPublishTime" not in life.row


def test_a_lost_signature_is_repaired_at_the_next_check() -> None:
    """The same key is published again, and the number is Signed as before."""
    life = healthy()
    life.api.hold(public_key(), life.now, valid=False)
    life.run(10 * MINUTE)
    assert (life.ready, life.api.publishes, life.row["publishes"]) == (READY, [0, 600], 2)


@pytest.mark.parametrize("interval", [10, 600])
def test_a_second_writer_is_fought_ever_more_rarely(interval: int) -> None:
    """Overwritten every minute: three publishes within the hour, then 1 h, 2 h, 4 h … after the last."""
    life = Rehearsal(VirtualApi(overwritten=MINUTE), intervalSeconds=interval)
    life.run(3 * DAY)
    gaps = [after - before for before, after in zip(life.api.publishes, life.api.publishes[1:], strict=False)]
    assert len([at for at in life.api.publishes if at < HOUR]) == 3
    assert gaps[2:] == [HOUR * hours for hours in (1, 2, 4, 8, 16, 24)]
    assert life.ready == ("False", "Contended", "Stalled")


def test_a_fight_that_is_over_is_forgotten_after_an_hour() -> None:
    """Once the other writer stops, the next lost signature has its three publishes again."""
    life = Rehearsal(VirtualApi(overwritten=MINUTE), intervalSeconds=10).run(10 * MINUTE)
    assert life.row["publishes"] == 3
    life.api.overwritten = None
    life.run(2 * HOUR + MINUTE)
    assert (life.ready, life.row["publishes"]) == (READY, 4)
    life.api.hold(None, life.now)
    assert life.run(MINUTE).row["publishes"] == 1


def test_an_accepted_key_that_never_becomes_valid_is_the_users() -> None:
    """It is published at 0, 5 and 10 minutes, each time checked ever more slowly; then the back-off holds."""
    life = Rehearsal(VirtualApi(settles=None)).run(1)
    assert life.ready == ("False", "Progressing", "Reconciling")
    assert life.row["reason"] == "Pending"
    life.run(HOUR)
    assert life.api.publishes == [0, 5 * MINUTE, 10 * MINUTE]
    assert [at for at in life.api.reads if at < 5 * MINUTE] == [0, 0, 1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    assert life.ready == ("False", "SignatureMismatch", "Stalled")
    assert life.run(DAY).api.publishes[3:] == [600 + hours * HOUR for hours in (1, 3, 7, 15)]


def test_an_accepted_key_may_take_its_time() -> None:
    """A signature that comes after four minutes costs no second publish."""
    life = Rehearsal(VirtualApi(settles=4 * MINUTE)).run(5 * MINUTE)
    assert (life.ready, life.api.publishes) == (READY, [0])


def test_a_passing_fault_is_neither_shown_nor_written() -> None:
    """A signed number whose checks fail for less than five minutes, or fewer than three times, stays as it is."""
    life = healthy()
    writes = life.writes
    life.api.read_fault = UNREACHABLE
    life.run(9 * MINUTE + 280)
    assert len(life.api.reads) > 6
    assert (life.ready, life.writes) == (READY, writes)
    life.api.read_fault = None
    life.run(5 * MINUTE)
    life.api.read_fault = UNREACHABLE
    life.run(10 * MINUTE)
    assert (life.ready, life.writes) == (READY, writes)


@pytest.mark.parametrize("fault", [UNREACHABLE, BUSY, BROKEN], ids=["unreachable", "busy", "not understood"])
def test_a_fault_that_lasts_is_shown_once(fault: Failure) -> None:
    """The row keeps the status last read and names the failure; hours of it are one write, or two if the user must."""
    life = healthy()
    writes, row = life.writes, dict(life.row)
    life.api.read_fault = fault
    life.run(30 * MINUTE)
    assert life.row == row | {"reason": str(fault.reason), "message": fault.message}
    assert life.status["signed"] == "0/1"
    life.run(DAY)
    assert life.writes == writes + (1 if fault.retry is Retry.TRANSIENT else life.writes - writes)
    assert life.writes <= writes + 2
    life.api.read_fault = None
    assert life.run(HOUR).row == row


def test_what_is_not_sure_to_pass_ends_with_the_user() -> None:
    """A few tries, then Stalled with the same reason, and a check each interval that may still find it healed."""
    life = Rehearsal(VirtualApi(read_fault=BROKEN)).run(20)
    assert life.ready == ("False", "InvalidAnswer", "Reconciling")
    life.run(20)
    assert life.ready == ("False", "InvalidAnswer", "Stalled")
    assert life.api.reads == [0, 2, 6, 14, 30]
    life.run(HOUR)
    assert [round(at) for at in life.api.reads[5:]] == [630 + 600 * i for i in range(6)]
    life.api.read_fault = None
    assert life.run(10 * MINUTE).ready == READY


def test_a_publish_that_is_never_understood_ends_with_the_user() -> None:
    """Where the key may have arrived the back-off counts it: three tries, and then ever fewer."""
    life = Rehearsal(VirtualApi(publish_fault=replace(BROKEN, unknown=True))).run(HOUR)
    assert life.ready == ("False", "InvalidAnswer", "Stalled")
    life.run(DAY)
    assert [round(at, -1) for at in life.api.publishes] == [0, 30, 330, 3930, 11130, 25530, 54330]


def test_a_publish_that_is_refused_with_an_unknown_error_does_not_count() -> None:
    """The API has nothing against the key: five tries, then ever fewer, and none of them holds a later one back."""
    life = Rehearsal(VirtualApi(publish_fault=BROKEN)).run(MINUTE)
    assert life.ready == ("False", "InvalidAnswer", "Stalled")
    life.run(DAY)
    assert [round(at, -1) for at in life.api.publishes][:8] == [0, 0, 10, 10, 30, 630, 1830, 4230]
    life.api.publish_fault = None
    assert life.run(DAY).ready == READY


@pytest.mark.parametrize("fault", [REJECTED, DENIED], ids=["for the key", "for who published it"])
def test_a_publish_that_is_refused_is_repeated_ever_more_rarely(fault: Failure) -> None:
    """One interval, two, four: up to a day apart, and without a word in between."""
    life = Rehearsal(VirtualApi(publish_fault=fault)).run()
    assert life.ready == ("False", str(fault.reason), "Stalled")
    life.run(7 * DAY)
    gaps = [after - before for before, after in zip(life.api.publishes, life.api.publishes[1:], strict=False)]
    assert gaps[:2] == [600, 1200]
    assert gaps == sorted(gaps)
    assert gaps[-1] == DAY
    assert life.writes <= len(life.api.publishes) + 1


def test_a_refused_key_stays_rare_over_restarts() -> None:
    """A process that is started again and again publishes no more often than one that lives."""
    life = Rehearsal(VirtualApi(publish_fault=REJECTED))
    steady = Rehearsal(VirtualApi(publish_fault=REJECTED)).run(DAY)
    for _ in range(int(DAY / MINUTE)):
        life.run(MINUTE).restart()
    assert len(life.api.publishes) <= len(steady.api.publishes)


@pytest.mark.parametrize("carries_out", [False, True], ids=["lost on the way", "carried out"])
def test_a_publish_of_unknown_outcome_is_followed_by_reads(*, carries_out: bool) -> None:
    """If the key has arrived all is well; if not it is tried again, but slowly, and the back-off counts every try."""
    life = Rehearsal(VirtualApi(publish_fault=LOST_ANSWER, carries_out=carries_out)).run(MINUTE)
    assert life.api.publishes == ([0] if carries_out else [0, 30])
    life.run(2 * HOUR)
    assert life.api.publishes == ([0] if carries_out else [0, 30, 330, 330 + HOUR])
    expected = READY if carries_out else ("False", "Unreachable", "Reconciling")
    assert life.ready == expected


@pytest.mark.parametrize(
    "fault", [UNREACHABLE, BUSY, failure(Reason.SERVICE_NOT_READY)], ids=["down", "busy", "starting"]
)
def test_a_publish_that_is_turned_away_for_the_moment_comes_right(fault: Failure) -> None:
    """It does not count for the back-off, is shown once, and reaches the number soon after the fault is over."""
    life = Rehearsal(VirtualApi(publish_fault=fault)).run(2 * HOUR)
    assert life.ready == ("False", str(fault.reason), "Reconciling")
    assert (life.writes, "publishes" in life.row) == (2, False)
    life.api.publish_fault = None
    assert life.run(30 * MINUTE).ready == READY


def test_a_new_key_needs_no_read_before_it() -> None:
    """A rotation goes out on the last check, then is read back; the old count does not hold it up."""
    life = healthy()
    calls = len(life.api.calls)
    life.rotate("new").run()
    assert [call.publishes for call in life.api.calls[calls:]] == [True, False]
    assert (life.ready, life.row["publishes"]) == (READY, 1)
    assert life.status["publicKeyFingerprint"] == public_key("new").fingerprint


def test_a_new_key_is_not_held_up_by_the_back_off() -> None:
    """Nor by a refusal of the last one."""
    for api in (VirtualApi(settles=None), VirtualApi(publish_fault=REJECTED)):
        life = Rehearsal(api).run(HOUR)
        api.settles, api.publish_fault = 0.0, None
        assert life.rotate("new").run().ready == READY


def test_a_key_that_comes_back_while_another_is_published_is_published_again() -> None:
    """A to B to A, with the publish of B ending last: the number is read anew, and A is put back."""
    ours, theirs = target(), target(key=public_key("b"))
    there = with_target(with_target(signed(ours), theirs, NOW), ours, NOW + 1)
    ended = invalidated(there, theirs, NOW + 2)
    found = after_read(ended, valid(theirs.key), NOW + 3, 0.5)
    assert (ended.read_at, ended.observed, found.reason) == (None, False, Reason.FOREIGN_KEY)
    assert (found.publish_due, found.published_at, found.publishes) == (0.0, NOW + 2, 0)


def test_a_publish_that_ends_after_an_edit_waits_for_its_record() -> None:
    """The same key, published for the target before: it counts, so a crash could not add another one unseen."""
    before = after_read(facts(), valid(public_key("other")), NOW, 0.5)
    edited = with_target(before, target(interval=60.0), NOW)
    assert invalidated(edited, before.target, NOW).publishes == after_publish(before, Accepted(), NOW).publishes == 1


def test_a_request_clears_publishes_and_failures() -> None:
    """The annotation has a number tried at once that would not be for an hour."""
    life = Rehearsal(VirtualApi(settles=None)).run(30 * MINUTE)
    assert len(life.api.publishes) == 3
    life.api.settles = 0.0
    life.request("now").run()
    assert (life.ready, len(life.api.publishes), life.row["publishes"]) == (READY, 4, 1)
    assert life.status["lastHandledReconcileAt"] == "now"


def test_a_request_ends_a_back_off() -> None:
    """A number that is failing is checked as soon as somebody asks."""
    life = Rehearsal(VirtualApi(read_fault=UNREACHABLE)).run(HOUR)
    life.api.read_fault = None
    assert life.request("now").run().ready == READY


@pytest.mark.parametrize("on_publish", [False, True], ids=["read", "publish"])
def test_a_request_does_not_override_what_the_server_asked_for(*, on_publish: bool) -> None:
    """Until Retry-After is over nobody is called, and the request is not said to be met."""
    check_requested = replace(BUSY, retry_after=30 * MINUTE)
    api = VirtualApi(publish_fault=check_requested) if on_publish else VirtualApi(read_fault=check_requested)
    life = Rehearsal(api).run(MINUTE)
    calls, ready = len(api.calls), life.ready
    api.publish_fault = api.read_fault = None
    life.request("now").run(28 * MINUTE)
    assert (len(api.calls), life.ready) == (calls, ready)
    assert "lastHandledReconcileAt" not in life.status
    assert life.run(MINUTE).ready == READY


def test_where_nothing_is_to_be_published_nothing_is() -> None:
    """The policy Never reads and reports: a lost key is the user's, a signed number is well."""
    life = Rehearsal(publishPolicy="Never").run(DAY)
    assert (life.api.publishes, life.ready) == ([], ("False", "NotPublished", "Stalled"))
    life.api.hold(public_key(), life.now)
    assert life.run(10 * MINUTE).ready == READY
    life.api.hold(public_key("other"), life.now)
    assert life.run(10 * MINUTE).ready == ("False", "ForeignKey", "Stalled")
    assert life.edit(publishPolicy="IfNeeded").run().ready == READY


def test_an_edit_is_not_ready_before_the_number_was_looked_at() -> None:
    """Neither at once, nor after a restart in between, nor because a failing API is given time."""
    life = healthy()
    life.api.read_fault = replace(BUSY, retry_after=10 * MINUTE)
    life.edit(apis=[on_premises(tls={"serverName": "whatsapp-web"})])
    assert life.ready == ("False", "Progressing", "Reconciling")
    life.restart()
    assert life.ready == ("False", "Progressing", "Reconciling")
    life.run()
    assert life.ready == ("False", "RateLimited", "Reconciling")
    life.api.read_fault = None
    assert life.run(11 * MINUTE).ready == READY


@pytest.mark.parametrize(("minutes", "reads"), [(8, 0), (30, 1)], ids=["before the next check", "after it"])
def test_credentials_that_go_and_come_back_are_passing(minutes: int, reads: int) -> None:
    """That they are gone is told at once; the number goes on where it was, after the check that has come due if any."""
    life = healthy()
    row, calls = life.row, len(life.api.calls)
    life.change_password("").run(minutes * MINUTE)
    assert life.ready == ("False", "CredentialsNotFound", "Reconciling")
    assert life.row.items() >= {**row, "reason": "CredentialsNotFound"}.items()
    assert life.change_password("open sesame").run().ready == READY
    assert (life.row, len(life.api.calls) - calls) == (row, reads)


def test_a_better_login_is_tried_at_once() -> None:
    """Whether it was the read or the publish that the last one was not allowed to."""
    for api in (VirtualApi(read_fault=DENIED), VirtualApi(publish_fault=DENIED)):
        life = Rehearsal(api).run(5 * HOUR)
        assert life.ready == ("False", "AccessDenied", "Stalled")
        api.read_fault = api.publish_fault = None
        assert life.change_password("better").run().ready == READY


@pytest.mark.parametrize(
    "api",
    [
        VirtualApi(),
        VirtualApi(overwritten=MINUTE),
        VirtualApi(settles=None),
        VirtualApi(read_fault=UNREACHABLE),
        VirtualApi(read_fault=BROKEN),
        VirtualApi(read_fault=DENIED),
        VirtualApi(publish_fault=REJECTED),
    ],
    ids=["healthy", "contended", "never VALID", "unreachable", "broken", "denied", "rejected"],
)
def test_a_restart_writes_and_publishes_nothing(api: VirtualApi) -> None:
    """However the number is doing, the new process goes on where the last one was."""
    life = Rehearsal(deepcopy(api)).run(50 * MINUTE)
    status, publishes = life.status, len(life.api.publishes)
    life.restart()
    assert life.status is status
    life.run(MINUTE)
    assert life.status is status
    assert len(life.api.publishes) == publishes


def test_a_healthy_number_is_not_asked_at_once_after_a_restart() -> None:
    """Its next check is due at some time within the interval."""
    life = healthy()
    calls = len(life.api.calls)
    life.restart().run(4 * MINUTE)
    assert len(life.api.calls) == calls
    life.run(2 * MINUTE)
    assert len(life.api.calls) == calls + 1


def test_a_crash_before_the_status_was_written_costs_one_publish() -> None:
    """Without memory a number is read first, and published to once more only if the key is still missing."""
    life = Rehearsal(VirtualApi(settles=None))
    life.writable = False
    for crashes in range(5):
        life.run(10 * HOUR)
        assert len(life.api.publishes) == crashes + 1
        life.restart()
    valid_now = Rehearsal()
    valid_now.writable = False
    valid_now.run().restart().run(HOUR)
    assert valid_now.api.publishes == [0]


def test_a_server_that_takes_no_writes_costs_no_further_publishes() -> None:
    """A second publish waits until the first one is written down, and then goes on."""
    life = healthy(intervalSeconds=60)
    life.writable = False
    for _ in range(3):
        life.api.hold(None, life.now)
        life.run(10 * MINUTE)
    assert len(life.api.publishes) == 2
    life.writable = True
    life.report()
    assert life.run(MINUTE).ready == READY


def test_a_clock_that_was_wrong_does_not_hold_the_back_off() -> None:
    """A publish that the status dates years ahead is taken for one of now."""
    life = Rehearsal(VirtualApi(settles=None))
    life.now += 365 * DAY
    life.run(HOUR)
    life.now -= 365 * DAY
    life.api.hold(None, life.now)
    life.api.settles = 0.0
    life.restart().run(HOUR)
    assert life.ready == READY


@pytest.mark.parametrize("fault", [UNREACHABLE, BUSY, BROKEN, DENIED], ids=["down", "busy", "broken", "denied"])
def test_messages_tell_neither_times_nor_counts_of_tries(fault: Failure) -> None:
    """What fails again and again says the same each time; only an object at work counts, and only numbers."""
    life = Rehearsal(VirtualApi(read_fault=fault)).run(MINUTE)
    status = life.status
    life.run(DAY)
    assert life.status is status or life.writes <= 3
    message = life.status["conditions"][0]["message"].replace(life.row["phoneNumber"], "")
    assert re.findall(r"\d+", message) == ["1", "1"]
