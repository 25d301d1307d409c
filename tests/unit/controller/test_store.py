"""The board: what is known, whose news counts, and what the status shows."""

import math
from dataclasses import replace

import pytest

from bek_operator.controller.store import NumberKey, Store
from bek_operator.controller.workers import SLOW_SECONDS
from bek_operator.crd.reasons import Reason
from bek_operator.numbers.observation import Observation
from support.builders import NOW, NUMBER, observation, public_key, resource, signed, target

FLOWS = resource(resourceVersion="5")
REF = FLOWS.ref
OF_NUMBER = NumberKey(REF, NUMBER)


@pytest.fixture
def store() -> Store:
    """Return a board that knows one object."""
    store = Store()
    store.adopt(FLOWS)
    assert not store.begin_reading(REF)
    return store


def test_an_object_that_nothing_is_known_of_has_to_be_read() -> None:
    """Whether it was heard of or not."""
    store = Store()
    assert store.begin_reading(REF)
    assert store.hear(REF, "5")
    assert store.begin_reading(REF)
    assert store.begin_reading(REF)


def test_what_was_read_is_no_news(store: Store) -> None:
    """A hint of the version that is known is dropped; any other, or none, has the object read once."""
    assert not store.hear(REF, "5")
    assert not store.begin_reading(REF)
    for version in ("6", ""):
        assert store.hear(REF, version)
        assert store.begin_reading(REF)
        assert not store.begin_reading(REF)


def test_what_is_heard_during_a_read_stays_news_unless_it_was_read(store: Store) -> None:
    """A hint that overtakes an answer counts, but not when the answer holds what it was about."""
    store.hear(REF, "6")
    assert store.begin_reading(REF)
    store.hear(REF, "7")
    store.adopt(replace(FLOWS, version="6"))
    assert store.begin_reading(REF)
    store.hear(REF, "8")
    store.adopt(replace(FLOWS, version="8"))
    assert not store.begin_reading(REF)


def test_what_was_written_is_no_news_even_when_the_watch_is_faster(store: Store) -> None:
    """The echo of a write may come before or after its answer."""
    assert store.hear(REF, "6")
    store.wrote(REF, "6", {"observedGeneration": 1})
    assert not store.begin_reading(REF)
    assert not store.hear(REF, "6")
    assert store.hear(REF, "5")


def test_only_another_spec_or_request_has_the_secrets_read(store: Store) -> None:
    """A label, or somebody's write to the status, does not."""
    entry = store.adopt(FLOWS)
    entry.secrets_stale = False
    assert not store.adopt(replace(FLOWS, version="6")).secrets_stale
    assert store.adopt(replace(FLOWS, generation=2)).secrets_stale
    entry.secrets_stale = False
    assert store.adopt(replace(FLOWS, generation=2, request="now")).secrets_stale


def test_secrets_know_who_refers_to_them(store: Store) -> None:
    """Until the object names another one, or is gone; nothing is kept of it then."""
    entry = store.adopt(FLOWS)
    store.refer(REF, entry, {"a": "1", "b": ""})
    store.refer(REF, entry, {"b": "2", "c": ""})
    assert store.referrers(REF.namespace, "a") == frozenset()
    assert store.referrers(REF.namespace, "b") == {REF}
    assert store.referrers("elsewhere", "b") == frozenset()
    store.forget(REF)
    assert store.referrers(REF.namespace, "c") == frozenset()
    assert not store._referrers
    assert store.forget(REF) is None


def test_news_is_awaited_while_numbers_are_to_be_looked_at(store: Store) -> None:
    """Without end from one that waits for its turn, for a moment from one that is being worked on."""
    entry = store.adopt(FLOWS)
    store.put(REF, observation())
    # Nobody is called yet.
    assert entry.batch_until(NOW) == NOW
    entry.key = public_key()
    assert entry.batch_until(NOW) == math.inf
    entry.begun[NUMBER] = NOW - 100
    assert entry.batch_until(NOW) == NOW - 100 + SLOW_SECONDS
    store.put(REF, signed())
    assert entry.batch_until(NOW) == NOW
    entry.active.add(NUMBER)
    entry.awaiting_status_write.add(NUMBER)
    assert entry.batch_until(NOW) == NOW - 100 + SLOW_SECONDS
    store.drop(REF, NUMBER)
    assert entry.batch_until(NOW) == NOW
    assert not entry.awaiting_status_write


def test_one_write_a_second_is_allowed_and_one_besides(store: Store) -> None:
    """Whatever becomes of it; what was not used is not saved up beyond that."""
    entry = store.adopt(FLOWS)
    times = []
    for tenth in range(60):
        now = NOW + tenth / 10
        if (tenth < 25 or tenth > 50) and entry.allowed_at(now) >= 0.999:
            store.writes(REF, now)
            times.append(tenth)
    assert times == [0, 1, 10, 20, 51, 52]


def shown(seen: Observation) -> Observation:
    """Change an observation in a way that is easy to see."""
    return replace(seen, message="taken in", observed=True)


def test_what_was_learnt_for_the_present_target_is_taken_in(store: Store) -> None:
    """The usual case."""
    store.put(REF, observation())
    learnt = store.record(OF_NUMBER, target(), shown, NOW, published=False)
    assert learnt
    assert learnt.message == "taken in"
    assert store.observation(OF_NUMBER) == learnt


def test_what_was_learnt_for_another_target_is_dropped(store: Store) -> None:
    """The answer to a question that nobody asks any more changes nothing."""
    store.put(REF, signed(target(key=public_key("new"))))
    before = store.observation(OF_NUMBER)
    assert store.record(OF_NUMBER, target(), shown, NOW, published=False) == before


def test_a_publish_for_another_target_makes_what_was_read_worthless(store: Store) -> None:
    """The API holds something else than what was read: the number is looked at again, at once."""
    store.put(REF, signed(target(key=public_key("new"))))
    learnt = store.record(OF_NUMBER, target(), shown, NOW + 5, published=True)
    assert learnt
    assert learnt.message == ""
    assert not learnt.observed
    assert learnt.read_at is None
    assert learnt.due <= NOW + 5


def test_what_was_learnt_of_a_number_that_is_gone_is_dropped(store: Store) -> None:
    """The same for one whose object is gone."""
    assert store.record(OF_NUMBER, target(), shown, NOW, published=True) is None
    store.forget(REF)
    assert store.record(OF_NUMBER, target(), shown, NOW, published=False) is None
    assert store.get(REF) is None


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
    store: Store, published_at: float | None, time_in_row: str | None, *, recorded: bool
) -> None:
    """Whole seconds are all that a status holds."""
    row = {"phoneNumber": NUMBER, "api": "default", "reason": str(Reason.PENDING)}
    if time_in_row:
        row["lastPublishTime"] = time_in_row
    store.wrote(REF, "6", {"observedGeneration": 1, "phoneNumbers": [row]})
    assert store.is_recorded(OF_NUMBER, observation(published_at=published_at)) == recorded


def test_the_board_can_be_walked_while_it_changes(store: Store) -> None:
    """A sweep drops objects on its way."""
    for ref in store:
        store.forget(ref)
    assert list(store) == []
