"""Durations as kubectl shows them."""

from typing import Final

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_FORMS: Final = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (float("inf"), _DAY, "d", 0, ""),
)
"""Below how many seconds: the unit, and the smaller unit beside it, if any."""


def short(seconds: float) -> str:
    """Return a duration in one unit, or in two where the second one matters: 90s, 5m30s, 45m, 3h20m, 12h, 3d4h, 9d."""
    whole = max(int(seconds), 0)
    _, unit, letter, small, small_letter = next(form for form in _FORMS if whole < form[0])
    rest = whole % unit // small if small else 0
    return f"{whole // unit}{letter}" + (f"{rest}{small_letter}" if rest else "")
