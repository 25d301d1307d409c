"""When handshakes with a server are backed off or throttled."""

import pytest

from bek_operator.http.errors import NotConnectedError
from bek_operator.http.handshakes import BACKOFF_SECONDS, CPU_SHARE, FAILURE_THRESHOLD, HandshakeHistory

FAULT = NotConnectedError("no TLS handshake")
LATER = NotConnectedError("no TLS handshake, in another way")


def failing(times: int = FAILURE_THRESHOLD, now: float = 0.0) -> HandshakeHistory[str]:
    """Return the history after consecutive failures with one server."""
    history: HandshakeHistory[str] = HandshakeHistory()
    for _ in range(times):
        history.record_failure("pod", now, FAULT)
    return history


def test_failures_below_the_threshold_do_not_back_off() -> None:
    """A connection may break by accident."""
    history = failing(FAILURE_THRESHOLD - 1)
    assert history.backoff_error("pod", 0.0) is None
    assert history.backoff_error("pod", 0.0) is None


def test_repeated_failures_back_a_server_off() -> None:
    """Until then its last error is returned; other servers are not concerned."""
    history = failing(now=100.0)
    assert history.backoff_error("pod", 100.0) is FAULT
    assert history.backoff_error("pod", 100.0 + BACKOFF_SECONDS - 0.001) is FAULT
    assert history.backoff_error("other", 100.0) is None


def test_after_the_back_off_one_caller_proceeds() -> None:
    """The others wait for its outcome, at most for another back-off."""
    history = failing()
    now = BACKOFF_SECONDS
    assert history.backoff_error("pod", now) is None
    assert history.backoff_error("pod", now) is FAULT
    history.record_failure("pod", now + 1.0, LATER)
    assert history.backoff_error("pod", now + BACKOFF_SECONDS) is LATER
    assert history.backoff_error("pod", now + 1.0 + BACKOFF_SECONDS) is None
    # That handshake was cancelled, without an outcome.
    assert history.backoff_error("pod", now + 1.0 + 2 * BACKOFF_SECONDS) is None


def test_a_success_resets_the_failures() -> None:
    """The next failure counts as the first."""
    history = failing()
    history.record_success("pod", 0.0, cheaply=True)
    assert history.backoff_error("pod", 0.0) is None
    history.record_failure("pod", 0.0, FAULT)
    assert history.backoff_error("pod", 0.0) is None


@pytest.mark.parametrize("every", [0.01, 0.06, 0.5])
def test_handshakes_within_a_minute_are_bounded(every: float) -> None:
    """However often handshakes are requested."""
    history: HandshakeHistory[str] = HandshakeHistory()
    started = 0
    for turn in range(round(60 / every)):
        if history.backoff_error("pod", turn * every) is None:
            started += 1
            history.record_failure("pod", turn * every, FAULT)
    assert started <= FAILURE_THRESHOLD + 60 / BACKOFF_SECONDS


def wait(history: HandshakeHistory[str], server: str, tenant: str) -> float:
    """Return for how many seconds from 0 on a server is throttled, in steps of a tenth."""
    return next(tenths for tenths in range(10_000) if not history.is_throttled(server, tenant, tenths / 10)) / 10


def test_charged_cpu_throttles_a_server() -> None:
    """In proportion, so that it takes at most its share of the time."""
    history: HandshakeHistory[str] = HandshakeHistory()
    history.charge("pod", "a", 0.0, 0.1)
    assert wait(history, "pod", "a") == pytest.approx(0.1 / CPU_SHARE)
    history.charge("pod", "a", 0.0, 0.2)
    assert wait(history, "pod", "a") == pytest.approx(0.3 / CPU_SHARE)
    history.charge("pod", "a", 1000.0, 0.1)
    assert history.is_throttled("pod", "a", 1000.0 + 0.09 / CPU_SHARE)
    assert not history.is_throttled("pod", "a", 1000.0 + 0.11 / CPU_SHARE)


def test_the_servers_of_a_tenant_share_a_limit() -> None:
    """Many names for one server gain nothing; servers that proved cheap are not throttled."""
    history: HandshakeHistory[str] = HandshakeHistory()
    history.record_success("good", 0.0, cheaply=True)
    history.record_success("bad", 0.0, cheaply=False)
    for count in range(10):
        history.charge(f"bad-{count}", "a", 0.0, 0.1)
    assert wait(history, "new", "a") == pytest.approx(1.0 / CPU_SHARE)
    assert wait(history, "bad", "a") == pytest.approx(1.0 / CPU_SHARE)
    assert not history.is_throttled("good", "a", 0.0)
    assert not history.is_throttled("new", "b", 0.0)


def test_a_server_that_becomes_expensive_is_no_longer_cheap() -> None:
    """Until it has proved cheap again."""
    history: HandshakeHistory[str] = HandshakeHistory()
    history.record_success("pod", 0.0, cheaply=True)
    history.charge("pod", "a", 0.0, 0.1)
    history.record_success("pod", 0.0, cheaply=False)
    history.charge("another", "a", 0.0, 1.0)
    now = 0.5 / CPU_SHARE
    assert history.is_throttled("pod", "a", now)
    history.record_success("pod", now, cheaply=True)
    assert not history.is_throttled("pod", "a", now)


def test_servers_that_proved_cheap_cannot_all_become_expensive_at_once() -> None:
    """The first one that does ends the trust in all others of its tenant, until they have proved cheap again."""
    history: HandshakeHistory[str] = HandshakeHistory()
    servers = [f"pod-{count}" for count in range(1000)]
    for server in servers:
        history.record_success(server, 0.0, cheaply=True)
    history.record_success("own", 0.0, cheaply=True)
    history.charge("pod-0", "a", 1.0, 0.1)
    assert all(history.is_throttled(server, "a", 1.1) for server in servers)
    assert not history.is_throttled("own", "b", 1.1)
    history.record_success("pod-1", 2.0, cheaply=True)
    assert [server for server in servers if not history.is_throttled(server, "a", 2.1)] == ["pod-1"]


def test_servers_from_the_settings_share_no_limit() -> None:
    """The Cloud API, which every tenant calls, is throttled alone."""
    history: HandshakeHistory[str] = HandshakeHistory()
    history.charge("cloud", "", 0.0, 0.1)
    assert history.is_throttled("cloud", "", 0.0)
    assert not history.is_throttled("another", "", 0.0)
