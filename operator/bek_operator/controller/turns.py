"""Turns: due keys of several tenants, in the order in which they are picked.

Pure, and knows no time: the work queue puts keys here when they are due, and says what there are workers and capacity
for.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

Level = tuple[int, bool]
"""Priority, and whether it is for suspects: the lower one goes first."""


class Turns(Generic[K]):
    """Due keys: tenants take turns; the keys of each go by level, and within a level limiter keys take turns.

    A limiter key without capacity is set aside until it is reopened, and so is a tenant that has no others.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant[K]] = {}
        self._order: deque[_Tenant[K]] = deque()
        self._full: defaultdict[str, list[tuple[_Tenant[K], _Limiters[K]]]] = defaultdict(list)

    def put(self, tenant: str, level: Level, limiter_key: str, key: K, serial: int) -> None:
        """Add a key; `serial` tells it from the same key added before."""
        if tenant not in self._tenants:
            self._tenants[tenant] = _Tenant(tenant)
        found = self._tenants[tenant]
        found.levels[level].put(limiter_key, key, serial)
        self._line_up(found)

    def take(
        self,
        is_waiting: Callable[[K, int], bool],
        has_worker: Callable[[str, Level], bool],
        has_capacity: Callable[[str, Level], bool],
    ) -> K | None:
        """Remove and return the next key.

        Args:
            is_waiting: Returns whether a key is still to be picked.
            has_worker: Returns whether there is a worker for a tenant's keys of a level.
            has_capacity: Returns whether a limiter key has capacity for a level.
        """
        key, passed_over = None, list[_Tenant[K]]()
        while key is None and self._order:
            tenant = self._order.popleft()
            key = self._take_from(tenant, is_waiting, has_worker, has_capacity)
            if not tenant.has_turns:
                tenant.in_order = False
                if not tenant.levels:
                    del self._tenants[tenant.name]
            elif key is None:
                passed_over.append(tenant)
            else:
                self._order.append(tenant)
        self._order.extendleft(reversed(passed_over))
        return key

    def reopen(self, limiter_key: str) -> None:
        """Have a limiter key take turns again, since it may have capacity."""
        for tenant, limiters in self._full.pop(limiter_key, ()):
            limiters.order.append(limiter_key)
            self._line_up(tenant)

    def _take_from(
        self,
        tenant: "_Tenant[K]",
        is_waiting: Callable[[K, int], bool],
        has_worker: Callable[[str, Level], bool],
        has_capacity: Callable[[str, Level], bool],
    ) -> K | None:
        for level in sorted(tenant.levels):
            limiters = tenant.levels[level]
            while limiters.order and has_worker(tenant.name, level):
                limiter_key = limiters.order.popleft()
                if not has_capacity(limiter_key, level):
                    self._full[limiter_key].append((tenant, limiters))
                    continue
                key, serial = limiters.take(limiter_key)
                if not limiters.keys:
                    del tenant.levels[level]
                if is_waiting(key, serial):
                    return key
        return None

    def _line_up(self, tenant: "_Tenant[K]") -> None:
        if not tenant.in_order:
            tenant.in_order = True
            self._order.append(tenant)


class _Tenant(Generic[K]):
    """The due keys of a tenant by level; `in_order` while it takes turns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.levels: defaultdict[Level, _Limiters[K]] = defaultdict(_Limiters)
        self.in_order = False

    @property
    def has_turns(self) -> bool:
        """Return whether any of its limiter keys takes turns."""
        return any(limiters.order for limiters in self.levels.values())


class _Limiters(Generic[K]):
    """The due keys of one level of a tenant by limiter key; those that take turns are in `order`."""

    def __init__(self) -> None:
        self.keys: dict[str, OrderedDict[K, int]] = {}
        self.order: deque[str] = deque()

    def put(self, limiter_key: str, key: K, serial: int) -> None:
        if limiter_key not in self.keys:
            self.keys[limiter_key] = OrderedDict()
            self.order.append(limiter_key)
        self.keys[limiter_key][key] = serial

    def take(self, limiter_key: str) -> tuple[K, int]:
        """Remove and return the next key of a limiter key whose turn it was."""
        keys = self.keys[limiter_key]
        taken = keys.popitem(last=False)
        if keys:
            self.order.append(limiter_key)
        else:
            del self.keys[limiter_key]
        return taken
