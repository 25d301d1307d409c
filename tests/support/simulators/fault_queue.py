"""Faults queued for the next requests, in order."""

import threading
from dataclasses import dataclass
from typing import Literal

from support.simulators.exchange import Fault
from support.simulators.ledger import Kind


@dataclass(slots=True)
class _Planned:
    kind: Kind | Literal["any"]
    fault: Fault
    left: int | None


class FaultQueue:
    """Faults by the kind of request that they are for."""

    def __init__(self, lock: threading.Condition) -> None:
        self._lock = lock
        self._faults: list[_Planned] = []

    def add(self, kind: Kind | Literal["any"], fault: Fault, times: int | None) -> None:
        """Append a fault; `None` times means always."""
        with self._lock:
            self._faults.append(_Planned(kind, fault, times))

    def clear(self) -> None:
        """Drop every fault."""
        with self._lock:
            self._faults.clear()

    def next(self, kind: Kind) -> Fault | None:
        """Take the fault that is due for a request."""
        with self._lock:
            for planned in self._faults:
                if planned.kind not in (kind, "any"):
                    continue
                if planned.left is not None:
                    planned.left -= 1
                    if planned.left <= 0:
                        self._faults.remove(planned)
                return planned.fault
            return None
