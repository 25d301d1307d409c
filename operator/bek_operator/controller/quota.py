"""A quota of each namespace, because all share the memory of one process: its oldest objects are served while they fit.

There is one of phone numbers, and one of the bytes of Secrets that are held for them.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Final

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey


@dataclass(frozen=True, slots=True, order=True)
class _Claim:
    """An object's claim to so many units; the older claim is the smaller one."""

    created: float
    ref: ObjectKey
    uid: str
    units: int = field(compare=False)


MOST_BEYOND: Final = 1000
"""Objects of a namespace beyond its quota, each of which takes some 3 KiB. The youngest of more are not even known."""


class Quota:
    """Which objects are served, of so many units.

    Each change returns the other objects for which that is different now, and those that are not known any more.
    """

    def __init__(self, most: int, beyond: int = MOST_BEYOND) -> None:
        self._most = most
        self._most_beyond = beyond
        self._claims: dict[ObjectKey, _Claim] = {}
        self._namespaces: dict[str, _Namespace] = {}

    def knows(self, ref: ObjectKey) -> bool:
        """Return whether an object is known."""
        return ref in self._claims

    def serves(self, ref: ObjectKey) -> bool:
        """Return whether an object is served; one that is not known is not."""
        claim = self._claims.get(ref)
        return claim is not None and self._namespaces[ref.namespace].serves(claim)

    def update(self, resource: BusinessEncryptionKey, units: int) -> frozenset[ObjectKey]:
        """Record how many units an object takes."""
        ref = resource.ref
        claim, known = _Claim(resource.created, ref, resource.uid, units), self._claims.get(ref)
        if known == claim and known.units == units:
            return frozenset()
        changed = self._remove(ref)
        self._claims[ref] = claim
        namespace = self._namespaces.setdefault(ref.namespace, _Namespace(self._most))
        changed ^= namespace.add(claim)
        for unknown in namespace.leave_out(self._most_beyond):
            del self._claims[unknown]
            changed.add(unknown)
        return frozenset(changed - {ref})

    def drop(self, ref: ObjectKey) -> frozenset[ObjectKey]:
        """Forget an object."""
        return frozenset(self._remove(ref) - {ref})

    def _remove(self, ref: ObjectKey) -> set[ObjectKey]:
        claim = self._claims.pop(ref, None)
        if claim is None:
            return set()
        namespace = self._namespaces[ref.namespace]
        changed = namespace.remove(claim)
        if namespace.is_empty:
            del self._namespaces[ref.namespace]
        return changed


class _Namespace:
    """The claims of a namespace from the oldest on: first those that are served, then those beyond the quota."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._served: list[_Claim] = []
        self._beyond: list[_Claim] = []

    @property
    def is_empty(self) -> bool:
        return not self._served and not self._beyond

    def serves(self, claim: _Claim) -> bool:
        return not self._beyond or claim < self._beyond[0]

    def add(self, claim: _Claim) -> set[ObjectKey]:
        if self.serves(claim):
            insort(self._served, claim)
            self._room -= claim.units
        else:
            insort(self._beyond, claim)
        return self._balance()

    def remove(self, claim: _Claim) -> set[ObjectKey]:
        if self.serves(claim):
            del self._served[bisect_left(self._served, claim)]
            self._room += claim.units
        else:
            del self._beyond[bisect_left(self._beyond, claim)]
        return self._balance()

    def leave_out(self, most: int) -> list[ObjectKey]:
        """Forget the youngest objects of more than so many beyond the quota; return them."""
        left_out = [claim.ref for claim in self._beyond[most:]]
        del self._beyond[most:]
        return left_out

    def _balance(self) -> set[ObjectKey]:
        """Move the boundary to where the room ends; return the objects that it has passed."""
        passed = set[ObjectKey]()
        while self._room < 0:
            youngest = self._served.pop()
            self._room += youngest.units
            self._beyond.insert(0, youngest)
            passed.add(youngest.ref)
        while self._beyond and self._beyond[0].units <= self._room:
            oldest = self._beyond.pop(0)
            self._room -= oldest.units
            self._served.append(oldest)
            passed.add(oldest.ref)
        return passed
