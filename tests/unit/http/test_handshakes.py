"""Handshakes: a server has no more of them than its share, whatever they come to and whatever they cost."""

import pytest

from bek_operator.http.exchange import NotConnectedError
from bek_operator.http.handshakes import FAILURES, PAUSE_SECONDS, SHARE, Handshakes

FAULT = NotConnectedError("no TLS handshake")
LATER = NotConnectedError("no TLS handshake, in another way")


def failing(times: int = FAILURES, now: float = 0.0) -> Handshakes[str]:
    """Return what is known after so many failures in a row with one server."""
    known: Handshakes[str] = Handshakes()
    for _ in range(times):
        known.failed("pod", now, FAULT)
    return known


def test_a_few_failures_hold_nobody_up() -> None:
    """A connection that broke off by accident says nothing of the next one."""
    known = failing(FAILURES - 1)
    assert known.fault("pod", 0.0) is None
    assert known.fault("pod", 0.0) is None


def test_a_server_that_fails_again_and_again_has_to_wait() -> None:
    """Whoever asks meanwhile is told how it failed; other servers go on."""
    known = failing(now=100.0)
    assert known.fault("pod", 100.0) is FAULT
    assert known.fault("pod", 100.0 + PAUSE_SECONDS - 0.001) is FAULT
    assert known.fault("other", 100.0) is None


def test_after_the_pause_one_goes_ahead() -> None:
    """The others wait for how that one ends, and for no longer than another pause."""
    known = failing()
    now = PAUSE_SECONDS
    assert known.fault("pod", now) is None
    assert known.fault("pod", now) is FAULT
    known.failed("pod", now + 1.0, LATER)
    assert known.fault("pod", now + PAUSE_SECONDS) is LATER
    assert known.fault("pod", now + 1.0 + PAUSE_SECONDS) is None
    # It was interrupted, and tells nothing.
    assert known.fault("pod", now + 1.0 + 2 * PAUSE_SECONDS) is None


def test_a_good_one_ends_it() -> None:
    """The next failure counts as the first."""
    known = failing()
    known.succeeded("pod", cheaply=True)
    assert known.fault("pod", 0.0) is None
    known.failed("pod", 0.0, FAULT)
    assert known.fault("pod", 0.0) is None


@pytest.mark.parametrize("every", [0.01, 0.06, 0.5])
def test_how_many_begin_in_a_minute(every: float) -> None:
    """However many numbers such a server has, and however often they ask."""
    known: Handshakes[str] = Handshakes()
    begun = 0
    for turn in range(round(60 / every)):
        if known.fault("pod", turn * every) is None:
            begun += 1
            known.failed("pod", turn * every, FAULT)
    assert begun <= FAILURES + 60 / PAUSE_SECONDS


def pause(known: Handshakes[str], server: str, tenant: str) -> float:
    """Return for how many seconds from 0 on a server has to wait, in steps of a tenth."""
    return next(tenths for tenths in range(10_000) if not known.is_too_much(server, tenant, tenths / 10)) / 10


def test_what_costs_much_has_to_be_waited_for() -> None:
    """In proportion, so that no more than its share of the time goes into it."""
    known: Handshakes[str] = Handshakes()
    known.spent("pod", "a", 0.0, 0.1)
    assert pause(known, "pod", "a") == pytest.approx(0.1 / SHARE)
    known.spent("pod", "a", 0.0, 0.2)
    assert pause(known, "pod", "a") == pytest.approx(0.3 / SHARE)
    known.spent("pod", "a", 1000.0, 0.1)
    assert known.is_too_much("pod", "a", 1000.0 + 0.09 / SHARE)
    assert not known.is_too_much("pod", "a", 1000.0 + 0.11 / SHARE)


def test_the_servers_of_one_tenant_have_one_share() -> None:
    """A thousand names for one server are no better than one; servers that are known to cost little go on."""
    known: Handshakes[str] = Handshakes()
    known.succeeded("good", cheaply=True)
    known.succeeded("bad", cheaply=False)
    for count in range(10):
        known.spent(f"bad-{count}", "a", 0.0, 0.1)
    assert pause(known, "new", "a") == pytest.approx(1.0 / SHARE)
    assert pause(known, "bad", "a") == pytest.approx(1.0 / SHARE)
    assert not known.is_too_much("good", "a", 0.0)
    assert not known.is_too_much("new", "b", 0.0)


def test_a_server_that_became_costly_is_no_longer_known_to_cost_little() -> None:
    """Until it has shown so again."""
    known: Handshakes[str] = Handshakes()
    known.succeeded("pod", cheaply=True)
    known.spent("pod", "a", 0.0, 0.1)
    known.succeeded("pod", cheaply=False)
    known.spent("another", "a", 0.0, 1.0)
    now = 0.5 / SHARE
    assert known.is_too_much("pod", "a", now)
    known.succeeded("pod", cheaply=True)
    assert not known.is_too_much("pod", "a", now)


def test_the_operators_own_servers_share_nothing() -> None:
    """The Cloud API, which everybody calls, is judged by itself."""
    known: Handshakes[str] = Handshakes()
    known.spent("cloud", "", 0.0, 0.1)
    assert known.is_too_much("cloud", "", 0.0)
    assert not known.is_too_much("another", "", 0.0)
