"""The result of a reconcile, as values, which the workers apply in the same step."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bek_operator.controller.state import DerivationKey, EndpointKey, NumberKey
from bek_operator.controller.workqueue import Due
from bek_operator.crd.types import ObjectKey

K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Another key to enqueue."""

    key: ObjectKey | NumberKey | EndpointKey | DerivationKey
    due: Due


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a reconcile.

    Attributes:
        requeue: When the same key is due again, unless it was cancelled or is due before.
        cancel: Numbers and endpoints to cancel: running reconciles end, except for a publish. Applied before
            `enqueue`.
        enqueue: Other keys that are due because of this one.
    """

    requeue: Due | None = None
    cancel: tuple[NumberKey | EndpointKey, ...] = ()
    enqueue: tuple[Enqueue, ...] = ()


class Reconciler(Protocol[K_contra]):
    """Brings the actual state of one key to the desired state."""

    async def reconcile(self, key: K_contra) -> Result:
        """Do what is possible for a key now, and return the result.

        Raises:
            ClusterError: the API server did not answer; the key is tried again with back-off.
        """
        ...
