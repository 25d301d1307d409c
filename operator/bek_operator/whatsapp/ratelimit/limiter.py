"""Rate limiters: how many numbers may be reconciled at once with one access token, so that no call is refused.

Response headers report the usage, which others who use the token raise as well. Periodic checks stop at 75 % of a
limit, to leave capacity for a new key; publishing a new key stops at 90 %.

Time is an argument, in seconds since the epoch.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bek_operator.http.retry_after import LONGEST_SECONDS, retry_after
from bek_operator.lru_cache import LRUCache
from bek_operator.whatsapp.ratelimit.meter import HOUR, UNKNOWN_CAPACITY, UsageMeter
from bek_operator.whatsapp.ratelimit.usage import parse_usage

UNLIMITED: Final = 1000

_CEILING = 75.0
_URGENT_CEILING = 90.0
_FULL = 100.0
_INITIAL_BACKOFF = 60.0
_MAX_LIMITERS = 10_000
_MAX_METERS = 64
_MIN_WITHOUT_USAGE = 3
"""After so many responses without usage the API is taken to report none."""


class RateLimiters:
    """A rate limiter for each token at its API's host; the least recently used are dropped."""

    def __init__(self) -> None:
        self._limits: LRUCache[str, _RateLimiter] = LRUCache(_MAX_LIMITERS)

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers may be reconciled at once."""
        limiter = self._limits.get(limiter_key)
        return limiter.capacity(now, _ceiling(urgent=urgent)) if limiter else UNKNOWN_CAPACITY

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be capacity again, at most an hour from now; `now` if there is some."""
        limiter = self._limits.get(limiter_key)
        return limiter.available_at(now, _ceiling(urgent=urgent)) if limiter else now

    def usage(self, now: float) -> float | None:
        """Return the used share of the limit of which most is used, from 0 to 1; `None` while none is reported."""
        found = (limiter.usage(now) for limiter in self._limits)
        return max((usage for usage in found if usage is not None), default=None)

    def record(self, limiter_key: str, headers: Mapping[str, str], refused: bool, now: float) -> None:  # noqa: FBT001 - a fact
        """Record a response: its headers by lower-case name, and whether it refused the call because of a limit."""
        limiter = self._limits.get(limiter_key)
        if limiter is None:
            limiter = _RateLimiter()
            self._limits.put(limiter_key, limiter)
        limiter.record(headers, now, refused=refused)


class _RateLimiter:
    def __init__(self) -> None:
        self._meters: dict[str, UsageMeter] = {}  # least recently reported first
        self._without_usage = 0
        self._blocked = False
        self._blocked_until = 0.0
        self._refusals = 0
        self._refused_at = 0.0

    def capacity(self, now: float, ceiling: float) -> int:
        if self._blocked:
            # A single call probes whether the limit is over.
            return 1 if now >= self._blocked_until else 0
        if not self._meters:
            return UNLIMITED if self._without_usage >= _MIN_WITHOUT_USAGE else UNKNOWN_CAPACITY
        return min((meter.capacity(now, ceiling) for meter in self._known(now)), default=UNKNOWN_CAPACITY)

    def available_at(self, now: float, ceiling: float) -> float:
        if self.capacity(now, ceiling):
            return now
        if self._blocked:
            return self._blocked_until
        return max(meter.available_at(ceiling) for meter in self._known(now) if not meter.capacity(now, ceiling))

    def usage(self, now: float) -> float | None:
        if self._blocked and now < self._blocked_until:
            return 1.0
        return max((meter.percent / _FULL for meter in self._known(now)), default=None)

    def record(self, headers: Mapping[str, str], now: float, *, refused: bool) -> None:
        reported = parse_usage(headers)
        for usage in reported:
            meter = self._meters.pop(usage.meter, None)
            if meter:
                meter.record(usage.percent, now)
            self._meters[usage.meter] = meter or UsageMeter(usage.percent, now)
        while len(self._meters) > _MAX_METERS:
            del self._meters[next(iter(self._meters))]
        self._without_usage += not reported
        regain_seconds = max((usage.regain_seconds for usage in reported), default=0.0)
        retry_seconds = retry_after(headers.get("retry-after"), datetime.fromtimestamp(now, UTC)) if refused else None
        if refused or regain_seconds:
            self._block(retry_seconds or regain_seconds or self._backoff(now), now)
        elif now >= self._blocked_until:
            self._blocked = False

    def _known(self, now: float) -> list[UsageMeter]:
        return [meter for meter in self._meters.values() if meter.is_known(now)]

    def _block(self, seconds: float, now: float) -> None:
        self._blocked = True
        self._blocked_until = max(self._blocked_until, now + min(seconds, LONGEST_SECONDS))

    def _backoff(self, now: float) -> float:
        """Return the seconds to wait if the API names none: doubled by each refusal that follows a wait."""
        if now < self._blocked_until:
            return 0.0
        self._refusals = self._refusals + 1 if now - self._refused_at < HOUR + LONGEST_SECONDS else 1
        self._refused_at = now
        return min(_INITIAL_BACKOFF * 2.0 ** min(self._refusals - 1, 20), LONGEST_SECONDS)


def _ceiling(*, urgent: bool) -> float:
    return _URGENT_CEILING if urgent else _CEILING
