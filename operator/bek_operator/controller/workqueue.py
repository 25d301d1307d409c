"""The schedule: what is to be worked on, when, and what goes first.

One entry per key and never two at work on one key. A key that is added while it is worked on is due again
afterwards; of several additions the earliest and the most urgent win. What is due is picked by priority, and
within a priority lane by lane in turn, so that a slow host holds no more than its share; what may well take long
holds no more than its own, whatever lane it is in.

Pure: time comes in as an argument, in the seconds of any one clock.
"""

import heapq
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

_STALE_TOLERATED = 64
_AGAIN = 0.1
"""Seconds at least before a lane without room is asked again."""


class Priority(IntEnum):
    """What goes first."""

    USER = 0
    """Somebody changed something and watches."""
    KEY = 1
    """A new key has to reach a number."""
    REPAIR = 2
    """A number lacks the key, or its status is waited for."""
    CHECK = 3
    """A number is due to be looked at."""


class Doubt(IntEnum):
    """How likely it is that work takes long."""

    NONE = 0
    """It did not the last time."""
    NEW = 1
    """There was no last time."""
    FAILED = 2
    """It failed the last time."""


@dataclass(slots=True)
class _Entry:
    at: float
    priority: Priority
    limiter_key: str
    doubt: Doubt
    serial: int
    wanted: bool = True

    @property
    def level(self) -> tuple[Priority, Doubt]:
        return self.priority, self.doubt


class Limits(Protocol):
    """What the lanes can take: an API host so many at once, a token so many an hour."""

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many of a lane may be worked on at once right now; 0 for none."""
        ...

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be room again."""
        ...


class WorkQueue(Generic[K]):
    """Entries by key.

    `lanes` tells what each lane can take, `shares` how many keys of at least such doubt may be worked on at once.
    """

    def __init__(self, *, limits: Limits | None = None, shares: Mapping[Doubt, int] | None = None) -> None:
        self._limits = limits
        self._shares = shares or {}
        self._entries: dict[K, _Entry] = {}
        self._running: dict[K, _Entry] = {}
        self._later: list[tuple[float, int, K]] = []
        self._opening: list[tuple[float, str]] = []
        self._available_at: dict[str, float] = {}
        self._levels: dict[tuple[Priority, Doubt], _Queues[K]] = defaultdict(_Queues)
        self._running_by_limiter: dict[str, int] = defaultdict(int)
        self._doubtful: dict[Doubt, int] = dict.fromkeys(self._shares, 0)
        self._serial = 0

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def add(
        self,
        key: K,
        at: float,
        *,
        priority: Priority = Priority.CHECK,
        limiter_key: str = "",
        doubt: Doubt = Doubt.NONE,
    ) -> None:
        """Have a key worked on at an instant or as soon after as there is room."""
        known = self._entries.get(key)
        if known and known.at <= at and known.priority <= priority and known.limiter_key == limiter_key:
            return
        self._serial += 1
        entry = _Entry(at, priority, limiter_key, doubt, self._serial)
        if known:
            entry.at, entry.priority = min(known.at, at), min(known.priority, priority)
            entry.doubt = max(doubt, known.doubt) if known.limiter_key == limiter_key else doubt
        self._entries[key] = entry
        if key not in self._running:
            self._put_off(key, entry)

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on; one at work goes on to its end."""
        self._entries.pop(key, None)
        if key in self._running:
            self._running[key].wanted = False

    def pick(self, now: float) -> K | None:
        """Hand out the most urgent key that is due and has room in its lane; `done` must follow."""
        self._queue_due(now)
        for level in sorted(self._levels):
            if not self._has_share(level[1]):
                continue
            has_capacity = partial(self._has_capacity, now=now, urgent=level[0] < Priority.CHECK)
            key = self._levels[level].take(self._is_waiting, has_capacity)
            if key is not None:
                entry = self._entries.pop(key)
                self._running[key] = entry
                self._running_by_limiter[entry.limiter_key] += 1
                self._count(entry, 1)
                return key
        return None

    def done(self, key: K, *, again_at: float | None = None) -> None:
        """Say that the work on a key has ended; it may be picked again if it was added meanwhile.

        Work that failed is tried `again_at`, as one that failed, unless it was cancelled.
        """
        entry = self._running.pop(key)
        self._count(entry, -1)
        self._running_by_limiter[entry.limiter_key] -= 1
        if not self._running_by_limiter[entry.limiter_key]:
            del self._running_by_limiter[entry.limiter_key]
        self._reopen(entry.limiter_key)
        again = self._entries.get(key)
        if again:
            self._put_off(key, again)
        if again_at is not None and entry.wanted:
            limiter_key = again.limiter_key if again else entry.limiter_key
            self.add(key, again_at, priority=entry.priority, limiter_key=limiter_key, doubt=Doubt.FAILED)

    def next_at(self) -> float | None:
        """Return when the next entry will be due, or the next lane will open; `None` when neither is known."""
        while self._later and not self._is_waiting(self._later[0][2], self._later[0][1]):
            heapq.heappop(self._later)
        return min((heap[0][0] for heap in (self._later, self._opening) if heap), default=None)

    def _put_off(self, key: K, entry: _Entry) -> None:
        heapq.heappush(self._later, (entry.at, entry.serial, key))
        if len(self._later) > 2 * len(self._entries) + _STALE_TOLERATED:
            # What was replaced or cancelled would stay until its time, which may be a week away.
            self._later = [item for item in self._later if self._is_waiting(item[2], item[1])]
            heapq.heapify(self._later)

    def _queue_due(self, now: float) -> None:
        while self._opening and self._opening[0][0] <= now:
            at, limiter_key = heapq.heappop(self._opening)
            if self._available_at.get(limiter_key) == at:
                del self._available_at[limiter_key]
                self._reopen(limiter_key)
        while self._later and self._later[0][0] <= now:
            _, serial, key = heapq.heappop(self._later)
            if self._is_waiting(key, serial):
                entry = self._entries[key]
                self._levels[entry.level].put(entry.limiter_key, key, serial)

    def _is_waiting(self, key: K, serial: int) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.serial == serial and key not in self._running

    def _has_share(self, doubt: Doubt) -> bool:
        return all(self._doubtful[least] < most for least, most in self._shares.items() if least <= doubt)

    def _count(self, entry: _Entry, change: int) -> None:
        for least in self._shares:
            if least <= entry.doubt:
                self._doubtful[least] += change

    def _has_capacity(self, limiter_key: str, *, now: float, urgent: bool) -> bool:
        if self._limits is None or self._running_by_limiter.get(limiter_key, 0) < self._limits.capacity(
            limiter_key, now, urgent=urgent
        ):
            return True
        if not self._running_by_limiter.get(limiter_key):
            # None of the lane is at work, whose end would open it.
            at = max(self._limits.available_at(limiter_key, now, urgent=urgent), now + _AGAIN)
            if at < self._available_at.get(limiter_key, math.inf):
                self._available_at[limiter_key] = at
                heapq.heappush(self._opening, (at, limiter_key))
        return False

    def _reopen(self, limiter_key: str) -> None:
        for queues in self._levels.values():
            queues.reopen(limiter_key)


class _Queues(Generic[K]):
    """The due keys of one level, lane by lane; lanes without room are set aside until one of theirs is done."""

    def __init__(self) -> None:
        self._queues: dict[str, OrderedDict[K, int]] = {}
        self._turns: deque[str] = deque()
        self._full: set[str] = set()

    def put(self, limiter_key: str, key: K, serial: int) -> None:
        if limiter_key not in self._queues:
            self._queues[limiter_key] = OrderedDict()
            self._turns.append(limiter_key)
        self._queues[limiter_key][key] = serial

    def take(self, is_waiting: Callable[[K, int], bool], has_capacity: Callable[[str], bool]) -> K | None:
        while self._turns:
            limiter_key = self._turns.popleft()
            if not has_capacity(limiter_key):
                self._full.add(limiter_key)
                continue
            queue = self._queues[limiter_key]
            key, serial = queue.popitem(last=False)
            if queue:
                self._turns.append(limiter_key)
            else:
                del self._queues[limiter_key]
            if is_waiting(key, serial):
                return key
        return None

    def reopen(self, limiter_key: str) -> None:
        if limiter_key in self._full:
            self._full.discard(limiter_key)
            self._turns.append(limiter_key)
