"""What a reconcile returns: values, which the workers apply in the same step."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bek_operator.controller.state import NumberKey
from bek_operator.controller.workqueue import Due
from bek_operator.crd.types import ObjectKey

K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Another key that has to be worked on."""

    key: ObjectKey | NumberKey
    due: Due


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What follows from a reconcile.

    Attributes:
        requeue: When the same key is due again, unless it was cancelled or is due before.
        cancel: Numbers to be left alone: what is under way for them ends, but for a publish. Comes before `enqueue`.
        enqueue: Other keys that are due because of this one.
    """

    requeue: Due | None = None
    cancel: tuple[NumberKey, ...] = ()
    enqueue: tuple[Enqueue, ...] = ()


class Reconciler(Protocol[K_contra]):
    """Brings one thing from what it is to what it should be."""

    async def reconcile(self, key: K_contra) -> Result:
        """Do what can be done for a key now, and return what follows from it.

        Raises:
            ClusterError: the API server did not answer; the key is tried again with back-off.
        """
        ...
