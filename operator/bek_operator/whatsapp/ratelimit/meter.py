"""One rate limit by its reported usage: how many more calls fit below a ceiling, and when to probe while none does.

Time is an argument, in seconds of one clock.
"""

import math
from collections import deque
from typing import Final

HOUR: Final = 3600.0
UNKNOWN_CAPACITY: Final = 10
"""How many numbers are reconciled at once while the usage is unknown."""

_CALLS_PER_NUMBER = 3
"""Calls to reconcile a number: read, publish, read."""
_DEFAULT_COST = 0.5
"""Percent that a call costs with the lowest limit, 200 calls an hour."""
_MAX_COST = 2.0
"""Percent that a call costs at most, with a limit on CPU time; a steeper rise is somebody else's usage."""
_MAX_DELAY = 15.0
"""Responses may arrive out of order, but not later than this."""
_STALE = 300.0
_MIN_SAMPLE = 10
_MINUTE = 60.0
_MAX_PAUSE = 3300.0
"""Less than an hour, after which the usage counts as unknown and several calls would be made."""
_FULL = 100.0
_DOUBLINGS = 6.0


class UsageMeter:
    """The usage of one limit, and an estimate of what a call costs.

    The cost is not reported. It is at most the total usage divided by our calls of the last hour, unless the usage was
    seen to rise by more with each call.
    """

    def __init__(self, percent: float, now: float) -> None:
        self._reported_at = now
        self._level = percent
        self._level_at = now
        self._minutes: deque[tuple[float, int]] = deque()  # minute and its calls, oldest first
        self._count = 0
        self._base = percent
        self._base_at = now
        self._since_base = 0
        self._former_rise = 0.0
        self._count_call(now)

    def record(self, percent: float, now: float) -> None:
        """Record the usage that a response reports."""
        if percent >= self._level:
            self._level, self._level_at = percent, now
        elif now - self._level_at > _MAX_DELAY:
            if percent <= self._level / 2:
                # A new hour of the limit began.
                self._minutes.clear()
                self._count = 0
                self._set_base(percent, now)
            self._level, self._level_at = percent, now
        self._reported_at = now
        self._count_call(now)

    @property
    def percent(self) -> float:
        """Return the usage by the last reports."""
        return self._level

    def is_known(self, now: float) -> bool:
        """Return whether the last reported usage is recent enough to count."""
        return now - self._reported_at < HOUR

    def capacity(self, now: float, ceiling: float) -> int:
        """Return how many numbers may be reconciled at once."""
        fitting = int((ceiling - self._level) / (_CALLS_PER_NUMBER * self._cost))
        if fitting >= 1:
            # Slow start: the cost of a call is measured by making some.
            return min(fitting, UNKNOWN_CAPACITY + (self._count if now - self._reported_at < _STALE else 0))
        return 1 if now >= self.available_at(ceiling) else 0

    def available_at(self, ceiling: float) -> float:
        """Return when to probe although nothing fits: later the higher the usage, so that probing never uses it up."""
        excess = max(self._level - ceiling, 0.0) / (_FULL - ceiling)
        return self._reported_at + min(_MINUTE * math.exp2(_DOUBLINGS * excess), _MAX_PAUSE)

    @property
    def _cost(self) -> float:
        """Return the estimated percent that a call costs."""
        # Three times and rounded up: if a new hour began unnoticed, the level lacks some of the counted calls.
        most = min(_DEFAULT_COST, (3 * self._level + 2) / self._count)
        return max(most, min(self._rise, _MAX_COST))

    @property
    def _rise(self) -> float:
        """Return the percent by which the usage last rose with each call."""
        if self._since_base < _MIN_SAMPLE:
            return self._former_rise
        return max(self._former_rise, (self._level - self._base - 1) / self._since_base)

    def _set_base(self, percent: float, now: float) -> None:
        self._former_rise = (
            (self._level - self._base - 1) / self._since_base if self._since_base >= _MIN_SAMPLE else 0.0
        )
        self._base, self._base_at, self._since_base = percent, now, 0

    def _count_call(self, now: float) -> None:
        if now - self._base_at >= HOUR:
            self._set_base(self._level, now)
        self._since_base += 1
        self._count += 1
        minute = now // _MINUTE
        before = self._minutes.pop()[1] if self._minutes and self._minutes[-1][0] == minute else 0
        self._minutes.append((minute, before + 1))
        while self._minutes[0][0] <= minute - HOUR / _MINUTE:
            self._count -= self._minutes.popleft()[1]
