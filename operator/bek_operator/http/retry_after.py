"""Retry-After: how long a server asks to be left alone."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_SECONDS: Final = 3600.0

_MOST_DIGITS = 9


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, an hour at most; `None` where there is nothing to wait for, or only nonsense."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text) if len(text) <= _MOST_DIGITS else 0.0
    else:
        seconds = _until(text, now)
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else None


def _until(text: str, now: datetime) -> float:
    try:
        then = parsedate_to_datetime(text)
        return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()
    # Its parser raises other things than it documents for some of what is no date.
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0
