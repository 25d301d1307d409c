"""The numbers that are to be worked on, and which of them go first."""

import math
from typing import Final

from bek_operator.controller.store import NumberKey
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import Doubt, Priority
from bek_operator.crd.reasons import AT_EASE, Reason
from bek_operator.numbers.observation import Observation

CHECKS_EVERY: Final = 1.0
"""Seconds between the instants at which checks that nobody waits for are made.

A process that wakes up for a single one pays more for that than for the check.
"""


class NumberQueue:
    """Puts numbers before the workers that sign them."""

    def __init__(self, workers: Workers[NumberKey]) -> None:
        self._workers = workers

    def enqueue(
        self,
        ref: NumberKey,
        seen: Observation,
        at: float,
        *,
        before: Observation | None = None,
        reached: bool = False,
    ) -> None:
        """Have a number worked on, unless that is at no time; what a person waits for goes first.

        `before` is what was known of it for its last target; `reached` tells whether a rollout has come to it.
        """
        if at == math.inf:
            return
        if reached or (before is not None and before.target.key != seen.target.key):
            priority = Priority.KEY
        elif not seen.observed or seen.check_requested:
            priority = Priority.USER
        else:
            priority = Priority.CHECK if seen.reason in AT_EASE else Priority.REPAIR
        if priority is Priority.CHECK:
            at = math.ceil(at / CHECKS_EVERY) * CHECKS_EVERY
        self._workers.add(ref, at, priority=priority, limiter_key=seen.target.limiter_key, doubt=_doubt(seen, before))

    def put_off(self, ref: NumberKey, seen: Observation, until: float) -> None:
        """Leave a number that was worked on until then: whatever it was wanted for meanwhile has been seen to."""
        self._workers.cancel(ref)
        self.enqueue(ref, seen, until)

    def interrupt(self, ref: NumberKey) -> None:
        """End the call that is under way for a number, unless it publishes."""
        self._workers.interrupt(ref)

    def stop(self, ref: NumberKey) -> None:
        """Leave a number alone from now on."""
        self._workers.cancel(ref)
        self._workers.interrupt(ref)


def _doubt(seen: Observation, before: Observation | None) -> Doubt:
    """Tell whether a call may well hang, going by the last one there."""
    failed_before = before is not None and before.failures > 0 and before.target.endpoint == seen.target.endpoint
    if seen.failures or seen.reason is Reason.UNREACHABLE or failed_before:
        return Doubt.FAILED
    return Doubt.NEW if not seen.observed and seen.read_at is None else Doubt.NONE
