"""Claims: of two entries that lead to one number, which one may manage it.

Inside an object the lower number has it; between objects of one namespace the older object (creation time, then
name). Suspended objects, and those that never publish, claim nothing from others. Across namespaces nothing is
compared or told.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from bek_operator.model.place import identity_of
from bek_operator.model.resource import Resource
from bek_operator.model.spec import ObjectRef, Spec

_Place = tuple[str, str]
"""A namespace and an endpoint's identity."""


@dataclass(frozen=True, slots=True, order=True)
class _Claim:
    """The older claim is the smaller one."""

    created: float
    name: str
    uid: str


class Claims:
    """Who claims which endpoint; the one mutable part of the model, owned by the board."""

    def __init__(self) -> None:
        self._claims: dict[_Place, set[_Claim]] = defaultdict(set)
        self._places: dict[str, frozenset[_Place]] = {}

    def place(self, resource: Resource) -> frozenset[ObjectRef]:
        """Take note of what an object claims now; return the other objects that this concerns."""
        spec = resource.spec
        places: frozenset[_Place] = frozenset()
        if isinstance(spec, Spec) and spec.publish and not spec.suspend:
            places = frozenset(place for place, _ in _places(resource, spec))
        return self._replace(_claim(resource), places)

    def drop(self, resource: Resource) -> frozenset[ObjectRef]:
        """Forget an object; return those that it stood in the way of."""
        return self._replace(_claim(resource), frozenset())

    def _replace(self, claim: _Claim, places: frozenset[_Place]) -> frozenset[ObjectRef]:
        before = self._places.get(claim.uid, frozenset())
        concerned: set[ObjectRef] = set()
        for place in before ^ places:
            others = self._claims[place]
            concerned.update(ObjectRef(place[0], other.name) for other in others if other.uid != claim.uid)
            if place in places:
                others.add(claim)
            else:
                others.discard(claim)
            if not others:
                del self._claims[place]
        if places:
            self._places[claim.uid] = places
        else:
            self._places.pop(claim.uid, None)
        return frozenset(concerned)

    def lost(self, resource: Resource, spec: Spec) -> dict[str, str]:
        """Tell for each number of an object that it may not manage who does, in a sentence for its row."""
        lost: dict[str, str] = {}
        lowest: dict[_Place, str] = {}
        mine = _claim(resource)
        claiming = resource.uid in self._places
        for place, number in sorted(_places(resource, spec), key=lambda found: int(found[1])):
            first = lowest.setdefault(place, number)
            owner = min(self._claims.get(place, ()), default=mine) if claiming else mine
            if first != number:
                lost[number] = f"leads to the same endpoint as {first} of this object; remove one of them"
            elif owner != mine:
                lost[number] = f"is managed by the older BusinessEncryptionKey {owner.name}; remove it from one of them"
        return lost


def _claim(resource: Resource) -> _Claim:
    return _Claim(resource.created, resource.ref.name, resource.uid)


def _places(resource: Resource, spec: Spec) -> Iterator[tuple[_Place, str]]:
    namespace = resource.ref.namespace
    for number in spec.numbers:
        identity = identity_of(number, namespace)
        if identity:
            yield (namespace, identity), number.number
