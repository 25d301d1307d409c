"""Metrics of the BusinessEncryptionKeys, read from the store when they are asked for: series end with their object."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bek_operator.controller.store import Store
from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import READY, RECONCILING, STALLED, Status
from bek_operator.times import Clock

# The two abnormal ones exist while they are True.
_STATUSES: Final = {READY: ("True", "False", "Unknown"), RECONCILING: ("True", "False"), STALLED: ("True", "False")}


class ObjectMetrics(Collector):
    """Reads the store of the manager that runs; only the leader has one."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._started = 0.0
        self._store: Store | None = None
        registry.register(self)

    @contextmanager
    def of(self, store: Store) -> Iterator[None]:
        """Show the objects of a store inside the block."""
        self._store, self._started = store, self._clock()
        try:
            yield
        finally:
            self._store = None

    def collect(self) -> Iterable[Metric]:
        """Return what is the case now."""
        by_object = ["namespace", "name"]
        conditions = GaugeMetricFamily(
            "bek_condition",
            "Conditions of each BusinessEncryptionKey: 1 for the status that one has, 0 for the others. Ready is True, "
            "False, or Unknown before there is one; Reconciling and Stalled are True, or False where there is none.",
            labels=[*by_object, "type", "status"],
        )
        numbers = GaugeMetricFamily(
            "bek_numbers",
            "Phone numbers of each BusinessEncryptionKey, by the reason that they show in its status; those with "
            "Signed are VALID for the current key. A reason that no number shows is left out, but Signed is not.",
            labels=[*by_object, "reason"],
        )
        checked = GaugeMetricFamily(
            "bek_last_successful_check_timestamp_seconds",
            "When the number of each BusinessEncryptionKey that was checked longest ago last reported its key; the "
            "start of its leadership where it has not since. Absent while the object is suspended.",
            labels=by_object,
        )
        interval = GaugeMetricFamily(
            "bek_check_interval_seconds",
            "How often the numbers of each BusinessEncryptionKey are checked; the longest interval where they have "
            "different ones. Absent while the object is suspended.",
            labels=by_object,
        )
        for ref in self._store or ():
            state = self._store.get(ref) if self._store else None
            if state is None:
                continue
            status = state.resource.status
            for kind, words in _STATUSES.items():
                present = _status_of(status, kind)
                for word in words:
                    conditions.add_metric([*ref, kind, word], word == present)
            for reason, count in _numbers(status):
                numbers.add_metric([*ref, reason], count)
            called = [] if state.is_suspended else [one for one in state.facts.values() if one.target.problem is None]
            if called:
                interval.add_metric(ref, max(one.target.interval for one in called))
            unchecked_since = max(self._started, state.resource.created)
            # One that waits for its first check is late only when it fails.
            checks = [
                unchecked_since if one.checked_at is None else one.checked_at
                for one in called
                if one.observed or one.checked_at is not None
            ]
            if checks:
                checked.add_metric(ref, min(checks))
        return conditions, numbers, checked, interval


def _status_of(status: Status, kind: str) -> str:
    condition = status.condition(kind)
    if condition is None:
        return "Unknown" if kind == READY else "False"
    return "True" if condition.true else "False"


def _numbers(status: Status) -> Iterator[tuple[str, int]]:
    counts = status.rows.reasons
    yield Reason.SIGNED, counts.get(Reason.SIGNED, 0)
    yield from ((reason, count) for reason, count in counts.items() if reason is not Reason.SIGNED)
