"""All metrics of a process, in a registry of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, disable_created_metrics

from bek_operator.controller.store import Store
from bek_operator.controller.web_server import Handler
from bek_operator.metrics.apis import ApiMetrics
from bek_operator.metrics.cluster import ClusterMetrics
from bek_operator.metrics.exposition import exposition
from bek_operator.metrics.objects import ObjectMetrics
from bek_operator.metrics.process import ProcessMetrics
from bek_operator.metrics.work import WorkMetrics
from bek_operator.times import Clock


class Metrics:
    """Metrics by what they measure."""

    def __init__(self, clock: Clock) -> None:
        # When each series began doubles their number, and nobody graphs it.
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.work = WorkMetrics(self.registry, clock)
        self.apis = ApiMetrics(self.registry)
        self.cluster = ClusterMetrics(self.registry)
        self.process = ProcessMetrics(self.registry)
        self.objects = ObjectMetrics(self.registry, clock)

    @contextmanager
    def of(self, store: Store) -> Iterator[None]:
        """Show the objects of a manager's store inside the block, and its work queues until the end of it."""
        try:
            with self.objects.of(store):
                yield
        finally:
            self.work.forget_queues()

    def handler(self) -> Handler:
        """Return what serves the metrics."""
        return exposition(self.registry)
