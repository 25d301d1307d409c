"""A cache of bounded size that evicts the least recently used entry."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Keeps the values of the `size` keys that were used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def __iter__(self) -> Iterator[V]:
        """Iterate over the values; that does not count as use."""
        return iter(list(self._values.values()))

    def get(self, key: K) -> V | None:
        """Return the value of a key; `None` when it is not cached."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: K, value: V) -> None:
        """Set the value of a key."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Remove a key, if it is cached."""
        self._values.pop(key, None)
