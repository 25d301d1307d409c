"""Turns: due keys of objects of several tenants, in the order in which they are picked.

Pure, and knows no time: the work queue puts keys here when they are due, and says what there are workers and capacity
for.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from bek_operator.crd.types import ObjectKey

K = TypeVar("K", bound=Hashable)

_KEYS_A_TURN: Final = 100
"""An object has so many at most while others wait. With one each, all would be in progress, and have their status
written, at the same time."""

Level = tuple[int, bool]
"""Priority, and whether it is for suspects: the lower one goes first."""


class Turns(Generic[K]):
    """Due keys: tenants take turns, and the keys of each go by level. Within one limiter keys, then objects take turns.

    A limiter key without capacity is set aside until it is reopened, and so is a tenant that has no others.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant[K]] = {}
        self._order: deque[_Tenant[K]] = deque()
        self._full: defaultdict[str, list[tuple[_Tenant[K], _Limiters[K]]]] = defaultdict(list)

    def put(self, owner: ObjectKey, level: Level, limiter_key: str, key: K, serial: int) -> None:
        """Add a key of an object; `serial` tells it from the same key added before."""
        if owner.namespace not in self._tenants:
            self._tenants[owner.namespace] = _Tenant(owner.namespace)
        tenant = self._tenants[owner.namespace]
        tenant.levels[level].put(limiter_key, owner.name, key, serial)
        self._line_up(tenant)

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
                if not limiters.objects:
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
    """The due keys of one level of a tenant by limiter key and object; limiter keys that take turns are in `order`."""

    def __init__(self) -> None:
        self.objects: dict[str, OrderedDict[str, OrderedDict[K, int]]] = {}
        self.order: deque[str] = deque()
        self._taken: Counter[str] = Counter()

    def put(self, limiter_key: str, name: str, key: K, serial: int) -> None:
        if limiter_key not in self.objects:
            self.objects[limiter_key] = OrderedDict()
            self.order.append(limiter_key)
        self.objects[limiter_key].setdefault(name, OrderedDict())[key] = serial

    def take(self, limiter_key: str) -> tuple[K, int]:
        """Remove and return the next key of a limiter key whose turn it was."""
        objects = self.objects[limiter_key]
        name, keys = next(iter(objects.items()))
        taken = keys.popitem(last=False)
        self._taken[limiter_key] += 1
        if not keys:
            del objects[name]
        elif self._taken[limiter_key] % _KEYS_A_TURN == 0:
            objects.move_to_end(name)
        if objects:
            self.order.append(limiter_key)
        else:
            del self.objects[limiter_key], self._taken[limiter_key]
        return taken
