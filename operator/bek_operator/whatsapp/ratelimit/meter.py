"""One rate limit by its reported usage: how many more calls fit below a ceiling, and when to probe while none does.

Time is an argument, in seconds of one clock.
"""

import math
from typing import Final

HOUR: Final = 3600.0
UNKNOWN_CAPACITY: Final = 10
"""How many numbers are reconciled at once while the usage is unknown."""

_PERCENT_PER_NUMBER = 1.5
"""What a number takes: read, publish, read, each one of the lowest limit's 200 calls an hour.

Where a limit on CPU time allows fewer, a call may be refused, and the pause after that holds.
"""
_MAX_DELAY = 15.0
"""Responses may arrive out of order, but not later than this."""
_STALE = 300.0
_MINUTE = 60.0
_MAX_PAUSE = 3300.0
"""Less than an hour, after which the usage counts as unknown and several calls would be made."""
_FULL = 100.0
_DOUBLINGS = 6.0


class UsageMeter:
    """The usage of one limit."""

    def __init__(self) -> None:
        self._level = 0.0
        self._level_at = self._reported_at = -math.inf
        self._responses = 0

    def record(self, percent: float, now: float) -> None:
        """Record the usage that a response reports."""
        if percent >= self._level or now - self._level_at > _MAX_DELAY:
            self._level, self._level_at = percent, now
        self._responses = self._responses + 1 if now - self._reported_at < _STALE else 1
        self._reported_at = now

    @property
    def percent(self) -> float:
        """Return the usage by the last reports."""
        return self._level

    def is_known(self, now: float) -> bool:
        """Return whether the last reported usage is recent enough to count."""
        return now - self._reported_at < HOUR

    def capacity(self, now: float, ceiling: float) -> int:
        """Return how many numbers may be reconciled at once."""
        fitting = int((ceiling - self._level) / _PERCENT_PER_NUMBER)
        if fitting >= 1:
            # Slow start: others may have used the rest meanwhile, or a call may cost more than usual.
            return min(fitting, UNKNOWN_CAPACITY + (self._responses if now - self._reported_at < _STALE else 0))
        return 1 if now >= self.available_at(ceiling) else 0

    def available_at(self, ceiling: float) -> float:
        """Return when to probe although nothing fits: later the higher the usage, so that probing never uses it up."""
        excess = max(self._level - ceiling, 0.0) / (_FULL - ceiling)
        return self._reported_at + min(_MINUTE * math.exp2(_DOUBLINGS * excess), _MAX_PAUSE)
