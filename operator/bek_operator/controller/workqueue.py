"""The work queue: which key is worked on next.

One entry for each key, and never two workers on one key. A key that is added while it is worked on is due again
afterwards; of several additions the earliest and the most urgent win. What is due is picked by priority, and within a
priority by limiter key in turn, so that a slow host holds no more workers than its own; numbers that may well hang
(suspects) come after their equals, and leave workers to the others.

Pure: time comes in as an argument, in the seconds of any one clock.
"""

import heapq
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

_STALE_TOLERATED = 64
_ASK_AGAIN_SECONDS = 0.1
"""How long a limiter without capacity is left alone at least."""

SLOW_SECONDS: Final = 0.25
"""Work that takes longer may well hang, and has other work begun beside it."""


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


_Level = tuple[Priority, bool]
"""Priority, and whether it is for suspects: the lower one goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a key is to be worked on, and what goes before it.

    Attributes:
        at: The instant, or as soon after as there is a worker for it.
        limiter_key: What shares a limit with it.
        suspect: Work on it may well hang.
    """

    at: float
    priority: Priority = Priority.CHECK
    limiter_key: str = ""
    suspect: bool = False

    @property
    def level(self) -> _Level:
        """Return what it is picked by."""
        return self.priority, self.suspect

    def merged_with(self, other: "Due") -> "Due":
        """Return this one, as early and as urgent as another one; suspect if either is, under the same limit."""
        suspect = self.suspect or (other.suspect and other.limiter_key == self.limiter_key)
        return replace(self, at=min(self.at, other.at), priority=min(self.priority, other.priority), suspect=suspect)


class Limits(Protocol):
    """What APIs can take: a host so many calls at once, a token so many an hour."""

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many keys of a limiter may be worked on at once right now; 0 for none."""
        ...

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be capacity again."""
        ...


@dataclass(slots=True)
class _Running:
    due: Due
    since: float
    cancelled: bool = False


class WorkQueue(Generic[K]):
    """Keys that are due at some time; `size` are worked on at once, and up to half as many more while some are slow.

    Suspects get half of the workers, those that a user or a new key waits for three quarters: so a number that
    answers finds a worker however many hang, and a new one however many have failed before.
    """

    def __init__(self, size: int, *, limits: Limits | None = None) -> None:
        self._size = size
        self._limits = limits
        self._waiting: dict[K, tuple[Due, int]] = {}
        self._running: dict[K, _Running] = {}  # longest first
        self._suspects = 0  # how many of these may well hang
        self._later: list[tuple[float, int, K]] = []
        self._opening: list[tuple[float, str]] = []
        self._available_at: dict[str, float] = {}
        self._levels: dict[_Level, _Turns[K]] = defaultdict(_Turns)
        self._running_by_limiter: dict[str, int] = defaultdict(int)
        self._serial = 0

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def add(self, key: K, due: Due) -> None:
        """Have a key worked on."""
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
        """Have a key that is being worked on worked on again, unless it was cancelled meanwhile."""
        if not self._running[key].cancelled:
            self.add(key, due)

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on; work that is under way goes on to its end."""
        self._waiting.pop(key, None)
        if key in self._running:
            self._running[key].cancelled = True

    def pick(self, now: float) -> K | None:
        """Hand out the most urgent key that is due and for which there is capacity; `done` must follow."""
        self._sort_in(now)
        if not self._has_worker(now):
            return None
        for level in sorted(self._levels):
            priority, suspect = level
            if suspect and self._suspects >= self._most_suspects(priority):
                continue
            has_capacity = partial(self._has_capacity, now=now, urgent=priority < Priority.CHECK)
            key = self._levels[level].take(self._is_waiting, has_capacity)
            if key is not None:
                due, _ = self._waiting.pop(key)
                self._running[key] = _Running(due, now)
                self._running_by_limiter[due.limiter_key] += 1
                self._suspects += due.suspect
                return key
        return None

    def done(self, key: K, *, retry_at: float | None = None) -> None:
        """Say that the work on a key has ended; it may be picked again if it was added meanwhile.

        Work that failed is tried again at `retry_at`, unless it was cancelled.
        """
        ended = self._running.pop(key)
        limiter_key = ended.due.limiter_key
        self._suspects -= ended.due.suspect
        self._running_by_limiter[limiter_key] -= 1
        if not self._running_by_limiter[limiter_key]:
            del self._running_by_limiter[limiter_key]
        self._reopen(limiter_key)
        if key in self._waiting:
            self._schedule(key)
            limiter_key = self._waiting[key][0].limiter_key
        if retry_at is not None and not ended.cancelled:
            self.add(key, replace(ended.due, at=retry_at, limiter_key=limiter_key))

    def next_at(self, now: float) -> float:
        """Return when time alone may have something picked; infinite when nothing is known of that."""
        while self._later and not self._is_waiting(self._later[0][2], self._later[0][1]):
            heapq.heappop(self._later)
        running = () if self._has_worker(now) else self._running.values()
        slow_at = next((at for one in running if (at := one.since + SLOW_SECONDS) > now), math.inf)
        heads = (heap[0][0] for heap in (self._later, self._opening) if heap)
        return min((slow_at, *heads))

    def _has_worker(self, now: float) -> bool:
        beyond = len(self._running) + 1 - self._size
        longest = islice(self._running.values(), max(beyond, 0))
        return beyond <= self._size // 2 and all(now >= one.since + SLOW_SECONDS for one in longest)

    def _schedule(self, key: K) -> None:
        due, serial = self._waiting[key]
        heapq.heappush(self._later, (due.at, serial, key))
        if len(self._later) > 2 * len(self._waiting) + _STALE_TOLERATED:
            # What was replaced or cancelled would stay until its time, which may be a week away.
            self._later = [item for item in self._later if self._is_waiting(item[2], item[1])]
            heapq.heapify(self._later)

    def _sort_in(self, now: float) -> None:
        """Have what has come due picked by priority from now on."""
        while self._opening and self._opening[0][0] <= now:
            at, limiter_key = heapq.heappop(self._opening)
            if self._available_at.get(limiter_key) == at:
                del self._available_at[limiter_key]
                self._reopen(limiter_key)
        while self._later and self._later[0][0] <= now:
            _, serial, key = heapq.heappop(self._later)
            if self._is_waiting(key, serial):
                due, _ = self._waiting[key]
                self._levels[due.level].put(due.limiter_key, key, serial)

    def _is_waiting(self, key: K, serial: int) -> bool:
        return key in self._waiting and self._waiting[key][1] == serial and key not in self._running

    def _most_suspects(self, priority: Priority) -> int:
        return max(self._size * 3 // 4 if priority <= Priority.KEY else self._size // 2, 1)

    def _has_capacity(self, limiter_key: str, *, now: float, urgent: bool) -> bool:
        if self._limits is None or self._running_by_limiter.get(limiter_key, 0) < self._limits.capacity(
            limiter_key, now, urgent=urgent
        ):
            return True
        if not self._running_by_limiter.get(limiter_key):
            # No work is under way whose end would bring capacity.
            at = max(self._limits.available_at(limiter_key, now, urgent=urgent), now + _ASK_AGAIN_SECONDS)
            if at < self._available_at.get(limiter_key, math.inf):
                self._available_at[limiter_key] = at
                heapq.heappush(self._opening, (at, limiter_key))
        return False

    def _reopen(self, limiter_key: str) -> None:
        for turns in self._levels.values():
            turns.reopen(limiter_key)


class _Turns(Generic[K]):
    """The due keys of one level, by limiter key in turn; limiters without capacity are set aside meanwhile."""

    def __init__(self) -> None:
        self._keys: dict[str, OrderedDict[K, int]] = {}
        self._order: deque[str] = deque()
        self._full: set[str] = set()

    def put(self, limiter_key: str, key: K, serial: int) -> None:
        if limiter_key not in self._keys:
            self._keys[limiter_key] = OrderedDict()
            self._order.append(limiter_key)
        self._keys[limiter_key][key] = serial

    def take(self, is_waiting: Callable[[K, int], bool], has_capacity: Callable[[str], bool]) -> K | None:
        while self._order:
            limiter_key = self._order.popleft()
            if not has_capacity(limiter_key):
                self._full.add(limiter_key)
                continue
            keys = self._keys[limiter_key]
            key, serial = keys.popitem(last=False)
            if keys:
                self._order.append(limiter_key)
            else:
                del self._keys[limiter_key]
            if is_waiting(key, serial):
                return key
        return None

    def reopen(self, limiter_key: str) -> None:
        if limiter_key in self._full:
            self._full.discard(limiter_key)
            self._order.append(limiter_key)
