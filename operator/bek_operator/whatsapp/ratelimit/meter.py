"""One limit as its usage is told: what more fits below a ceiling, and how often to look while nothing does.

Pure: time comes in as an argument, in the seconds of any one clock.
"""

import math
from collections import deque
from typing import Final

HOUR: Final = 3600.0
UNKNOWN_CAPACITY: Final = 10
"""How many numbers are worked on at once while the usage is not known."""

_CALLS = 3
"""What working on a number takes: read, publish, read."""
_USUAL_COST = 0.5
"""Percent that a call takes where there are no more than the 200 of them an hour that everybody has."""
_MOST_COST = 2.0
"""The same where another limit than that on calls is met first; more is taken for somebody else's usage."""
_LATE = 15.0
"""Answers overtake each other, but none takes longer than this."""
_STALE = 300.0
_ENOUGH = 10
_MINUTE = 60.0
_LONGEST_PAUSE = 3300.0
"""Short of an hour, after which nothing is known and more than one look would be taken."""
_FULL = 100.0
_DOUBLINGS = 6.0


class UsageMeter:
    """How full one limit is.

    What a call costs is not told. It is at most what was used in all, divided by our own calls of the last hour;
    more than that only where the usage was seen to rise by more with each call.
    """

    def __init__(self, percent: float, now: float) -> None:
        self._told_at = now
        self._level = percent
        self._level_at = now
        self._minutes: deque[tuple[float, int]] = deque()  # the calls of each, oldest first
        self._count = 0
        self._base = percent
        self._base_at = now
        self._since_base = 0
        self._former_rise = 0.0
        self._count_call(now)

    def tell(self, percent: float, now: float) -> None:
        """Hear what an answer told."""
        if percent >= self._level:
            self._level, self._level_at = percent, now
        elif now - self._level_at > _LATE:
            if percent <= self._level / 2:
                # The hour began anew, and with it the count.
                self._minutes.clear()
                self._count = 0
                self._set_base(percent, now)
            self._level, self._level_at = percent, now
        self._told_at = now
        self._count_call(now)

    def is_known(self, now: float) -> bool:
        """Tell whether anything that was told still counts."""
        return now - self._told_at < HOUR

    def capacity(self, now: float, ceiling: float) -> int:
        """Return how many numbers may be worked on at once."""
        fitting = int((ceiling - self._level) / (_CALLS * self._cost))
        if fitting >= 1:
            # Slowly at first: what a call costs here is seen by making some.
            return min(fitting, UNKNOWN_CAPACITY + (self._count if now - self._told_at < _STALE else 0))
        return 1 if now >= self.available_at(ceiling) else 0

    def available_at(self, ceiling: float) -> float:
        """Return when to look again though nothing fits: the fuller, the later, so that looking never fills it."""
        beyond = max(self._level - ceiling, 0.0) / (_FULL - ceiling)
        return self._told_at + min(_MINUTE * math.exp2(_DOUBLINGS * beyond), _LONGEST_PAUSE)

    @property
    def _cost(self) -> float:
        """Return the percent that a call is taken to cost."""
        # Three times and rounded up: where the hour began anew unseen, some calls that count are not in the level.
        most = min(_USUAL_COST, (3 * self._level + 2) / self._count)
        return max(most, min(self._rise, _MOST_COST))

    @property
    def _rise(self) -> float:
        """Return the percent by which the usage rose with each call, as seen last."""
        if self._since_base < _ENOUGH:
            return self._former_rise
        return max(self._former_rise, (self._level - self._base - 1) / self._since_base)

    def _set_base(self, percent: float, now: float) -> None:
        self._former_rise = (self._level - self._base - 1) / self._since_base if self._since_base >= _ENOUGH else 0.0
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
