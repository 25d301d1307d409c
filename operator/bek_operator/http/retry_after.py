"""The Retry-After header (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_SECONDS: Final = 3600.0

_MAX_DIGITS = 9


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, at most an hour; `None` without a valid time in the future."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text) if len(text) <= _MAX_DIGITS else 0.0
    else:
        seconds = _until(text, now)
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else None


def _until(text: str, now: datetime) -> float:
    try:
        then = parsedate_to_datetime(text)
        return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()
    # The parser raises more than the ValueError that it documents.
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0
