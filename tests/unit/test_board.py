"""The board: what is known, whose news counts, and what the status shows."""

import math
from dataclasses import replace

import pytest

from bek_operator.controller.board import Board, NumberRef
from bek_operator.controller.workers import SLOW_SECONDS
from bek_operator.model.observation import Observation
from bek_operator.model.reasons import Reason
from kit.builders import NOW, NUMBER, observation, public_key, resource, signed, target

FLOWS = resource(resourceVersion="5")
REF = FLOWS.ref
OF_NUMBER = NumberRef(REF, NUMBER)


@pytest.fixture
def board() -> Board:
    """Return a board that knows one object."""
    board = Board()
    board.adopt(FLOWS)
    assert not board.begin_reading(REF)
    return board


def test_an_object_that_nothing_is_known_of_has_to_be_read() -> None:
    """Whether it was heard of or not."""
    board = Board()
    assert board.begin_reading(REF)
    assert board.hear(REF, "5")
    assert board.begin_reading(REF)
    assert board.begin_reading(REF)


def test_what_was_read_is_no_news(board: Board) -> None:
    """A hint of the version that is known is dropped; any other, or none, has the object read once."""
    assert not board.hear(REF, "5")
    assert not board.begin_reading(REF)
    for version in ("6", ""):
        assert board.hear(REF, version)
        assert board.begin_reading(REF)
        assert not board.begin_reading(REF)


def test_what_is_heard_during_a_read_stays_news_unless_it_was_read(board: Board) -> None:
    """A hint that overtakes an answer counts, but not when the answer holds what it was about."""
    board.hear(REF, "6")
    assert board.begin_reading(REF)
    board.hear(REF, "7")
    board.adopt(replace(FLOWS, version="6"))
    assert board.begin_reading(REF)
    board.hear(REF, "8")
    board.adopt(replace(FLOWS, version="8"))
    assert not board.begin_reading(REF)


def test_what_was_written_is_no_news_even_when_the_watch_is_faster(board: Board) -> None:
    """The echo of a write may come before or after its answer."""
    assert board.hear(REF, "6")
    board.wrote(REF, "6", {"observedGeneration": 1})
    assert not board.begin_reading(REF)
    assert not board.hear(REF, "6")
    assert board.hear(REF, "5")


def test_only_another_spec_or_request_has_the_secrets_read(board: Board) -> None:
    """A label, or somebody's write to the status, does not."""
    entry = board.adopt(FLOWS)
    entry.secrets_stale = False
    assert not board.adopt(replace(FLOWS, version="6")).secrets_stale
    assert board.adopt(replace(FLOWS, generation=2)).secrets_stale
    entry.secrets_stale = False
    assert board.adopt(replace(FLOWS, generation=2, request="now")).secrets_stale


def test_secrets_know_who_refers_to_them(board: Board) -> None:
    """Until the object names another one, or is gone; nothing is kept of it then."""
    entry = board.adopt(FLOWS)
    board.refer(REF, entry, {"a": "1", "b": ""})
    board.refer(REF, entry, {"b": "2", "c": ""})
    assert board.referrers(REF.namespace, "a") == frozenset()
    assert board.referrers(REF.namespace, "b") == {REF}
    assert board.referrers("elsewhere", "b") == frozenset()
    board.forget(REF)
    assert board.referrers(REF.namespace, "c") == frozenset()
    assert not board._referrers
    assert board.forget(REF) is None


def test_news_is_awaited_while_numbers_are_to_be_looked_at(board: Board) -> None:
    """Without end from one that waits for its turn, for a moment from one that is being worked on."""
    entry = board.adopt(FLOWS)
    board.put(REF, observation())
    # Nobody is called yet.
    assert entry.awaits_news_until(NOW) == NOW
    entry.key = public_key()
    assert entry.awaits_news_until(NOW) == math.inf
    entry.begun[NUMBER] = NOW - 100
    assert entry.awaits_news_until(NOW) == NOW - 100 + SLOW_SECONDS
    board.put(REF, signed())
    assert entry.awaits_news_until(NOW) == NOW
    entry.active.add(NUMBER)
    entry.unrecorded.add(NUMBER)
    assert entry.awaits_news_until(NOW) == NOW - 100 + SLOW_SECONDS
    board.drop(REF, NUMBER)
    assert entry.awaits_news_until(NOW) == NOW
    assert not entry.unrecorded


def test_one_write_a_second_is_allowed_and_one_besides(board: Board) -> None:
    """Whatever becomes of it; what was not used is not saved up beyond that."""
    entry = board.adopt(FLOWS)
    times = []
    for tenth in range(60):
        now = NOW + tenth / 10
        if (tenth < 25 or tenth > 50) and entry.allowed_at(now) >= 0.999:
            board.writes(REF, now)
            times.append(tenth)
    assert times == [0, 1, 10, 20, 51, 52]


def shown(seen: Observation) -> Observation:
    """Change an observation in a way that is easy to see."""
    return replace(seen, message="taken in", tried=True)


def test_what_was_learnt_for_the_present_target_is_taken_in(board: Board) -> None:
    """The usual case."""
    board.put(REF, observation())
    learnt = board.learn(OF_NUMBER, target(), shown, NOW, published=False)
    assert learnt
    assert learnt.message == "taken in"
    assert board.observation(OF_NUMBER) == learnt


def test_what_was_learnt_for_another_target_is_dropped(board: Board) -> None:
    """The answer to a question that nobody asks any more changes nothing."""
    board.put(REF, signed(target(key=public_key("new"))))
    before = board.observation(OF_NUMBER)
    assert board.learn(OF_NUMBER, target(), shown, NOW, published=False) == before


def test_a_publish_for_another_target_makes_what_was_read_worthless(board: Board) -> None:
    """The API holds something else than what was read: the number is looked at again, at once."""
    board.put(REF, signed(target(key=public_key("new"))))
    learnt = board.learn(OF_NUMBER, target(), shown, NOW + 5, published=True)
    assert learnt
    assert learnt.message == ""
    assert not learnt.tried
    assert learnt.read_at is None
    assert learnt.due <= NOW + 5


def test_what_was_learnt_of_a_number_that_is_gone_is_dropped(board: Board) -> None:
    """The same for one whose object is gone."""
    assert board.learn(OF_NUMBER, target(), shown, NOW, published=True) is None
    board.forget(REF)
    assert board.learn(OF_NUMBER, target(), shown, NOW, published=False) is None
    assert board.get(REF) is None


@pytest.mark.parametrize(
    ("published_at", "time_in_row", "recorded"),
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
    board: Board, published_at: float | None, time_in_row: str | None, *, recorded: bool
) -> None:
    """Whole seconds are all that a status holds."""
    row = {"phoneNumber": NUMBER, "api": "default", "reason": str(Reason.PENDING)}
    if time_in_row:
        row["lastPublishTime"] = time_in_row
    board.wrote(REF, "6", {"observedGeneration": 1, "phoneNumbers": [row]})
    assert board.is_recorded(OF_NUMBER, observation(published_at=published_at)) == recorded


def test_the_board_can_be_walked_while_it_changes(board: Board) -> None:
    """A sweep drops objects on its way."""
    for ref in board:
        board.forget(ref)
    assert list(board) == []
