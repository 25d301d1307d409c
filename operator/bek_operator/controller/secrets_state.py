"""The state of the Secrets that objects name."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from bek_operator.cluster.secrets import MOST_WRITERS
from bek_operator.crd.types import ObjectKey

REPLACEMENT_SECONDS: Final = 2.0
"""A missing Secret is reported after this: it may be replaced by deleting and creating it."""

_WRITERS_KEPT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsState:
    """The state of the Secrets that an object names.

    Attributes:
        versions: By name, the resourceVersion that the targets were made from; empty for a Secret that was missing.
        stale_since: The number of the store's sequence after which they must be read again before the next decision;
            `None` while they need not be.
        read_again_at: When they become stale without an event.
        missing_since: When a Secret was found missing, until that is reported.
        writers: Field managers of the key's Secret, each with when it was last seen.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    stale_since: int | None = 0
    read_again_at: float = math.inf
    missing_since: float | None = None
    writers: Mapping[str, float] = field(default_factory=dict)

    def is_due(self, now: float) -> bool:
        """Return whether the Secrets must be read now."""
        return self.stale_since is not None or now >= self.read_again_at

    def after_read(self, versions: Mapping[str, str], now: float) -> Self:
        """Return the state after a read; a Secret that disappeared counts as present for `REPLACEMENT_SECONDS`."""
        if not any(not versions[name] for name, version in self.versions.items() if version):
            return replace(self, versions=versions, missing_since=None)
        missing_since = now if self.missing_since is None else self.missing_since
        if now - missing_since < REPLACEMENT_SECONDS:
            return replace(self, missing_since=missing_since)
        return replace(self, versions=versions, missing_since=None)

    def for_another_spec(self) -> Self:
        """Return the state for a spec that no target was made from yet: it does not wait for a Secret to be replaced.

        The key may be in another Secret, which has other writers.
        """
        return replace(self, versions=dict.fromkeys(self.versions, ""), missing_since=None, writers={})

    def with_writers(self, names: Iterable[str], now: float) -> Self:
        """Return the state with the field managers; of two that overwrite each other the Secret names only the last."""
        seen = {**self.writers, **dict.fromkeys(names, now)}
        latest = sorted(seen, key=lambda name: seen[name], reverse=True)[:MOST_WRITERS]
        return replace(self, writers={name: seen[name] for name in latest if now - seen[name] < _WRITERS_KEPT_SECONDS})


class SecretIndex:
    """Which objects name a Secret."""

    def __init__(self) -> None:
        self._naming: dict[tuple[str, str], set[ObjectKey]] = defaultdict(set)

    def naming(self, namespace: str, secret: str) -> frozenset[ObjectKey]:
        """Return the objects that name a Secret."""
        return frozenset(self._naming.get((namespace, secret), ()))

    def replace(self, ref: ObjectKey, before: Iterable[str], after: Iterable[str]) -> None:
        """Record which Secrets an object names now."""
        for secret in after:
            self._naming[ref.namespace, secret].add(ref)
        for secret in set(before) - set(after):
            self._naming[ref.namespace, secret].discard(ref)
            if not self._naming[ref.namespace, secret]:
                del self._naming[ref.namespace, secret]
