"""Metrics of the work queues and the reconcilers, named as controller-runtime names them."""

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bek_operator.controller.result import Reconciler, Result
from bek_operator.controller.workqueue import Due, Limits, WorkQueue
from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import ObjectKey
from bek_operator.times import Clock

K = TypeVar("K", bound=Hashable)

_RESULTS: Final = ("success", "error", "requeue", "requeue_after")
_LOSSES: Final = {
    Reason.STALE_SIGNATURE: "lost_signature",
    Reason.FOREIGN_KEY: "foreign_key",
    Reason.NOT_PUBLISHED: "key_gone",
}
# The buckets of controller-runtime: internal/controller/metrics/metrics.go and pkg/metrics/workqueue.go.
_RECONCILE_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0),
    *(50.0, 60.0),
)
_QUEUE_BUCKETS: Final = tuple(float(f"1e{exponent}") for exponent in range(-8, 4))


class WorkMetrics(Collector):
    """Measures the work of a manager."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, MeasuredQueue[Hashable]] = {}
        self._reconciles = Counter(
            "controller_runtime_reconcile_total",
            "Reconciles that ended, by result: success (nothing to do before something happens), requeue (due again at "
            "once), requeue_after (due again later), error. One that was interrupted by a change is not counted.",
            ["controller", "result"],
            registry=registry,
        )
        self._errors = Counter(
            "controller_runtime_reconcile_errors_total",
            "Reconciles that failed, because the API server did not answer or by an error of the operator itself. A "
            "failing WhatsApp API is no such error.",
            ["controller"],
            registry=registry,
        )
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a reconcile took.",
            ["controller"],
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self._adds = Counter(
            "workqueue_adds_total",
            "Keys added to the work queue, to be worked on at once or later; one that was in it is not added again.",
            ["name"],
            registry=registry,
        )
        self._retries = Counter(
            "workqueue_retries_total", "Keys added again with back-off, after an error.", ["name"], registry=registry
        )
        self._queued = Histogram(
            "workqueue_queue_duration_seconds",
            "How long a key waited for a worker, or for capacity of its API, from when it was due.",
            ["name"],
            buckets=_QUEUE_BUCKETS,
            registry=registry,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long the work on a key took.",
            ["name"],
            buckets=_QUEUE_BUCKETS,
            registry=registry,
        )
        self._losses = Counter(
            "bek_losses_total",
            "Numbers that were signed and found not to be, by kind: lost_signature (our key, MISMATCH), foreign_key "
            "(another key), key_gone (no key).",
            ["kind"],
            registry=registry,
        )
        for kind in _LOSSES.values():
            self._losses.labels(kind)
        registry.register(self)

    def work_queue(
        self, name: str, size: int, object_of: Callable[[K], ObjectKey], limits: Limits | None = None
    ) -> WorkQueue[K]:
        """Return a work queue that is measured."""
        queue: MeasuredQueue[K] = MeasuredQueue(
            size,
            object_of,
            limits=limits,
            clock=self._clock,
            adds=self._adds.labels(name),
            retries=self._retries.labels(name),
            queued=self._queued.labels(name),
            worked=self._worked.labels(name),
        )
        self._queues[name] = queue  # type: ignore[assignment] # it is only read
        return queue

    def forget_queues(self) -> None:
        """Show the work queues no longer: what is left in them when a leader becomes a standby is never worked on."""
        self._queues.clear()

    def reconciler(self, name: str, reconciler: Reconciler[K]) -> Reconciler[K]:
        """Return a reconciler that is measured."""
        results = {result: self._reconciles.labels(name, result) for result in _RESULTS}
        return _MeasuredReconciler(
            reconciler, self._clock, results, self._errors.labels(name), self._seconds.labels(name)
        )

    def lost(self, finding: Reason) -> None:
        """Count a number that was signed, and how it was found not to be."""
        self._losses.labels(_LOSSES[finding]).inc()

    def collect(self) -> Iterable[Metric]:
        """Return what is the case in each queue now."""
        depth = GaugeMetricFamily("workqueue_depth", "Keys that are due and wait.", labels=["name"])
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "For how long keys have been worked on that still are, in sum; it grows where work hangs.",
            labels=["name"],
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "For how long the key has been worked on that takes the longest.",
            labels=["name"],
        )
        active = GaugeMetricFamily("controller_runtime_active_workers", "Reconciles under way.", labels=["controller"])
        most = GaugeMetricFamily(
            "controller_runtime_max_concurrent_reconciles",
            "Workers; while some are slow, up to half as many more work for a namespace, and as many more for all.",
            labels=["controller"],
        )
        now = self._clock()
        for name, queue in self._queues.items():
            running = [max(now - since, 0.0) for since in queue.begun]
            depth.add_metric([name], queue.depth(now))
            unfinished.add_metric([name], sum(running))
            longest.add_metric([name], max(running, default=0.0))
            active.add_metric([name], len(running))
            most.add_metric([name], queue.size)
        return depth, unfinished, longest, active, most


class MeasuredQueue(WorkQueue[K]):
    """A work queue that tells what goes in and out of it."""

    def __init__(
        self,
        size: int,
        object_of: Callable[[K], ObjectKey],
        *,
        limits: Limits | None,
        clock: Clock,
        adds: Counter,
        retries: Counter,
        queued: Histogram,
        worked: Histogram,
    ) -> None:
        super().__init__(size, limits=limits, object_of=object_of)
        self.size = size
        self._clock = clock
        self._adds, self._retries, self._queued, self._worked = adds, retries, queued, worked
        self._ready_at: dict[K, float] = {}
        self._begun: dict[K, float] = {}

    @property
    def begun(self) -> list[float]:
        """Return since when each key is worked on that is."""
        return list(self._begun.values())

    def depth(self, now: float) -> int:
        """Return how many keys are due and are not worked on."""
        return sum(at <= now and key not in self._begun for key, at in self._ready_at.items())

    def add(self, key: K, due: Due) -> None:
        """Have a key worked on."""
        super().add(key, due)
        known = self._ready_at.get(key)
        if known is None:
            self._adds.inc()
        # One may be due since before it was added.
        at = max(due.at, self._clock())
        self._ready_at[key] = at if known is None else min(known, at)

    def cancel(self, key: K) -> None:
        """Forget that a key was to be worked on."""
        super().cancel(key)
        self._ready_at.pop(key, None)

    def pick(self, now: float) -> K | None:
        """Hand out the most urgent key that is due."""
        key = super().pick(now)
        if key is not None:
            self._queued.observe(max(now - self._ready_at.pop(key), 0.0))
            self._begun[key] = now
        return key

    def done(self, key: K, *, retry_at: float | None = None) -> None:
        """Say that the work on a key has ended."""
        self._worked.observe(max(self._clock() - self._begun.pop(key), 0.0))
        if retry_at is not None:
            self._retries.inc()
        super().done(key, retry_at=retry_at)


class _MeasuredReconciler(Reconciler[K]):
    def __init__(
        self,
        reconciler: Reconciler[K],
        clock: Clock,
        results: dict[str, Counter],
        errors: Counter,
        seconds: Histogram,
    ) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._results, self._errors, self._seconds = results, errors, seconds

    async def reconcile(self, key: K) -> Result:
        began = self._clock()
        try:
            result = await self._reconciler.reconcile(key)
        except Exception:
            self._count("error", began)
            self._errors.inc()
            raise
        now = self._clock()
        if result.requeue is None:
            self._count("success", began)
        else:
            self._count("requeue" if result.requeue.at <= now else "requeue_after", began)
        return result

    def _count(self, result: str, began: float) -> None:
        self._results[result].inc()
        self._seconds.observe(max(self._clock() - began, 0.0))
