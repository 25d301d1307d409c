"""Ownership: of two entries that lead to one number, which one may manage it.

Inside an object the lower number has it; between objects of one namespace the older object (creation time, then
name). Suspended objects, and those that never publish, claim nothing from others. Across namespaces nothing is
compared.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey, Spec
from bek_operator.numbers.identity import identity_of
from bek_operator.shorten import shorten

_Identity = tuple[str, str]
"""A namespace and an endpoint's identity."""


@dataclass(frozen=True, slots=True, order=True)
class _Claim:
    """The older claim is the smaller one."""

    created: float
    name: str
    uid: str


class Ownership:
    """The claims on endpoints; the only mutable state in the pure packages, owned by the store."""

    def __init__(self) -> None:
        self._claims: dict[_Identity, set[_Claim]] = defaultdict(set)
        self._identities: dict[str, frozenset[_Identity]] = {}

    def update(self, resource: BusinessEncryptionKey) -> frozenset[ObjectKey]:
        """Record an object's claims; return the other objects that this affects."""
        spec = resource.spec
        identities: frozenset[_Identity] = frozenset()
        if isinstance(spec, Spec) and spec.publish and not spec.suspend:
            identities = frozenset(identity for identity, _ in _identities(resource, spec))
        return self._replace(_claim(resource), identities)

    def drop(self, resource: BusinessEncryptionKey) -> frozenset[ObjectKey]:
        """Forget an object; return the objects that it had denied a number."""
        return self._replace(_claim(resource), frozenset())

    def _replace(self, claim: _Claim, identities: frozenset[_Identity]) -> frozenset[ObjectKey]:
        before = self._identities.get(claim.uid, frozenset())
        concerned: set[ObjectKey] = set()
        for identity in before ^ identities:
            others = self._claims[identity]
            concerned.update(ObjectKey(identity[0], other.name) for other in others if other.uid != claim.uid)
            if identity in identities:
                others.add(claim)
            else:
                others.discard(claim)
            if not others:
                del self._claims[identity]
        if identities:
            self._identities[claim.uid] = identities
        else:
            self._identities.pop(claim.uid, None)
        return frozenset(concerned)

    def denied(self, resource: BusinessEncryptionKey, spec: Spec) -> dict[str, str]:
        """Return for each number that an object must not manage a message that names the owner."""
        denied: dict[str, str] = {}
        lowest: dict[_Identity, str] = {}
        mine = _claim(resource)
        claiming = resource.uid in self._identities
        for identity, number in sorted(_identities(resource, spec), key=lambda found: int(found[1])):
            first = lowest.setdefault(identity, number)
            owner = min(self._claims.get(identity, ()), default=mine) if claiming else mine
            if first != number:
                denied[number] = f"same endpoint as {first} of this object; remove one of them"
            elif owner != mine:
                name = shorten(owner.name)
                denied[number] = (
                    f"managed by the older BusinessEncryptionKey {name}; remove the number from one of them"
                )
        return denied


def _claim(resource: BusinessEncryptionKey) -> _Claim:
    return _Claim(resource.created, resource.ref.name, resource.uid)


def _identities(resource: BusinessEncryptionKey, spec: Spec) -> Iterator[tuple[_Identity, str]]:
    namespace = resource.ref.namespace
    for number in spec.numbers:
        identity = identity_of(number, namespace)
        if identity:
            yield (namespace, identity), number.number
