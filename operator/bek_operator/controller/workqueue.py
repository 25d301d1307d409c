"""The work queue: which key is reconciled next.

One entry for each key, and never two workers on one key. A key that is added while it is running is due again
afterwards; of several additions the earliest instant and the highest priority win.

Each key belongs to an object of a tenant. Due keys are picked from tenants in turn, so that no tenant delays another
by the number of its keys or by their priority. The keys of one tenant are picked by priority, and within a priority by
limiter key in turn, so that a slow host cannot occupy the workers of others; within a limiter key objects take turns.
Keys that are likely to hang (suspects) come last within their priority. A reconcile is not interrupted for another key,
so the workers are shared as well: a tenant gets at most three times as many as stay free.

Pure: time is an argument, in seconds of one clock.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from bek_operator.controller.turns import Level, Turns
from bek_operator.crd.types import ObjectKey
from bek_operator.shares import Pool

K = TypeVar("K", bound=Hashable)

_STALE_TOLERATED = 64
_ASK_AGAIN_SECONDS = 0.1
"""The minimum wait before a limiter without capacity is asked again."""

SLOW_SECONDS: Final = 0.25
"""A reconcile that takes longer may hang, and allows another one to start."""

_MOST_TIMES: Final = 3
"""A tenant gets at most so many times as many workers as stay free."""


class Priority(IntEnum):
    """The order of the due keys of a tenant."""

    USER = 0
    """A user changed something and waits for the result."""
    KEY = 1
    """A new key for a number."""
    REPAIR = 2
    """A number lacks the key, or a status is to be written."""
    CHECK = 3
    """A periodic check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a key is due, and its priority.

    Attributes:
        at: The earliest instant.
        limiter_key: Keys with the same one share a limit.
        suspect: It is likely to hang.
    """

    at: float
    priority: Priority = Priority.CHECK
    limiter_key: str = ""
    suspect: bool = False

    @property
    def level(self) -> Level:
        """Return the level by which it is picked."""
        return self.priority, self.suspect

    def merged_with(self, other: "Due") -> "Due":
        """Return both merged: the earlier instant, the higher priority; suspect if either is, under the same limit."""
        suspect = self.suspect or (other.suspect and other.limiter_key == self.limiter_key)
        return replace(self, at=min(self.at, other.at), priority=min(self.priority, other.priority), suspect=suspect)


class Limits(Protocol):
    """The limits of APIs: concurrent calls for a host, calls an hour for a token."""

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many keys of a limiter can run at once now; 0 for none."""
        ...

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be capacity again."""
        ...


@dataclass(slots=True)
class _Running:
    due: Due
    tenant: str
    since: float
    cancelled: bool = False


class _RunningKeys(dict[K, _Running]):
    """The running keys, longest first, and the workers that they occupy."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._workers = Pool(2 * size)
        self._suspects = Pool(size)
        self._by_limiter: Counter[str] = Counter()

    def start(self, key: K, due: Due, tenant: str, now: float) -> None:
        self[key] = _Running(due, tenant, now)
        self._by_limiter[due.limiter_key] += 1
        self._workers.take(tenant)
        if due.suspect:
            self._suspects.take(tenant)

    def end(self, key: K) -> _Running:
        ended = self.pop(key)
        self._by_limiter[ended.due.limiter_key] -= 1
        if not self._by_limiter[ended.due.limiter_key]:
            del self._by_limiter[ended.due.limiter_key]
        self._workers.give_back(ended.tenant)
        if ended.due.suspect:
            self._suspects.give_back(ended.tenant)
        return ended

    def of(self, limiter_key: str) -> int:
        """Return how many keys of a limiter key run."""
        return self._by_limiter[limiter_key]

    def has_room(self, tenant: str, level: Level) -> bool:
        """Return whether a tenant's share has room for one more of a level."""
        priority, suspect = level
        if suspect and not self._suspects.has_room(tenant, _MOST_TIMES if priority <= Priority.KEY else 1):
            return False
        return self._workers.has_room(tenant, _MOST_TIMES)


class WorkQueue(Generic[K]):
    """Keys with their due times; `size` run at once, and more while some are slow.

    A tenant alone gets up to half as many more, and all tenants together up to as many more. Of a tenant's suspects at
    most half of `size` run, or three quarters with the priorities USER and KEY. So there are workers for numbers that
    respond, however many hang.

    Args:
        object_of: Returns the object of a key; its namespace is the tenant.
    """

    def __init__(
        self,
        size: int,
        *,
        limits: Limits | None = None,
        object_of: Callable[[K], ObjectKey] = lambda _: ObjectKey("", ""),
    ) -> None:
        self._size = size
        self._limits = limits
        self._object_of = object_of
        self._waiting: dict[K, tuple[Due, int]] = {}
        self._running: _RunningKeys[K] = _RunningKeys(size)
        self._later: list[tuple[float, int, K]] = []
        self._opening: list[tuple[float, str]] = []
        self._available_at: dict[str, float] = {}
        self._turns: Turns[K] = Turns()
        self._serial = 0

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def add(self, key: K, due: Due) -> None:
        """Add a key."""
        if key in self._waiting:
            known, _ = self._waiting[key]
            due = due.merged_with(known)
            if due == known:
                return
        self._serial += 1
        self._waiting[key] = due, self._serial
        if key not in self._running:
            self._schedule(key)

    def requeue(self, key: K, due: Due) -> None:
        """Add a running key again, unless it was cancelled."""
        if not self._running[key].cancelled:
            self.add(key, due)

    def cancel(self, key: K) -> None:
        """Remove a key; a running reconcile continues."""
        self._waiting.pop(key, None)
        if key in self._running:
            self._running[key].cancelled = True

    def pick(self, now: float) -> K | None:
        """Return the due key whose turn it is, of those with capacity; `done` must follow."""
        self._sort_in(now)
        if not self._has_worker(now):
            return None
        has_capacity = partial(self._has_capacity, now=now)
        key = self._turns.take(self._is_waiting, self._running.has_room, has_capacity)
        if key is not None:
            due, _ = self._waiting.pop(key)
            self._running.start(key, due, self._object_of(key).namespace, now)
        return key

    def done(self, key: K, *, retry_at: float | None = None) -> None:
        """Record that the reconcile of a key has ended; if the key was added during it, it can be picked again.

        After a failure it is due at `retry_at`, unless it was cancelled.
        """
        ended = self._running.end(key)
        limiter_key = ended.due.limiter_key
        self._turns.reopen(limiter_key)
        if key in self._waiting:
            self._schedule(key)
            limiter_key = self._waiting[key][0].limiter_key
        if retry_at is not None and not ended.cancelled:
            self.add(key, replace(ended.due, at=retry_at, limiter_key=limiter_key))

    def next_at(self, now: float) -> float:
        """Return when a key may be due without an event; infinite for never."""
        while self._later and not self._is_waiting(self._later[0][2], self._later[0][1]):
            heapq.heappop(self._later)
        running = () if self._has_worker(now) else self._running.values()
        slow_at = next((at for one in running if (at := one.since + SLOW_SECONDS) > now), math.inf)
        heads = (heap[0][0] for heap in (self._later, self._opening) if heap)
        return min((slow_at, *heads))

    def _has_worker(self, now: float) -> bool:
        beyond = max(len(self._running) + 1 - self._size, 0)
        return all(now >= one.since + SLOW_SECONDS for one in islice(self._running.values(), beyond))

    def _schedule(self, key: K) -> None:
        due, serial = self._waiting[key]
        heapq.heappush(self._later, (due.at, serial, key))
        if len(self._later) > 2 * len(self._waiting) + _STALE_TOLERATED:
            # Replaced and cancelled entries would stay until their time, which may be a week away.
            self._later = [item for item in self._later if self._is_waiting(item[2], item[1])]
            heapq.heapify(self._later)

    def _sort_in(self, now: float) -> None:
        """Move keys that became due to the queue of their priority."""
        while self._opening and self._opening[0][0] <= now:
            at, limiter_key = heapq.heappop(self._opening)
            if self._available_at.get(limiter_key) == at:
                del self._available_at[limiter_key]
                self._turns.reopen(limiter_key)
        while self._later and self._later[0][0] <= now:
            _, serial, key = heapq.heappop(self._later)
            if self._is_waiting(key, serial):
                due, _ = self._waiting[key]
                self._turns.put(self._object_of(key), due.level, due.limiter_key, key, serial)

    def _is_waiting(self, key: K, serial: int) -> bool:
        return key in self._waiting and self._waiting[key][1] == serial and key not in self._running

    def _has_capacity(self, limiter_key: str, level: Level, now: float) -> bool:
        priority, _ = level
        running, urgent = self._running.of(limiter_key), priority < Priority.CHECK
        if self._limits is None or running < self._limits.capacity(limiter_key, now, urgent=urgent):
            return True
        if not running:
            # No running reconcile would free capacity.
            at = max(self._limits.available_at(limiter_key, now, urgent=urgent), now + _ASK_AGAIN_SECONDS)
            if at < self._available_at.get(limiter_key, math.inf):
                self._available_at[limiter_key] = at
                heapq.heappush(self._opening, (at, limiter_key))
        return False
