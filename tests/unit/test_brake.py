"""The brake: how often one key may be published to one number."""

import pytest

from bek_operator.model.brake import holds, next_publish
from kit.builders import NOW

HOUR = 3600.0


@pytest.mark.parametrize(
    ("publishes", "hours"),
    [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 24), (9, 24), (10**30, 24)],
)
def test_from_the_third_publish_on_the_waits_double_up_to_a_day(publishes: int, hours: int) -> None:
    """Three publishes are free, then they are 1 h, 2 h, 4 h … 24 h apart."""
    assert next_publish(publishes, NOW) == NOW + hours * HOUR
    assert holds(publishes) == (hours > 0)
