"""The store: what is known, whose news counts, and what follows from a write to it."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from bek_operator import controller
from bek_operator.controller.state import (
    AwaitingStatusWrite,
    EndpointState,
    Idle,
    KeyState,
    NumberKey,
    NumberState,
    Queued,
    Running,
)
from bek_operator.controller.store import Store
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.rollout import OPEN
from bek_operator.status.compute import Blocked
from support.builders import NOW, NUMBER, OTHER_NUMBER, public_key, resource, signed, spec_body, target, verdict_of
from support.builders import facts as number_facts

FLOWS = resource(resourceVersion="5")
REF = FLOWS.ref
OF_NUMBER = NumberKey(REF, NUMBER)


@pytest.fixture
def store() -> Store:
    """Return a store that knows one object."""
    store = Store()
    store.put(FLOWS)
    return store


def state_of(store: Store) -> KeyState:
    """Return the state of its object."""
    state = store.get(REF)
    assert state
    return state


def is_stale(store: Store) -> bool:
    """Return whether the Secrets of its object have to be read again."""
    return state_of(store).secrets.is_due(NOW)


def set_facts(store: Store, *facts: NumberFacts) -> None:
    """Set what is known of its object's numbers."""
    store.set_targets(REF, public_key(), facts, NOW)


def read_secrets(store: Store, **versions: str) -> None:
    """Have the object's Secrets read, all of them there."""
    spec = spec_body(keySecretRef={"name": next(iter(versions))})
    store.put(resource(spec, resourceVersion="5", generation=len(versions)))
    with store.reading_secrets(REF):
        store.secrets_read(REF, state_of(store).secrets.after_read(versions, NOW))


def test_only_another_spec_or_request_has_the_secrets_read(store: Store) -> None:
    """A label, or somebody's write to the status, does not; an error while they are read does."""
    changes = [
        replace(FLOWS, version="6"),
        replace(FLOWS, generation=2, version="7"),
        replace(FLOWS, generation=2, request="now"),
    ]
    stale = []
    for change in changes:
        with store.reading_secrets(REF):
            pass
        store.put(change)
        stale.append(is_stale(store))
    assert stale == [False, True, True]
    with pytest.raises(RuntimeError), store.reading_secrets(REF):
        raise RuntimeError("not foreseen")
    assert is_stale(store)


def test_a_read_that_began_before_the_secrets_expired_does_not_do(store: Store) -> None:
    """Each object knows from when on a read tells what it needs; an error, or a missing Secret, asks for a new one."""
    with store.reading_secrets(REF) as first:
        assert first <= store.sequence
        store.expire_secrets(REF)
        assert store.sequence > first
    assert is_stale(store)
    with store.reading_secrets(REF) as second:
        assert second == store.sequence
        store.secrets_read(REF, replace(state_of(store).secrets, missing_since=NOW))
    assert is_stale(store)
    with store.reading_secrets(REF) as third:
        assert third > second
    # It is due by time alone.
    with store.reading_secrets(REF) as fourth:
        assert fourth > third


def test_a_changed_secret_is_news_to_the_objects_that_name_it(store: Store) -> None:
    """Unless it is the version that was read; an object that names another one, or is gone, is left alone."""
    read_secrets(store, a="1")
    assert store.secret_changed(REF.namespace, "a", "1") == []
    assert store.secret_changed("elsewhere", "a", "2") == []
    for version in ("2", ""):
        assert store.secret_changed(REF.namespace, "a", version) == [REF]
    assert is_stale(store)
    read_secrets(store, b="2", c="")
    assert store.secret_changed(REF.namespace, "a", "") == []
    assert store.secret_changed(REF.namespace, "c", "3") == [REF]
    store.forget(REF)
    assert store.secret_changed(REF.namespace, "c", "4") == []
    assert not store._secrets._naming
    assert store.forget(REF) == ([], [])


def test_a_number_goes_through_its_phases(store: Store) -> None:
    """And the object knows at each how many are unfinished."""
    set_facts(store, signed(due=NOW + 60), number_facts(target(OTHER_NUMBER)))
    state, other = state_of(store), NumberKey(REF, OTHER_NUMBER)
    phases = {number: one.phase for number, one in state.numbers.items()}
    assert (phases, state.work.unfinished) == ({NUMBER: Idle(), OTHER_NUMBER: Queued()}, 1)
    store.start(OF_NUMBER, NOW)
    assert (state.numbers[NUMBER].phase, state.work.unfinished) == (Running(NOW), 2)
    assert not store.stop(OF_NUMBER, AwaitingStatusWrite())
    assert not store.stop(OF_NUMBER, Idle())
    assert (state.numbers[NUMBER].phase, state.work.unfinished) == (AwaitingStatusWrite(), 1)
    assert store.release(REF) == [NUMBER]
    assert (state.numbers[NUMBER].phase, state.work.unfinished) == (Queued(), 2)
    store.start(other, NOW)
    store.record(other, target(OTHER_NUMBER), shown, NOW)
    assert store.stop(other, Idle())
    assert state.work.unfinished == 1


def test_what_is_under_way_is_interrupted_by_another_target(store: Store) -> None:
    """The number waits for its turn again; the same target leaves it where it is."""
    set_facts(store, number_facts())
    store.start(OF_NUMBER, NOW)
    set_facts(store, number_facts())
    assert state_of(store).numbers[NUMBER].phase == Running(NOW)
    set_facts(store, number_facts(target(interval=60.0)))
    assert state_of(store).numbers[NUMBER].phase == Queued()
    assert not store.stop(OF_NUMBER, Idle())
    assert state_of(store).numbers[NUMBER].phase == Queued()


def test_without_a_key_nothing_is_worked_on(store: Store) -> None:
    """What is known of the numbers stays."""
    set_facts(store, signed())
    store.block(REF, Blocked(ObjectReason.INVALID_KEY, "not a key"))
    state = state_of(store)
    assert (state.is_at_rest, state.inactive, state.numbers[NUMBER].phase) == (True, False, Idle())
    assert state.facts == {NUMBER: signed()}
    assert (store.advance_rollout(REF, NOW), store.release(REF)) == ([], [])


def test_a_rollout_reaches_the_numbers_that_waited_for_it(store: Store) -> None:
    """One that holds another key as VALID waits until another number has verified the new one."""
    ours, theirs = public_key(), public_key("old")
    one = signed(fingerprint=theirs.fingerprint, reason=Reason.FOREIGN_KEY)
    waiting = signed(target(OTHER_NUMBER), fingerprint=theirs.fingerprint, reason=Reason.WAITING_FOR_ROLLOUT)
    set_facts(store, one, waiting)
    assert store.advance_rollout(REF, NOW) == []
    assert store.allows(OF_NUMBER, one, NOW)
    other = NumberKey(REF, OTHER_NUMBER)
    assert not store.allows(other, waiting, NOW)
    facts = store.pause(other, waiting)
    assert facts.reason is Reason.WAITING_FOR_ROLLOUT
    store.record(OF_NUMBER, target(), lambda _: signed(fingerprint=ours.fingerprint), NOW)
    assert store.advance_rollout(REF, NOW) == [OTHER_NUMBER]
    assert state_of(store).numbers[OTHER_NUMBER].phase == Queued()
    assert store.advance_rollout(REF, NOW) == []
    set_facts(store, signed(target(key=theirs)))
    assert state_of(store).gate == OPEN


def shown(seen: NumberFacts) -> NumberFacts:
    """Change an observation in a way that is easy to see."""
    return replace(seen, carried=verdict_of(message="taken in"), observed=True)


def test_what_was_learnt_for_the_present_target_is_taken_in(store: Store) -> None:
    """The usual case."""
    set_facts(store, number_facts())
    store.record(OF_NUMBER, target(), shown, NOW)
    learnt = store.facts(OF_NUMBER)
    assert learnt
    assert learnt.message == "taken in"


def test_what_was_learnt_for_another_target_is_dropped(store: Store) -> None:
    """The answer to a question that nobody asks any more changes nothing."""
    set_facts(store, signed(target(key=public_key("new"))))
    before = store.facts(OF_NUMBER)
    store.record(OF_NUMBER, target(), shown, NOW)
    assert store.facts(OF_NUMBER) == before


def test_a_publish_for_another_target_makes_what_was_read_worthless(store: Store) -> None:
    """The API holds something else than what was read: the number is looked at again, at once."""
    set_facts(store, signed(target(key=public_key("new"))))
    store.record(OF_NUMBER, target(), shown, NOW + 5, published=True)
    learnt = store.facts(OF_NUMBER)
    assert learnt
    assert learnt.message == ""
    assert not learnt.observed
    assert learnt.read_at is None
    assert learnt.due <= NOW + 5


def test_what_was_learnt_of_a_number_that_is_gone_is_dropped(store: Store) -> None:
    """The same for one whose object is gone."""
    for _ in range(2):
        store.record(OF_NUMBER, target(), shown, NOW, published=True)
        assert store.start(OF_NUMBER, NOW) is None
        assert not store.stop(OF_NUMBER, Idle())
        store.forget(REF)
    assert store.get(REF) is None


def test_the_store_can_be_walked_while_it_changes(store: Store) -> None:
    """A resync drops objects on its way."""
    for ref in store:
        store.forget(ref)
    assert list(store) == []


def test_nobody_else_writes_to_a_state() -> None:
    """Whoever holds one only reads: no other module of the operator sets one of its fields."""
    fields = {*KeyState.__slots__, *NumberState.__slots__, *EndpointState.__slots__}
    root = Path(controller.__file__).parent
    nodes = [
        (path.name, node)
        for path in root.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    assert {name for name, node in nodes if node.attr in fields} == {"store.py", "endpoint_store.py"}
