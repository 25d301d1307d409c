"""How an answer changes what is known of a number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry
from bek_operator.numbers.next_action import Publish, Read, next_action
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import (
    after_failure,
    after_publish,
    after_read,
    after_reuse,
    invalidated,
    paused,
    resumed,
)
from bek_operator.numbers.verdict import Verdict
from support.builders import (
    BROKEN,
    BUSY,
    DENIED,
    LOST_ANSWER,
    NOW,
    REJECTED,
    UNREACHABLE,
    endpoint,
    facts,
    failure,
    mismatch,
    public_key,
    signed,
    target,
    valid,
)

HOUR = 3600.0
HOLD = Verdict(Reason.WAITING_FOR_ROLLOUT, "not yet")
FOREIGN = valid(public_key("other"))
NEVER = target(publish=False)


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        pytest.param(valid(), Reason.SIGNED, id="our key, VALID"),
        pytest.param(mismatch(public_key()), Reason.STALE_SIGNATURE, id="our key, MISMATCH"),
        pytest.param(FOREIGN, Reason.FOREIGN_KEY, id="another key, VALID"),
        pytest.param(mismatch(public_key("other")), Reason.FOREIGN_KEY, id="another key, MISMATCH"),
        pytest.param(mismatch(), Reason.NOT_PUBLISHED, id="no key, MISMATCH"),
        pytest.param(Reading(status=None, fingerprint=None), Reason.NOT_PUBLISHED, id="nothing there"),
    ],
)
def test_a_read_tells_what_the_number_holds(reading: Reading, reason: Reason) -> None:
    """What was read is kept as it was said, and is named after its comparison with the target's key."""
    known = after_read(facts(failures=2, failing_since=1.0, limited=2, retry_at=NOW), reading, NOW, 0.5)
    assert (known.reason, known.finding) == (reason, reason)
    assert (known.reading.status, known.reading.fingerprint) == (reading.status, reading.fingerprint)
    assert (known.observed, known.read_at, known.failures, known.failing.limited, known.retry_at) == (
        True,
        NOW,
        0,
        0,
        0.0,
    )
    assert known.verdict.retry is (None if reason is Reason.SIGNED else Retry.TRANSIENT)
    assert known.due == (NOW + 600 if reason is Reason.SIGNED else NOW)
    assert bool(known.message) == (reason is not Reason.SIGNED)


def test_no_reading_contradicts_itself() -> None:
    """VALID without a key can't be read from anything, so that nothing is ever published over it."""
    with pytest.raises(ValueError, match="must have a key"):
        Reading(status=SignatureStatus.VALID, fingerprint=None)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 540.0), (0.5, 600.0), (1.0, 660.0)])
def test_checks_are_spread(jitter: float, seconds: float) -> None:
    """Two checks are an interval apart, a tenth more or less."""
    assert after_read(facts(), valid(), NOW, jitter).due == NOW + seconds


@pytest.mark.parametrize("reading", [FOREIGN, mismatch(), mismatch(public_key())], ids=["other", "none", "stale"])
def test_where_nothing_is_ever_published_the_user_must(reading: Reading) -> None:
    """With the policy Never a number without the key is the user's matter, and is checked as often as any."""
    known = after_read(facts(NEVER), reading, NOW, 0.5)
    assert (known.verdict.retry, known.due) == (Retry.TERMINAL, NOW + 600)


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (FOREIGN, Reason.CONTENDED),
        (mismatch(), Reason.SIGNATURE_MISMATCH),
        (mismatch(public_key()), Reason.SIGNATURE_MISMATCH),
    ],
    ids=["somebody else's key", "no key", "our key, never VALID"],
)
def test_while_the_back_off_holds_the_user_is_asked(reading: Reading, reason: Reason) -> None:
    """The reason tells a fight from a signature that does not hold; checks go on up to the next publish."""
    held_back = facts(publishes=3, published_at=NOW - HOUR + 100)
    known = after_read(held_back, reading, NOW, 0.5)
    assert (known.reason, known.verdict.retry, known.due) == (reason, Retry.TERMINAL, NOW + 100)
    assert "bek.dev/requested-at" in known.message
    assert after_read(held_back, reading, NOW + 100, 0.5).reason is known.finding


MANY = tuple(NOW - 600 + 60 * minute for minute in range(6))


@pytest.mark.parametrize("reading", [FOREIGN, mismatch(), mismatch(public_key())], ids=["other", "none", "stale"])
def test_a_key_that_changes_too_often_is_its_secrets_fault(reading: Reading) -> None:
    """Whoever writes the Secret is to be found, unless this very key was published too often."""
    held = facts(publishes=1, published_at=MANY[-1], recent=MANY)
    known = after_read(held, reading, NOW, 0.5)
    assert (known.reason, known.verdict.retry) == (Reason.KEY_CHANGES_TOO_OFTEN, Retry.TERMINAL)
    assert known.due == NOW + 600
    assert "what writes the Secret" in known.message
    assert "bek.dev/requested-at" in known.message
    often = facts(publishes=3, published_at=MANY[-1], recent=MANY)
    assert after_read(often, reading, NOW, 0.5).reason in {Reason.CONTENDED, Reason.SIGNATURE_MISMATCH}
    assert after_read(held, reading, MANY[-1] + HOUR, 0.5).reason is known.finding


def test_the_last_answer_tells_what_a_new_key_meets() -> None:
    """It is as good as another, and stays as old as it is."""
    held = facts(read_at=NOW - 60, due=NOW + 500, recent=MANY, reason=Reason.TOKEN_EXPIRED)
    known = after_reuse(replace(held, reading=FOREIGN), NOW)
    assert (known.reason, known.observed, known.read_at) == (Reason.KEY_CHANGES_TOO_OFTEN, True, NOW - 60)
    known = after_reuse(replace(held, reading=valid()), NOW)
    assert (known.reason, known.message, known.verdict.retry) == (Reason.SIGNED, "", None)
    assert (known.read_at, known.due, known.published.stable) == (NOW - 60, NOW + 500, False)


def test_a_signature_has_lasted_as_long_as_it_was_seen_to() -> None:
    """An answer that is used again ends no back-off that it did not end when it came."""
    one = signed(published_at=NOW - HOUR - 30, read_at=NOW - 60)
    assert not after_reuse(one, NOW).published.stable
    assert after_reuse(replace(one, read_at=NOW), NOW).published.stable


@pytest.mark.parametrize(
    ("answer", "refusals", "counts"),
    [
        pytest.param(Accepted(), 0, True, id="accepted"),
        pytest.param(LOST_ANSWER, 1, True, id="perhaps"),
        pytest.param(REJECTED, 1, True, id="refused for the key"),
        pytest.param(BUSY, 0, True, id="turned away"),
        pytest.param(BUSY, 1, False, id="turned away again"),
    ],
)
def test_publishes_of_any_key_count(answer: Accepted | Failure, refusals: int, *, counts: bool) -> None:
    """Also the first that is turned away: a key that keeps changing would otherwise be offered each time."""
    before = facts(recent=(NOW - 60,), refusal=BUSY if refusals else None, refusals=refusals)
    assert after_publish(before, answer, NOW).published.recent == ((NOW - 60, NOW) if counts else (NOW - 60,))


def test_a_fight_is_told_as_soon_as_the_back_off_holds() -> None:
    """A key that was VALID and is overwritten within five minutes is not waited for."""
    held_back = facts(publishes=3, published_at=NOW - 60)
    assert after_read(after_read(held_back, valid(), NOW - 50, 0.5), FOREIGN, NOW, 0.5).reason is Reason.CONTENDED


@pytest.mark.parametrize(("waited", "pause"), [(0, 1), (1, 1), (16, 16), (240, 60), (290, 10)])
def test_an_accepted_key_is_looked_at_ever_more_slowly_for_five_minutes(waited: float, pause: float) -> None:
    """The pause grows with the time that has passed, up to a minute, and never beyond the end of the five."""
    known = after_read(facts(publishes=1, published_at=NOW - waited, accepted=True), mismatch(), NOW, 0.5)
    assert (known.reason, known.verdict.retry, known.due) == (Reason.PENDING, None, NOW + pause)


def test_an_accepted_key_that_becomes_valid_is_settled() -> None:
    """Once VALID, a lost signature is repaired at once, however young the publish."""
    pending = facts(publishes=1, published_at=NOW - 60, accepted=True)
    known = after_read(after_read(pending, valid(), NOW, 0.5), mismatch(), NOW + 10, 0.5)
    assert known.reason is Reason.NOT_PUBLISHED


@pytest.mark.parametrize(
    ("age", "publishes"), [(HOUR - 1, 3), (HOUR, 3), (HOUR + 1, 0)], ids=["within the hour", "at the hour", "after it"]
)
def test_a_number_that_was_signed_for_an_hour_starts_counting_anew(age: float, publishes: int) -> None:
    """The publish back-off counts anew for a number that was seen to be Signed over an hour after our last publish."""
    seen = after_read(signed(publishes=3, published_at=NOW - age), valid(), NOW, 0.5)
    known = after_read(seen, FOREIGN, NOW, 0.5)
    assert (known.publishes, known.published.stable) == (publishes, False)


@pytest.mark.parametrize("publish", [True, False], ids=["it is ours to repair", "policy Never when it was found"])
def test_the_count_starts_anew_once(*, publish: bool) -> None:
    """A publish after it counts, though the API may show its key only later."""
    lasting = after_read(signed(publishes=3, published_at=NOW - 2 * HOUR), valid(), NOW, 0.5)
    lost = after_read(replace(lasting, target=target(publish=publish)), FOREIGN, NOW, 0.5)
    published = after_publish(replace(lost, target=target()), Accepted(), NOW)
    assert after_read(published, FOREIGN, NOW + 1, 0.5).publishes == 1


def test_a_number_that_was_not_looked_at_after_the_hour_goes_on_counting() -> None:
    """Where there is an hour between two checks, a rival may have had the number for nearly all of it."""
    known = after_read(signed(publishes=3, published_at=NOW - 50 * HOUR), FOREIGN, NOW, 0.5)
    assert known.publishes == 3


def test_a_number_that_was_not_signed_goes_on_counting() -> None:
    """Time alone changes nothing."""
    known = after_read(facts(publishes=3, published_at=NOW - 50 * HOUR), FOREIGN, NOW, 0.5)
    assert known.publishes == 3


def test_an_accepted_publish_is_counted_and_read_back() -> None:
    """The next call is a read, and the event can tell why it was published."""
    before = after_read(facts(publishes=1, published_at=1.0, refusal=BUSY, refusals=3), FOREIGN, NOW, 0.5)
    known = after_publish(before, Accepted(), NOW)
    assert (known.publishes, known.published_at, known.published.accepted, known.cause) == (
        2,
        NOW,
        True,
        Reason.PENDING,
    )
    assert (known.refusal, known.published.refusals, known.read_at, known.due, known.observed) == (
        None,
        0,
        None,
        NOW,
        True,
    )


def test_a_loss_is_remembered_until_it_is_made_good() -> None:
    """What a signed number was found to lack is the cause that its next accepted publish tells of."""
    lost = after_read(signed(), mismatch(public_key()), NOW, 0.5)
    refused = after_publish(lost, BUSY, NOW)
    repaired = after_publish(refused, Accepted(), NOW)
    assert (lost.published.lost, refused.published.lost, refused.cause) == (
        Reason.STALE_SIGNATURE,
        Reason.STALE_SIGNATURE,
        None,
    )
    assert (repaired.published.lost, repaired.cause) == (None, Reason.STALE_SIGNATURE)


@pytest.mark.parametrize("passing", [BUSY, LOST_ANSWER], ids=["busy", "no answer"])
def test_a_key_that_was_refused_stays_so_after_a_passing_fault(passing: Failure) -> None:
    """Otherwise the next number would get it, as the first one that can be reached."""
    again = after_publish(after_publish(signed(), REJECTED, NOW), passing, NOW + 600)
    assert again.suggests_bad_key
    assert again.published.refusals == 2
    assert after_publish(again, Accepted(), NOW + 1200).published.refusal is None


@pytest.mark.parametrize(
    ("answer", "counts", "seconds", "retry"),
    [
        pytest.param(BUSY, False, 30, Retry.TRANSIENT, id="too many requests"),
        pytest.param(failure(pace=Pace.SOON), False, 2, Retry.TRANSIENT, id="not the master"),
        pytest.param(failure(), False, 2, Retry.TRANSIENT, id="never sent"),
        pytest.param(BROKEN, False, 2, Retry.LIMITED, id="refused with an error that nobody knows"),
        pytest.param(replace(BROKEN, unknown=True), True, 2, Retry.LIMITED, id="not understood, outcome unknown"),
        pytest.param(DENIED, False, 600, Retry.TERMINAL, id="not allowed to"),
        pytest.param(REJECTED, True, 600, Retry.TERMINAL, id="the key is refused"),
        pytest.param(LOST_ANSWER, True, 2, Retry.TRANSIENT, id="outcome unknown: read soon"),
    ],
)
def test_a_publish_that_is_not_accepted_shows_why(
    answer: Failure, *, counts: bool, seconds: float, retry: Retry | None
) -> None:
    """It counts for the back-off if the key may have arrived, or is what was refused; a read comes before the next."""
    before = after_read(facts(cause=Reason.FOREIGN_KEY), mismatch(), NOW, 0.5)
    known = after_publish(before, answer, NOW)
    assert (known.reason, known.message, known.verdict.retry) == (answer.reason, answer.message, retry)
    assert (known.publishes, known.published_at) == ((1, NOW) if counts else (0, None))
    assert (known.read_at, known.due, known.published.accepted, known.cause) == (
        None,
        NOW + seconds,
        False,
        None if counts else Reason.FOREIGN_KEY,
    )


def test_a_refusal_stays_until_its_time_is_over() -> None:
    """Reads in between find the key missing as before, and say what the last publish met with."""
    refused = after_publish(after_read(facts(), mismatch(), NOW, 0.5), REJECTED, NOW)
    known = after_read(refused, mismatch(), NOW + 300, 0.5)
    assert (known.reason, known.message, known.verdict.retry) == (REJECTED.reason, REJECTED.message, Retry.TERMINAL)
    assert after_read(known, mismatch(), NOW + 600, 0.5).reason is Reason.NOT_PUBLISHED
    assert after_read(known, valid(), NOW + 300, 0.5).refusal is None


@pytest.mark.parametrize(("refusals", "needs_user"), [(3, False), (4, True)])
def test_a_publish_that_is_turned_away_too_often_needs_the_user(refusals: int, *, needs_user: bool) -> None:
    """What is not sure to pass is tried five times before it says so, with the same reason."""
    known = after_publish(facts(refusals=refusals), BROKEN, NOW)
    assert (known.verdict.needs_user, known.reason) == (needs_user, BROKEN.reason)


@pytest.mark.parametrize(
    ("check_requested", "until"),
    [(None, NOW), (30.0, NOW + 30), (7200.0, NOW + HOUR), (0.0, NOW)],
    ids=["no", "yes", "much", "none"],
)
def test_what_a_server_asks_for_is_bounded_by_an_hour(check_requested: float | None, until: float) -> None:
    """Reads and publishes alike note how long to leave the server alone."""
    answer = failure(Reason.RATE_LIMITED, retry_after=check_requested)
    assert after_failure(facts(), answer, NOW, 0.5).retry_at == until
    assert after_publish(facts(), answer, NOW).retry_at == until


@pytest.mark.parametrize(
    ("answer", "tries", "seconds"),
    [
        pytest.param(UNREACHABLE, 1, 2, id="soon at first"),
        pytest.param(UNREACHABLE, 4, 16, id="twice as long each time"),
        pytest.param(UNREACHABLE, 30, 300, id="up to five minutes"),
        pytest.param(failure(pace=Pace.SOON), 30, 30, id="or half a minute, where it is soon over"),
        pytest.param(BUSY, 1, 30, id="slower where the server is to be spared"),
        pytest.param(BUSY, 30, 1800, id="up to half an hour"),
        pytest.param(DENIED, 1, 600, id="at the next check where the user must act"),
    ],
)
def test_a_failed_check_is_repeated_at_its_pace(answer: Failure, tries: int, seconds: float) -> None:
    """How soon a failed check is worth repeating depends on the failure."""
    known = after_failure(facts(failures=tries - 1, failing_since=NOW), answer, NOW, 0.5)
    assert known.due == NOW + seconds
    assert (known.observed, known.read_at) == (True, None)


@pytest.mark.parametrize(("answer", "seconds"), [(UNREACHABLE, 10), (BUSY, 1800)], ids=["as often", "yet slower"])
def test_a_short_interval_speeds_up_what_need_not_be_spared(answer: Failure, seconds: float) -> None:
    """A failing number is checked as often as any, unless its server asked for fewer requests."""
    known = after_failure(facts(target(interval=10.0), failures=30), answer, NOW, 0.5)
    assert known.due == NOW + seconds


def test_a_signed_number_does_not_wait_for_the_user() -> None:
    """What only the user can mend is told at once."""
    known = after_failure(signed(), DENIED, NOW, 0.5)
    assert (known.reason, known.verdict.retry) == (Reason.ACCESS_DENIED, Retry.TERMINAL)


def test_a_change_ends_the_failure_threshold() -> None:
    """A number that was signed before something changed is not claimed to be so while it cannot be checked."""
    known = after_failure(signed(observed=False), UNREACHABLE, NOW, 0.5)
    assert (known.reason, known.observed) == (Reason.UNREACHABLE, True)


def test_whoever_asks_for_a_check_is_told_at_once() -> None:
    """A check that the user asked for is not kept quiet about, even where it fails for a passing reason."""
    known = after_failure(signed(check_requested=True), UNREACHABLE, NOW, 0.5)
    assert (known.reason, known.observed, known.check_requested) == (Reason.UNREACHABLE, True, False)


@pytest.mark.parametrize(("bounded", "needs_user"), [(0, False), (3, False), (4, True)])
def test_a_check_that_is_not_sure_to_pass_needs_the_user_in_the_end(bounded: int, *, needs_user: bool) -> None:
    """The fifth such failure in a row asks for the user, with the same reason."""
    known = after_failure(facts(failures=bounded, limited=bounded, failing_since=NOW), BROKEN, NOW, 0.5)
    assert (known.verdict.needs_user, known.reason) == (needs_user, BROKEN.reason)


def test_whatever_comes_of_a_look_it_was_taken() -> None:
    """A read, a failed one and a publish tell of a target that was not tried before; a publish meets no request."""
    check_requested = facts(check_requested=True, needs_user=True)
    for known, is_pending in (
        (after_read(check_requested, valid(), NOW, 0.5), False),
        (after_failure(check_requested, UNREACHABLE, NOW, 0.5), False),
        (after_publish(check_requested, Accepted(), NOW), True),
        (after_publish(check_requested, BUSY, NOW), True),
    ):
        assert (known.observed, known.check_requested) == (True, is_pending)
    assert after_read(check_requested, valid(), NOW, 0.5).verdict.retry is None
    assert after_failure(check_requested, UNREACHABLE, NOW, 0.5).verdict.retry is Retry.TRANSIENT


def test_only_failures_of_that_kind_count_towards_the_user() -> None:
    """A pod that could not be reached for long, and then starts up, is given the same number of tries."""
    known = facts()
    for answer in [UNREACHABLE] * 9 + [BROKEN]:
        known = after_failure(known, answer, NOW, 0.5)
    assert (known.failures, known.failing.limited, known.verdict.needs_user) == (10, 1, False)


def test_a_number_that_waits_for_the_rollout_is_checked_as_often_as_any() -> None:
    """It is not due at once again, which would keep a worker busy, and can be published to when its turn comes."""
    known = paused(after_read(facts(), FOREIGN, NOW, 0.5), HOLD)
    assert (known.reason, known.verdict.retry, known.due) == (Reason.WAITING_FOR_ROLLOUT, None, NOW + 600)
    assert next_action(known, NOW + 599, recorded=True) == Publish()
    assert next_action(known, NOW + 600, recorded=True) == Read()
    assert paused(signed(due=NOW + 700), HOLD).due == NOW + 700


def test_a_number_that_the_rollout_reaches_is_queued_and_an_old_read_repeated() -> None:
    """One that goes first says nothing new before it was published to; what fails goes on saying so."""
    waiting = paused(after_read(facts(target(interval=7200.0)), FOREIGN, NOW, 0.5), HOLD)
    queued = resumed(waiting, spreading=True)
    assert (queued.reason, queued.message.startswith("queued"), queued.due) == (Reason.PENDING, True, NOW + 600)
    assert (resumed(waiting, spreading=False).reason, waiting.due) == (Reason.WAITING_FOR_ROLLOUT, NOW + 7200)
    failing = after_failure(waiting, DENIED, NOW, 0.5)
    assert resumed(failing, spreading=True).reason is Reason.ACCESS_DENIED


def test_a_publish_for_another_target_makes_what_was_read_worthless() -> None:
    """Whatever was read before, the number is read again, and soon."""
    known = invalidated(signed(publishes=1, published_at=1.0), target(key=public_key("other")), NOW)
    assert (known.read_at, known.due, known.observed) == (None, NOW, False)
    assert (known.publishes, known.published_at) == (1, NOW)


@pytest.mark.parametrize(
    ("published", "publishes", "published_at"),
    [
        pytest.param(target(interval=60.0), 2, NOW, id="the same key to the same address"),
        pytest.param(target(endpoint=endpoint("+15550009999")), 1, 1.0, id="the same key elsewhere"),
    ],
)
def test_a_publish_for_another_target_may_count_for_the_back_off(
    published: Target, publishes: int, published_at: float
) -> None:
    """It does where it put the same key in the same place."""
    known = invalidated(signed(publishes=1, published_at=1.0), published, NOW)
    assert (known.publishes, known.published_at) == (publishes, published_at)
    assert known.published.recent == ((NOW,) if published_at == NOW else ())
