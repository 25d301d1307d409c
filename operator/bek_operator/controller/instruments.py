"""What measures the work of a manager, if anybody does."""

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from bek_operator.controller.result import Reconciler
from bek_operator.controller.workqueue import Limits, WorkQueue
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import ObjectKey

K = TypeVar("K", bound=Hashable)


class Instruments(Protocol):
    """Measures work; names are those of the metrics' labels."""

    def work_queue(
        self, name: str, size: int, object_of: Callable[[K], ObjectKey], limits: Limits | None = None
    ) -> WorkQueue[K]:
        """Return a work queue that is measured."""
        ...

    def reconciler(self, name: str, reconciler: Reconciler[K]) -> Reconciler[K]:
        """Return a reconciler that is measured."""
        ...

    def lost(self, finding: Reason) -> None:
        """Count a number that was signed, and how it was found not to be."""
        ...


class NoInstruments:
    """Measures nothing."""

    def work_queue(
        self, name: str, size: int, object_of: Callable[[K], ObjectKey], limits: Limits | None = None
    ) -> WorkQueue[K]:
        """Return a work queue."""
        del name
        return WorkQueue(size, limits=limits, object_of=object_of)

    def reconciler(self, name: str, reconciler: Reconciler[K]) -> Reconciler[K]:
        """Return the reconciler itself."""
        del name
        return reconciler

    def lost(self, finding: Reason) -> None:
        """Do nothing."""
