"""The state's own arithmetic: when Secrets count as gone, and when a status may be written."""

import math
from dataclasses import replace
from itertools import combinations

import pytest

from bek_operator.controller.secrets_state import REPLACEMENT_SECONDS, SecretsState
from bek_operator.controller.state import (
    ANSWER_SECONDS,
    BATCH_SECONDS,
    AwaitingStatusWrite,
    Idle,
    KeyState,
    NumberState,
    Phase,
    Queued,
    Running,
    Work,
    WriteLimit,
)
from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import read_status
from bek_operator.numbers.rollout import CANARY_SECONDS, RolloutGate
from support.builders import NOW, NUMBER, public_key, resource, signed
from support.builders import facts as number_facts


def test_a_secret_that_goes_missing_is_given_time_to_come_back() -> None:
    """The targets stay as they are until then; afterwards it is missing, and need not be waited for again."""
    before = SecretsState(versions={"a": "1", "b": ""}, stale_since=None)
    waiting = before.after_read({"a": "", "b": ""}, NOW)
    assert (waiting.versions, waiting.missing_since) == (before.versions, NOW)
    again = waiting.after_read({"a": "", "b": ""}, NOW + REPLACEMENT_SECONDS / 2)
    assert (again.versions, again.missing_since) == (before.versions, NOW)
    back = again.after_read({"a": "2", "b": ""}, NOW + 1.9)
    assert (back.versions, back.missing_since) == ({"a": "2", "b": ""}, None)
    gone = again.after_read({"a": "", "b": ""}, NOW + REPLACEMENT_SECONDS)
    assert (gone.versions, gone.missing_since) == ({"a": "", "b": ""}, None)
    assert gone.after_read({"a": "", "b": ""}, NOW + 5).missing_since is None


def test_secrets_are_due_after_an_event_or_when_their_time_has_come() -> None:
    """And not otherwise."""
    assert SecretsState().is_due(NOW)
    assert not SecretsState(stale_since=None).is_due(NOW)
    assert SecretsState(stale_since=None, read_again_at=NOW).is_due(NOW)


EXPECTED = {
    "nothing": (-math.inf, 1.0, 1),
    "answers that do not come": (NOW, 1.0, 0),
    "answers of numbers that wait for a worker": (math.inf, 2.0, 0),
}


@pytest.mark.parametrize(("answered_at", "seconds", "besides"), EXPECTED.values(), ids=EXPECTED.keys())
def test_writes_are_spaced_out_on_average(answered_at: float, seconds: float, besides: int) -> None:
    """One a second at most, and one besides; in two seconds while more is expected."""
    limit, times = WriteLimit(), list[float]()
    for tenth in [*range(100), *range(500, 600)]:
        now = NOW + tenth / 10
        if now >= limit.allows_at(answered_at) - 1e-6:
            limit, times = limit.after_write(now), [*times, now]
    assert len(times) == 2 * (10 / seconds + besides)
    pairs = combinations(enumerate(times), 2)
    assert all(
        last - first <= (later - earlier) / seconds + besides + 1e-6 for (first, earlier), (last, later) in pairs
    )


@pytest.mark.parametrize("answered_at", [NOW + 0.01, NOW + 9, math.inf], ids=["soon", "late", "who knows when"])
def test_a_change_is_written_after_a_tenth_of_a_second(answered_at: float) -> None:
    """Whatever answers are to come, and however many changes follow; at once where nothing is worked on."""
    limit = WriteLimit(NOW - 60).after_change(NOW).after_change(NOW + 0.09)
    assert limit.allows_at(answered_at) == NOW + ANSWER_SECONDS
    assert limit.allows_at(-math.inf) < NOW
    written = limit.after_write(NOW + 0.1)
    assert written.allows_at(answered_at) == min(max(NOW + 1.1, answered_at), NOW + 0.1 + BATCH_SECONDS)
    again = written.after_change(NOW + 0.2)
    assert again.allows_at(answered_at) == pytest.approx(NOW + 0.3)
    assert again.after_write(NOW + 0.3).after_change(NOW + 0.4).allows_at(answered_at) == NOW + 1.1


def test_a_change_that_led_to_no_write_is_over_after_a_second() -> None:
    """The next one waits for its answers again."""
    limit = WriteLimit().after_change(NOW)
    assert limit.after_change(NOW + 0.5) == limit
    assert limit.after_change(NOW + 60).allows_at(math.inf) == NOW + 60 + ANSWER_SECONDS


def test_answers_are_expected_until_a_moment_after_the_last_number_has_a_worker() -> None:
    """One that hangs does not hold up the others for longer; while any waits for a worker, nobody knows how long."""
    work, one, other = Work(), NumberState(number_facts(), Queued()), NumberState(signed(), Queued())
    assert work.answered_at == -math.inf
    work.add(one)
    work.add(other)
    assert work.answered_at == math.inf
    for number, since in ((one, NOW), (other, NOW + 1)):
        work.remove(number)
        number.phase = Running(since)
        work.add(number)
    assert work.answered_at == NOW + 1 + ANSWER_SECONDS
    work.remove(one)
    assert work.answered_at == NOW + 1 + ANSWER_SECONDS
    work.remove(other)
    assert work == Work(begun_at=NOW + 1)


PHASES = {
    "idle": (Idle(), False),
    "queued": (Queued(), True),
    "running": (Running(NOW), True),
    "awaiting a write": (AwaitingStatusWrite(), False),
}


@pytest.mark.parametrize(("phase", "unfinished"), PHASES.values(), ids=PHASES.keys())
def test_a_number_is_unfinished_until_its_answer_is_there(phase: Phase, *, unfinished: bool) -> None:
    """What it waits for otherwise may take hours, and is no reason to hold a status back."""
    assert NumberState(signed(), phase).is_unfinished == unfinished
    assert NumberState(number_facts(), phase).is_unfinished
    assert NumberState(replace(signed(), check_requested=True), phase).is_unfinished


def test_an_object_waits_for_its_numbers_only_while_they_are_called() -> None:
    """One without a key, or that is suspended, writes its status at once."""
    limit = WriteLimit().after_change(NOW)
    state = KeyState(resource(), work=Work(unfinished=1), write_limit=limit)
    assert state.write_at == limit.allows_at(-math.inf)
    state.key = public_key()
    assert state.write_at == limit.allows_at(math.inf)
    assert state.news_at(NUMBER, NOW) == NOW + ANSWER_SECONDS
    state.gate = RolloutGate(rotation=True, canary=NUMBER)
    assert state.news_at(NUMBER, NOW) == NOW


def test_a_rollout_is_looked_at_again_when_the_first_number_should_have_answered() -> None:
    """By the time that the gate names, or else some seconds after that number is due to be asked."""
    state = KeyState(resource(), key=public_key(), numbers={NUMBER: NumberState(signed(due=NOW + 60))})
    assert state.review_at(NOW) == math.inf
    state.gate = RolloutGate(rotation=True, canary=NUMBER)
    assert state.review_at(NOW) == NOW + 60 + CANARY_SECONDS
    assert state.review_at(NOW + 60 + CANARY_SECONDS) == math.inf
    state.gate = replace(state.gate, review_at=NOW + 5)
    assert state.review_at(NOW) == NOW + 5
    state.key = None
    assert state.review_at(NOW) == math.inf


@pytest.mark.parametrize(
    ("published_at", "time_in_row", "shown"),
    [
        (None, None, True),
        (NOW + 0.9, None, False),
        (NOW + 0.9, "2026-11-22T10:00:00Z", True),
        (NOW + 1.0, "2026-11-22T10:00:00Z", False),
        (NOW + 1.0, "2026-11-22T11:00:00Z", True),
    ],
    ids=["never published", "not shown", "shown to the second", "an earlier one is shown", "a later one is shown"],
)
def test_a_publish_is_recorded_once_the_status_shows_it(
    published_at: float | None, time_in_row: str | None, *, shown: bool
) -> None:
    """Whole seconds are all that a status holds."""
    row = {"phoneNumber": NUMBER, "api": "default", "reason": str(Reason.PENDING)}
    if time_in_row:
        row["lastPublishTime"] = time_in_row
    status = read_status({"observedGeneration": 1, "phoneNumbers": [row]})
    state = KeyState(replace(resource(), status=status))
    assert state.shows_publish(number_facts(published_at=published_at)) == shown
