"""The back-offs: how often one key, and how often any, may be published to one number."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.numbers.backoff import holds, next_of_any_key, next_publish, with_publish
from support.builders import NOW

HOUR = 3600.0


@pytest.mark.parametrize(
    ("publishes", "hours"),
    [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 24), (9, 24), (10**30, 24)],
)
def test_from_the_third_publish_on_the_waits_double_up_to_a_day(publishes: int, hours: int) -> None:
    """Three publishes are free, then they are 1 h, 2 h, 4 h … 24 h apart."""
    assert next_publish(publishes, NOW) == NOW + hours * HOUR
    assert holds(publishes) == (hours > 0)


def publishes(*minutes: float) -> tuple[float, ...]:
    """Return what counts after publishes at these minutes."""
    recent: tuple[float, ...] = ()
    for minute in minutes:
        recent = with_publish(recent, NOW + 60 * minute)
    return recent


def waits(*minutes: float) -> float:
    """Return how many hours after the last of these publishes the next one may be."""
    return max(next_of_any_key(publishes(*minutes)) - NOW - 60 * minutes[-1], 0.0) / HOUR


@pytest.mark.parametrize(
    ("minutes", "hours"),
    [
        pytest.param([0], 0, id="the first"),
        pytest.param([0, 1, 2, 3, 4], 0, id="five"),
        pytest.param([0, 1, 2, 3, 4, 5], 1, id="six"),
        pytest.param([0, 12, 24, 36, 48, 59.9], 1, id="six in just less than an hour"),
        pytest.param([0, 12, 24, 36, 48, 60], 0, id="six in an hour"),
        pytest.param(range(0, 1200, 12), 0, id="five in each hour, all day"),
        pytest.param([0, 1, 2, 3, 4, 5, 65], 2, id="seven"),
        pytest.param([0, 1, 2, 3, 4, 5, 124], 2, id="within an hour after the wait"),
        pytest.param([0, 1, 2, 3, 4, 5, 125], 0, id="an hour after it"),
        pytest.param([0, 1, 2, 3, 4, 5, 65, 185, 425, 905, 1865], 24, id="after 16 hours"),
        pytest.param([0, 1, 2, 3, 4, 5, 65, 185, 425, 905, 1865, 3305, 4745, 6185], 24, id="never more than a day"),
    ],
)
def test_whatever_the_key_there_are_six_publishes_in_an_hour(minutes: Sequence[float], hours: float) -> None:
    """From the sixth on they are 1 h, 2 h, 4 h … 24 h apart, until there was nothing to publish for an hour."""
    assert waits(*minutes) == hours


@given(st.lists(st.floats(0, 4000), max_size=60))
def test_no_hour_ever_has_more_than_six(pauses: list[float]) -> None:
    """However a key is changed, if each publish waits until it is due; and what is remembered is bounded."""
    recent: tuple[float, ...] = ()
    made: list[float] = []
    now = NOW
    for pause in pauses:
        now = max(now + pause, next_of_any_key(recent))
        recent = with_publish(recent, now)
        made.append(now)
    assert all(later - first >= HOUR for first, later in zip(made, made[6:], strict=False))
    assert len(recent) <= 11
