"""A cache of bounded size that evicts the least recently used entry."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Keeps the values that were used last, of a total weight of `size`; a value weighs 1 unless it says otherwise."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def __iter__(self) -> Iterator[V]:
        """Iterate over the values; that does not count as use."""
        return iter([value for value, _ in self._values.values()])

    def get(self, key: K) -> V | None:
        """Return the value of a key; `None` when it is not cached."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, *, weight: int = 1) -> None:
        """Set the value of a key."""
        self.drop(key)
        self._values[key] = (value, weight)
        self._weight += weight
        while self._weight > self._size:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Remove a key, if it is cached."""
        if key in self._values:
            self._weight -= self._values.pop(key)[1]
