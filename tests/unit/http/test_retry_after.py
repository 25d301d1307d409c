"""Retry-After is parsed and bounded."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.http.retry_after import LONGEST_SECONDS, retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def http_date(seconds: float) -> str:
    """Write an instant as HTTP does."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("86400", 3600.0),
        (http_date(90), 90.0),
        (http_date(86400), 3600.0),
        ("Sun, 22 Nov 2026 12:01:00 -0000", 60.0),
        (format_datetime((NOW + timedelta(minutes=5)).astimezone(timezone(timedelta(hours=2)))), 300.0),
    ],
)
def test_understood(value: str, seconds: float) -> None:
    """Seconds and HTTP dates count, up to an hour."""
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None, "", "0", "-1", "1.5", "NaN", "inf", "1e3", "9" * 400, "٣", "soon", "12 seconds", "0, 0",
        http_date(0), http_date(-90),
        "Sun, 22 Nov 99999 12:01:00 GMT", "Sun, 32 Nov 2026 12:01:00 GMT", "Sun, 22 Nov 2026",
    ],
)  # fmt: skip
def test_nonsense(value: str | None) -> None:
    """Anything but a time in the future is ignored."""
    assert retry_after(value, NOW) is None


@given(st.text() | st.text(alphabet="0123456789+-:,. GMTSunNov"))
def test_any_header(value: str) -> None:
    """Whatever a header says, the wait is bounded."""
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 < seconds <= LONGEST_SECONDS
