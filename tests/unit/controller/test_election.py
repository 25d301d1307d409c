"""The rules of leader election, as values."""

from bek_operator.cluster.lease import LeaseRecord
from bek_operator.controller.election import LEASE_SECONDS, RENEW_SECONDS, Acquire, Election, Lost, Renew, Wait

US, THEM = "us_1", "them_2"
NEW = Election(identity=US)


def record(holder: str = THEM, *, renewed: str = "10:00", seconds: int = 15, transitions: int = 4) -> LeaseRecord:
    """Return what a Lease says."""
    return LeaseRecord(holder=holder, seconds=seconds, acquired="09:00", renewed=renewed, transitions=transitions)


def leader(started: float = 100.0) -> Election:
    """Return what a leader knows that has renewed its Lease at an instant."""
    return NEW.wrote(record(US), started)


def test_a_lease_that_nobody_has_is_acquired_at_once() -> None:
    """There is none, it was released, or it is ours though we did not hear that our write succeeded."""
    assert NEW.next_step(5.0) == Acquire()
    assert NEW.saw(record(""), 5.0).next_step(5.0) == Acquire()
    assert NEW.saw(record(US), 5.0).next_step(5.0) == Acquire()


def test_a_lease_expires_when_its_record_has_not_changed_for_as_long_as_it_says() -> None:
    """By the clock of who looks at it; what the times in it are does not matter."""
    seen = NEW.saw(record(), 5.0).saw(record(), 9.0)
    assert seen.next_step(19.9) == Wait(20.0)
    assert seen.next_step(20.0) == Acquire()
    assert seen.saw(record(renewed="08:00"), 19.9).next_step(20.0) == Wait(34.9)


def test_a_lease_without_a_duration_is_valid_as_long_as_ours() -> None:
    """The field is optional."""
    assert NEW.saw(record(seconds=0), 5.0).next_step(5.0) == Wait(5.0 + LEASE_SECONDS)


def test_a_deleted_lease_is_waited_for_like_one_that_is_not_renewed() -> None:
    """Its holder may not know yet."""
    gone = NEW.saw(record(), 5.0).saw(None, 6.0)
    assert gone.next_step(19.9) == Wait(20.0)
    assert gone.next_step(20.0) == Acquire()
    assert leader().saw(None, 101.0).next_step(101.0) == Renew()


def test_a_leader_is_one_from_before_its_renewal_was_sent() -> None:
    """Until it must have been renewed again, which is well before others can take it over."""
    assert RENEW_SECONDS < LEASE_SECONDS
    assert leader(100.0).is_leader(100.0 + RENEW_SECONDS - 0.1)
    assert not leader(100.0).is_leader(100.0 + RENEW_SECONDS)
    assert leader(100.0).next_step(107.9) == Renew()
    assert leader(100.0).next_step(108.0) == Lost("it could not be renewed for 8 s")


def test_another_holder_is_believed_at_once() -> None:
    """Also one that somebody has removed by hand."""
    robbed = leader().saw(record(THEM), 101.0)
    assert not robbed.is_leader(101.0)
    assert robbed.next_step(101.0) == Lost("it is held by them_2")
    assert leader().saw(record(""), 101.0).next_step(101.0) == Lost("it is held by nobody")


def test_who_has_resigned_is_a_candidate_like_any_other() -> None:
    """Whatever the Lease says."""
    resigned = leader().resigned()
    assert not resigned.is_leader(100.0)
    assert resigned.next_step(100.0) == Acquire()
    assert leader().saw(record(THEM), 101.0).resigned().next_step(101.0) == Wait(116.0)


def test_to_acquire_is_a_transition_and_to_renew_is_none() -> None:
    """Not even after a release; the first leader of all is no transition."""
    assert NEW.claim("11:00") == LeaseRecord(
        holder=US, seconds=LEASE_SECONDS, acquired="11:00", renewed="11:00", transitions=0
    )
    for holder in (THEM, ""):
        claimed = NEW.saw(record(holder, transitions=4), 5.0).claim("11:00")
        assert (claimed.holder, claimed.acquired, claimed.renewed, claimed.transitions) == (US, "11:00", "11:00", 5)
    renewed = leader().claim("11:00")
    assert (renewed.holder, renewed.acquired, renewed.renewed, renewed.transitions) == (US, "09:00", "11:00", 4)
    assert renewed.seconds == LEASE_SECONDS


def test_only_the_holder_releases() -> None:
    """The Lease is empty and expires within a second, and the count of transitions stays."""
    released = leader().resigned().release("11:00")
    assert released == LeaseRecord(holder="", seconds=1, acquired="11:00", renewed="11:00", transitions=4)
    assert NEW.release("11:00") is None
    assert NEW.saw(record(THEM), 5.0).release("11:00") is None
