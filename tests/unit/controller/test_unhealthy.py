"""When a restart would help, by what is known of the requests to the API server."""

from bek_operator.cluster.traffic import AWAY_SECONDS, Traffic
from bek_operator.controller.health import SILENCE_SECONDS, unhealthy

SECRETS, OBJECTS = "/api/v1/secrets", "/apis/bek.dev/v1alpha1/businessencryptionkeys"
LOST = f"the watch {SECRETS} delivered nothing for 300 s, though the API server answers"


def begun() -> Traffic:
    """Return what is known when both watches have begun, at 0 s."""
    return Traffic().answered(0.0).requested(OBJECTS, 0.0).requested(SECRETS, 0.0)


def answering(traffic: Traffic, since: float, to: float) -> Traffic:
    """Return what is known when another request is answered every ten seconds."""
    for at in range(int(since), int(to) + 1, 10):
        traffic = traffic.answered(float(at))
    return traffic


def test_the_limits_are_those_that_are_promised() -> None:
    """Five minutes, and a little more than the minute between two bookmarks."""
    assert (SILENCE_SECONDS, AWAY_SECONDS) == (300.0, 90.0)


def test_a_process_that_has_just_started_is_healthy() -> None:
    """Nothing was requested yet."""
    assert unhealthy(Traffic(), 0.0) == ""


def test_a_watch_that_delivers_nothing_for_five_minutes_is_lost() -> None:
    """Though the other delivers, which is an answer of the API server as well."""
    traffic = begun()
    for at in range(60, 301, 60):
        traffic = traffic.delivered(OBJECTS, float(at))
    assert unhealthy(traffic, 300.0) == ""
    assert unhealthy(traffic, 301.0) == LOST
    assert unhealthy(traffic.delivered(SECRETS, 301.0), 301.0) == ""


def test_asking_again_for_a_watch_renews_nothing() -> None:
    """A proxy may accept every one, and deliver nothing."""
    traffic = answering(begun(), 0, 300).delivered(OBJECTS, 300.0).requested(SECRETS, 290.0)
    assert unhealthy(traffic, 301.0) == LOST


def test_a_watch_that_is_refused_is_no_reason_for_a_restart() -> None:
    """A new process would be refused, too."""
    traffic = answering(begun(), 0, 300).delivered(OBJECTS, 300.0).refused(SECRETS)
    assert unhealthy(traffic, 301.0) == ""


def test_an_api_server_that_is_away_is_no_reason_for_a_restart() -> None:
    """However long; once it is back, watches have five minutes again."""
    traffic = begun()
    assert [unhealthy(traffic, at) for at in (91.0, 301.0, 86_400.0)] == [""] * 3
    back = answering(traffic, 86_400, 86_700)
    assert unhealthy(back, 86_700.0) == ""
    assert unhealthy(answering(back, 86_700, 86_710).delivered(OBJECTS, 86_701.0), 86_710.0) == LOST


def test_a_process_that_was_paused_is_healthy_when_it_continues() -> None:
    """Ten minutes without an answer look like an API server that was away."""
    traffic = answering(begun(), 0, 60).delivered(SECRETS, 60.0).delivered(OBJECTS, 60.0)
    assert unhealthy(traffic, 660.0) == ""
    assert unhealthy(traffic.answered(661.0), 661.0) == ""
