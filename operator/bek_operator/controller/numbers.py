"""The numbers that are to be worked on, and which of them go first."""

from bek_operator.controller.board import NumberRef
from bek_operator.controller.schedule import Priority
from bek_operator.controller.workers import Workers
from bek_operator.model.observation import Observation
from bek_operator.model.reasons import Reason


class NumberQueue:
    """Puts numbers before the workers that sign them."""

    def __init__(self, workers: Workers[NumberRef]) -> None:
        self._workers = workers

    def enqueue(self, ref: NumberRef, seen: Observation, at: float, *, new_key: bool = False) -> None:
        """Have a number worked on; what a person waits for goes before what nobody would miss."""
        if not seen.tried:
            priority = Priority.KEY if new_key else Priority.PERSON
        else:
            priority = Priority.CHECK if seen.reason is Reason.SIGNED else Priority.REPAIR
        self._workers.add(ref, at, priority=priority, lane=seen.target.lane, suspect=seen.failures > 0)

    def interrupt(self, ref: NumberRef) -> None:
        """End the call that is under way for a number, unless it publishes."""
        self._workers.interrupt(ref)

    def stop(self, ref: NumberRef) -> None:
        """Leave a number alone from now on."""
        self._workers.cancel(ref)
        self._workers.interrupt(ref)
