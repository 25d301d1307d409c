"""Budgets: how much may be asked of an API with one token, so that it never has to refuse.

Usage is told by headers, after each call, and rises by whoever else uses the token as well. Periodic checks stop
at three quarters of what is allowed, so that a new key finds room; that stops short of the whole.

Pure: time comes in as an argument, in seconds since the epoch.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bek_operator.http.retry_after import LONGEST_SECONDS, retry_after
from bek_operator.lru_cache import LRUCache
from bek_operator.whatsapp.ratelimit.meter import HOUR, UNKNOWN_CAPACITY, UsageMeter
from bek_operator.whatsapp.ratelimit.usage import usage_from

UNLIMITED: Final = 1000

_CEILING = 75.0
_URGENT_CEILING = 90.0
_FIRST_PAUSE = 60.0
_MOST_LIMITERS = 10_000
_METERS = 64
_SILENT = 3
"""After so many answers that tell no usage it is taken that none will."""


class RateLimiters:
    """One budget for each lane, which is a token at its API's host; what was not used for longest is forgotten."""

    def __init__(self) -> None:
        self._limits: LRUCache[str, _RateLimiter] = LRUCache(_MOST_LIMITERS)

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers of a lane may be worked on at once right now; 0 for none."""
        limiter = self._limits.get(limiter_key)
        return limiter.capacity(now, _ceiling(urgent=urgent)) if limiter else UNKNOWN_CAPACITY

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be room again; `now` if there is, and an hour later at most."""
        limiter = self._limits.get(limiter_key)
        return limiter.available_at(now, _ceiling(urgent=urgent)) if limiter else now

    def record(self, limiter_key: str, headers: Mapping[str, str], refused: bool, now: float) -> None:  # noqa: FBT001 - a fact
        """Take in an answer: its headers by lower-case name, and whether a limit was what it refused the call for."""
        limiter = self._limits.get(limiter_key)
        if limiter is None:
            limiter = _RateLimiter()
            self._limits.put(limiter_key, limiter)
        limiter.record(headers, now, refused=refused)


class _RateLimiter:
    def __init__(self) -> None:
        self._meters: dict[str, UsageMeter] = {}  # the one that was told last comes last
        self._silent = 0
        self._closed = False
        self._until = 0.0
        self._refusals = 0
        self._refused_at = 0.0

    def capacity(self, now: float, ceiling: float) -> int:
        if self._closed:
            # When the time has passed, one call shows whether it is so.
            return 1 if now >= self._until else 0
        if not self._meters:
            return UNLIMITED if self._silent >= _SILENT else UNKNOWN_CAPACITY
        return min((meter.capacity(now, ceiling) for meter in self._told(now)), default=UNKNOWN_CAPACITY)

    def available_at(self, now: float, ceiling: float) -> float:
        if self.capacity(now, ceiling):
            return now
        if self._closed:
            return self._until
        return max(meter.available_at(ceiling) for meter in self._told(now) if not meter.capacity(now, ceiling))

    def record(self, headers: Mapping[str, str], now: float, *, refused: bool) -> None:
        told = usage_from(headers)
        for one in told:
            meter = self._meters.pop(one.meter, None)
            if meter:
                meter.tell(one.percent, now)
            self._meters[one.meter] = meter or UsageMeter(one.percent, now)
        while len(self._meters) > _METERS:
            del self._meters[next(iter(self._meters))]
        self._silent += not told
        regain = max((one.regain for one in told), default=0.0)
        check_requested = retry_after(headers.get("retry-after"), datetime.fromtimestamp(now, UTC)) if refused else None
        if refused or regain:
            self._close(check_requested or regain or self._growing_pause(now), now)
        elif now >= self._until:
            self._closed = False

    def _told(self, now: float) -> list[UsageMeter]:
        return [meter for meter in self._meters.values() if meter.is_known(now)]

    def _close(self, seconds: float, now: float) -> None:
        self._closed = True
        self._until = max(self._until, now + min(seconds, LONGEST_SECONDS))

    def _growing_pause(self, now: float) -> float:
        """Return how long to wait where nobody says: longer with each refusal that was met after having waited."""
        if now < self._until:
            return 0.0
        self._refusals = self._refusals + 1 if now - self._refused_at < HOUR + LONGEST_SECONDS else 1
        self._refused_at = now
        return min(_FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 20), LONGEST_SECONDS)


def _ceiling(*, urgent: bool) -> float:
    return _URGENT_CEILING if urgent else _CEILING
