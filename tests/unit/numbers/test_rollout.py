"""The rollout: who may be published to, going by what is known of all numbers of an object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import Rollout, SignatureStatus
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.carry_over import with_target
from bek_operator.numbers.rollout import CANARY_SECONDS, OPEN, RolloutGate, rollout_gate
from support.builders import BROKEN, BUSY, DENIED, NOW, REJECTED, checked, endpoint, facts, failure, public_key, target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bek_operator.numbers.facts import NumberFacts

A, B, C, D = "+15550000001", "+15550000002", "+15550000003", "+15550000004"
FIRST_NUMBER, ALL_AT_ONCE = Rollout(), Rollout(all_at_once=True)
VALID, MISMATCH = SignatureStatus.VALID, SignatureStatus.MISMATCH
OURS, FORMER = public_key().fingerprint, public_key("former").fingerprint
HOUR = 3600.0
TAKEN = failure(Reason.DUPLICATE_NUMBER, "is managed by another", retry=Retry.TERMINAL)


def old(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that holds another key as VALID, and was checked."""
    known = {"status": VALID, "fingerprint": FORMER, "read_at": None, **more}
    return checked(known.pop("target", None) or target(number), **known)


def new(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that was given the key a minute ago, and is VALID for it."""
    known = {"fingerprint": OURS, "published_at": NOW - 60, "publishes": 1, **more}
    return old(number, **known)


def not_observed(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that was not checked since the key was changed."""
    return old(number, observed=False, reason=Reason.PENDING, **more)


def none(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that holds no key."""
    return old(number, status=MISMATCH, fingerprint=None, **more)


def given_it(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that accepted the key and shows it, as MISMATCH."""
    known = {"fingerprint": OURS, "status": MISMATCH, "publishes": 1, "published_at": NOW - 60, "accepted": True}
    return old(number, **{**known, **more})


def lost(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that was signed with the key until somebody gave it another one."""
    return old(number, lost=Reason.FOREIGN_KEY, **more)


def failing(number: str, reason: Reason = Reason.UNREACHABLE, **more: Any) -> NumberFacts:
    """Return what is known of a number whose last check failed."""
    return old(number, reason=reason, failures=1, **more)


def refused(number: str, refusal: Failure = REJECTED, **more: Any) -> NumberFacts:
    """Return what is known of a number that did not take the key, for good unless told."""
    return old(number, **{"publishes": 1, "refusal": refusal, "refused_at": NOW, "refusals": 1, **more})


def held_back(number: str, **more: Any) -> NumberFacts:
    """Return what is known of a number that was published to too often, whatever the key."""
    return old(number, reason=Reason.KEY_CHANGES_TOO_OFTEN, needs_user=True, **more)


def judged(
    *known: NumberFacts,
    rollout: Rollout = FIRST_NUMBER,
    before: RolloutGate = OPEN,
    begun: Mapping[str, float] | None = None,
    now: float = NOW,
) -> RolloutGate:
    """Return the gate of an object with these numbers."""
    return rollout_gate(rollout, {seen.target.number: seen for seen in known}, before, begun or {}, now)


def admitted(gate: RolloutGate, *known: NumberFacts) -> list[str]:
    """Return the last digits of the numbers that may be published to."""
    return [seen.target.number[-1] for seen in known if gate.allows(seen)]


def led(number: str, seconds: float = 0.0) -> RolloutGate:
    """Return the gate of a number that has been going first for so long."""
    return RolloutGate(rotation=True, canary=number, since=NOW - seconds)


PAUSED = Rollout(pause=HOUR)
NAMED = Rollout(first=B, pause=HOUR)
FAILED_OVER_IT = failure(Reason.SERVICE_NOT_READY, retry=Retry.LIMITED, unknown=True)

TABLE: dict[str, tuple[Iterable[NumberFacts], Rollout, list[str]]] = {
    "a first publication waits for nobody": ((none(A), none(B)), FIRST_NUMBER, ["1", "2"]),
    "nor do numbers that were not checked at all": ((facts(target(A)),), FIRST_NUMBER, ["1"]),
    "nor does one that lost the signature of this very key": ((given_it(A), new(B)), FIRST_NUMBER, ["1", "2"]),
    "with AllAtOnce nobody waits": ((old(A), old(B)), ALL_AT_ONCE, ["1", "2"]),
    "a single number goes first": ((old(A),), FIRST_NUMBER, ["1"]),
    "the lowest number goes first": ((old(C), old(A), old(B)), FIRST_NUMBER, ["1"]),
    "though others hold no key at all": ((none(A), old(B), none(C)), FIRST_NUMBER, ["1"]),
    "whether it was checked or not": ((not_observed(A), old(B)), FIRST_NUMBER, ["1"]),
    "unless it never answered at all": ((facts(target(A)), old(B)), FIRST_NUMBER, ["2"]),
    "the named number goes first": ((old(A), old(B), old(C)), NAMED, ["2"]),
    "and no other though it fails": ((old(A), failing(B), old(C)), NAMED, ["2"]),
    "nor when it refuses the key": ((old(A), refused(B), old(C)), NAMED, ["2"]),
    "nor when a third holds the key": ((old(A), old(B), new(C), old(D)), NAMED, ["2"]),
    "one that is VALID lets all follow": ((new(A), old(B), none(C)), FIRST_NUMBER, ["1", "2", "3"]),
    "so does one that holds it by somebody else's doing": (
        (new(A, published_at=None, publishes=0), old(B)),
        PAUSED,
        ["1", "2"],
    ),
    "not before the pause is over": ((new(A), old(B)), PAUSED, []),
    "which ends": ((new(A, published_at=NOW - HOUR), old(B)), PAUSED, ["1", "2"]),
    "and is counted from the first publish": (
        (new(A), new(C, published_at=NOW - HOUR), old(B), old(D)),
        PAUSED,
        ["1", "3", "2", "4"],
    ),
    "that of the named number where there is one": (
        (new(A, published_at=0.0, publishes=0), new(B), old(C), old(D)),
        NAMED,
        [],
    ),
    "one that is out of reach now has proved the key before": (
        (failing(A, fingerprint=OURS, published_at=0.0), old(B)),
        FIRST_NUMBER,
        ["1", "2"],
    ),
    "one without a VALID key waits for no pause": ((new(A), old(B), none(C), given_it(D)), PAUSED, ["3", "4"]),
    "and one that lost the key gets it back": ((new(A), lost(B), old(C)), PAUSED, ["2"]),
    "also where it is being given it back": ((new(A), old(B, cause=Reason.FOREIGN_KEY), old(C)), PAUSED, ["2"]),
    "whoever else is stuck": ((refused(A), lost(B), old(C)), FIRST_NUMBER, ["1", "2"]),
    "or named and cannot be asked": ((lost(A), failing(B), old(C)), NAMED, ["1", "2"]),
    "which makes no rotation": ((new(A), lost(B)), NAMED, ["1", "2"]),
    "one that refused the key stops it": ((refused(A), old(B), old(C)), FIRST_NUMBER, ["1"]),
    "wherever it is in the order": ((old(A), refused(B), old(C)), FIRST_NUMBER, ["2"]),
    "nor does one that says no more than that it refuses": ((refused(A, DENIED), old(B)), FIRST_NUMBER, ["1"]),
    "or whose outcome nobody knows": ((refused(A, replace(BROKEN, unknown=True)), old(B)), FIRST_NUMBER, ["1"]),
    "or that failed over it": ((refused(A, FAILED_OVER_IT, publishes=0), old(B)), FIRST_NUMBER, ["1"]),
    "though it fails afterwards": ((refused(A, failures=3), old(B)), FIRST_NUMBER, ["1"]),
    "though its credentials are gone": (
        (facts(target(A, problem=failure()), refusal=REJECTED, publishes=1), old(B)),
        FIRST_NUMBER,
        ["1"],
    ),
    "though they are gone from one that stays MISMATCH": (
        (
            with_target(
                given_it(A, reason=Reason.SIGNATURE_MISMATCH),
                target(A, endpoint=None, address="a", problem=failure()),
                NOW,
            ),
            old(B),
        ),
        FIRST_NUMBER,
        ["1"],
    ),
    "one that was given too many keys of late is waited for": ((old(A), held_back(B), old(C)), FIRST_NUMBER, ["2"]),
    "and the lowest of them": ((old(A), held_back(C), held_back(B)), FIRST_NUMBER, ["2"]),
    "one that accepted the key is waited for": ((old(A), given_it(B), old(C)), FIRST_NUMBER, ["2"]),
    "though it still shows the former key": (
        (old(A), given_it(B, fingerprint=FORMER, status=VALID), old(C)),
        FIRST_NUMBER,
        ["2"],
    ),
    "one that stays MISMATCH stops it": ((given_it(A, reason=Reason.SIGNATURE_MISMATCH), old(B)), FIRST_NUMBER, ["1"]),
    "though it fails now and then": ((given_it(A, reason=Reason.UNREACHABLE, failures=2), old(B)), FIRST_NUMBER, ["1"]),
    "and though nobody knows how the publish ended": (
        (refused(A, BUSY, status=MISMATCH, fingerprint=OURS), old(B)),
        FIRST_NUMBER,
        ["1"],
    ),
    "one that fails hands over to the next": ((failing(A), old(B), old(C)), FIRST_NUMBER, ["2"]),
    "so does one that failed before a restart": ((old(A, reason=Reason.UNREACHABLE), old(B)), FIRST_NUMBER, ["2"]),
    "and one that the user must see to": ((failing(A, Reason.TOKEN_EXPIRED), old(B)), FIRST_NUMBER, ["2"]),
    "and one that did not take the key for a passing reason": ((refused(A, BUSY), old(B)), FIRST_NUMBER, ["2"]),
    "and one that the API knows a reason for": (
        (refused(A, replace(DENIED, code=10), publishes=0), old(B)),
        FIRST_NUMBER,
        ["2"],
    ),
    "and one that nobody knows a reason for": ((refused(A, BROKEN, publishes=0), old(B)), FIRST_NUMBER, ["2"]),
    "and one that asked to be left alone": ((not_observed(A, retry_at=NOW + 60), old(B)), FIRST_NUMBER, ["2"]),
    "and one that was given the key and fails since": (
        (given_it(A, reason=Reason.UNREACHABLE, fingerprint=FORMER, status=VALID, failures=1), old(B)),
        FIRST_NUMBER,
        ["2"],
    ),
    "and one that somebody else fights for": (
        (old(A, reason=Reason.CONTENDED, publishes=3, needs_user=True), old(B)),
        FIRST_NUMBER,
        ["2"],
    ),
    "and one that is another object's": (
        (facts(target(A, problem=TAKEN), fingerprint=OURS, status=MISMATCH, failures=1), old(B)),
        FIRST_NUMBER,
        ["2"],
    ),
    "where all fail the lowest goes on": ((failing(B), failing(A)), FIRST_NUMBER, ["1"]),
}


def test_whether_there_is_a_rotation_is_decided_for_all_numbers_at_once() -> None:
    """So that it need not be asked again for each of a thousand, when all may go at once."""
    known = {A: old(A), B: new(B)}
    assert rollout_gate(ALL_AT_ONCE, known, OPEN, {}, NOW) == RolloutGate(rotation=True)
    assert rollout_gate(ALL_AT_ONCE, {B: new(B)}, OPEN, {}, NOW) == OPEN


@pytest.mark.parametrize(("known", "rollout", "expected"), TABLE.values(), ids=TABLE.keys())
def test_who_may_be_published_to(known: Iterable[NumberFacts], rollout: Rollout, expected: list[str]) -> None:
    """A row for each rule, in sentences that go on from the one before."""
    assert admitted(judged(*known, rollout=rollout), *known) == expected


def test_a_number_that_is_asked_in_vain_hands_over_after_ten_seconds() -> None:
    """The gate is reviewed just then, and again for the next one, and for the first when all were silent."""
    known = [not_observed(number) for number in (A, B, C)]
    gate = judged(*known)
    assert (gate.canary, gate.review_at) == (A, NOW + CANARY_SECONDS)
    leaders = []
    for second in range(1, 36):
        gate = judged(*known, before=gate, begun={A: NOW, B: NOW, C: NOW}, now=NOW + second)
        leaders.append(gate.canary)
        assert gate.review_at == NOW + (second // 10 + 1) * CANARY_SECONDS
    assert leaders == [A] * 9 + [B] * 10 + [C] * 10 + [A] * 6


def test_a_number_that_was_asked_late_has_its_ten_seconds() -> None:
    """They begin when it is worked on, if that is after its turn came."""
    gate = judged(not_observed(A), old(B), before=led(A, seconds=50), begun={A: NOW - 3})
    assert (gate.canary, gate.review_at) == (A, NOW + 7)
    assert judged(not_observed(A), old(B), before=led(A, seconds=50), begun={A: NOW - 10}).canary == B


def test_a_number_that_nobody_can_ask_hands_over_to_another_lane_only() -> None:
    """A token whose calls are used up holds up the numbers that live elsewhere for ten seconds, and not its own."""
    shared = endpoint(B)
    one, other = (not_observed(number, target=target(number, endpoint=shared)) for number in (A, B))
    stays = judged(one, other, before=led(A, seconds=20))
    assert (stays.canary, stays.since, stays.review_at) == (A, NOW - 20, None)
    moves = judged(one, other, not_observed(C), before=led(A, seconds=20))
    assert (moves.canary, moves.since, moves.review_at) == (C, NOW, NOW + CANARY_SECONDS)


def test_a_number_that_has_answered_has_another_ten_seconds() -> None:
    """What follows its answer is a publish, which may hang as well."""
    gate = judged(old(A, read_at=NOW - 3), old(B), before=led(A, seconds=50))
    assert (gate.canary, gate.review_at) == (A, NOW + 7)
    assert judged(old(A, read_at=NOW - 10), old(B), before=led(A, seconds=50)).canary == B


def test_after_some_refusals_for_passing_reasons_the_next_number_waits() -> None:
    """Two have reasons of their own; from the third on all may have the same one, and are tried later and later."""
    known = [refused(A, BUSY), refused(B, BUSY), old(C), old(D)]
    gate = judged(*known, before=led(B))
    assert admitted(gate, *known) == ["3"]
    known[2] = refused(C, BUSY, refused_at=NOW + 1)
    gate = judged(*known, before=gate, now=NOW + 1)
    assert (admitted(gate, *known), gate.review_at) == ([], NOW + 3)
    assert admitted(gate, lost(D)) == ["4"]
    assert judged(*known, before=gate, now=NOW + 2) == gate
    gate = judged(*known, before=gate, now=NOW + 3)
    assert (admitted(gate, *known), gate.review_at) == (["4"], NOW + 3 + CANARY_SECONDS)
    known[3] = refused(D, BUSY, refused_at=NOW + 4, refusals=30)
    assert judged(*known, before=gate, now=NOW + 5).review_at == NOW + 64


def test_a_refusal_that_does_not_pass_delays_no_other_number() -> None:
    """It is about that number, which is not tried again before long."""
    gone = failure(Reason.NOT_REGISTERED, retry=Retry.TERMINAL)
    known = [refused(number, gone, publishes=0) for number in (A, B, C)]
    assert admitted(judged(*known, old(D)), *known, old(D)) == ["4"]


def test_where_all_fail_whoever_can_be_tried_first_goes_on() -> None:
    """However often that is asked: a gate that moved on each time would let all of them through."""
    known = [refused(A, BUSY), refused(B, BUSY, refused_at=NOW - 30), failing(C, due=NOW - 5)]
    gate = judged(*known, before=led(A), now=NOW + 10)
    assert admitted(gate, *known) == ["3"]
    assert judged(*known, before=gate, now=NOW + 11) == gate
    known[2] = failing(C, due=NOW + 300)
    assert admitted(judged(*known, before=gate, now=NOW + 12), *known) == ["2"]


def test_a_single_silent_number_stays_first() -> None:
    """Nobody could take its place, so the gate is not reviewed by the clock."""
    gate = judged(not_observed(A), failing(B), before=led(A, seconds=600))
    assert (gate.canary, gate.review_at) == (A, None)


def test_whoever_took_over_stays_first() -> None:
    """The key may be on its way there already, though the lowest number answers again."""
    assert judged(old(A), old(B, read_at=NOW), old(C), before=led(B, seconds=5)).canary == B
    assert judged(old(A), failing(B), old(C), before=led(B, seconds=5)).canary == C
    assert judged(old(A), old(B), failing(C), before=led(C, seconds=5)).canary == A


def test_what_waits_is_told_for_what_and_what_to_do() -> None:
    """The words name the number pending and the way out, or the time at which they go on."""
    undecided, trial = judged(old(A), old(B)), judged(refused(A), old(B))
    assert undecided.message.startswith("another number gets the new key first; ")
    assert A in trial.message
    assert "rollout.firstNumber" in trial.message
    assert judged(old(A), old(B), rollout=NAMED).message == trial.message.replace(A, B)
    paused = judged(new(A), old(B), rollout=PAUSED)
    assert (paused.closed, paused.review_at) == (True, NOW - 60 + HOUR)
    assert f"VALID on {A}" in paused.message
    assert "2026-11-22T10:59:00Z" in paused.message
    assert max(len(gate.message) for gate in (undecided, trial, paused)) <= 256


KINDS = st.sampled_from([old, new, not_observed, none, given_it, failing, refused])


@settings(max_examples=300)
@given(
    kinds=st.lists(KINDS, min_size=1, max_size=6),
    pause=st.sampled_from([0.0, HOUR]),
    before=st.none() | st.integers(0, 5),
    first=st.none() | st.integers(0, 5),
)
def test_in_a_rotation_one_number_goes_first(
    kinds: list[Any], pause: float, before: int | None, first: int | None
) -> None:
    """Whatever is known: before one is VALID exactly one is admitted, and one that has the key pending above all."""
    known = [kind(f"+1555000000{index}") for index, kind in enumerate(kinds)]
    named = None if first is None or first >= len(known) else known[first].target.number
    gate = judged(
        *known,
        rollout=Rollout(first=named, pause=pause),
        before=OPEN if before is None else led(f"+1555000000{before}", seconds=20),
    )
    allows = [seen for seen in known if gate.allows(seen)]
    valid = [seen for seen in known if seen.finding is Reason.SIGNED]
    if all(kind in (new, none, given_it) for kind in kinds):
        assert gate == OPEN
    elif named is not None and not any(seen.target.number == named for seen in valid):
        assert [seen.target.number for seen in allows] == [named]
    elif valid:
        assert allows == ([seen for seen in known if seen.reading.status is not VALID] if pause else known)
    else:
        [canary] = allows
        pending = [seen for seen in known if seen.publishes]
        assert not pending or canary in pending
