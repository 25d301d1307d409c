"""RFC 3339 timestamps to and from seconds since the epoch."""

from datetime import UTC, datetime

import pytest

from bek_operator.times import instant, micro_time, rfc3339
from support.builders import NOW


def test_an_instant_is_written_as_kubernetes_does() -> None:
    """Whole seconds, in UTC, with a Z."""
    assert rfc3339(NOW + 0.9) == "2026-11-22T10:00:00Z"


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00Z", "2026-11-22T12:00:00+02:00", "2026-11-22T10:00:00.000000Z"])
def test_an_instant_is_parsed_in_any_form(text: str) -> None:
    """With another offset, or with fractions."""
    assert instant(text) == NOW


@pytest.mark.parametrize(
    "value",
    [None, True, 5, [], "", "soon", "2026-11-22T10:00:00", "2026-11-22T23:59:60Z", "0001-01-01T00:00:00+14:00"],
    ids=repr,
)
def test_anything_else_is_none(value: object) -> None:
    """A time without zone, one before the epoch, and anything that is not a time."""
    assert instant(value) is None


def test_a_micro_time_has_microseconds() -> None:
    """Also where they are zero; Kubernetes' MicroTime is parsed by exactly this form."""
    assert micro_time(datetime(2026, 11, 22, 10, tzinfo=UTC)) == "2026-11-22T10:00:00.000000Z"
    assert micro_time(datetime(2026, 11, 22, 10, 0, 0, 42, tzinfo=UTC)) == "2026-11-22T10:00:00.000042Z"
