"""A work queue that is measured: what it tells of keys that go in and out of it."""

from __future__ import annotations

from bek_operator.controller.workqueue import Due, WorkQueue
from bek_operator.crd.types import ObjectKey
from bek_operator.metrics.metrics import Metrics
from support.scrape import Scrape, scrape


class Bench:
    """A queue of one worker, at a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._metrics = Metrics(lambda: self.now)
        self.queue: WorkQueue[str] = self._metrics.work.work_queue("test", 1, lambda _: ObjectKey("", ""))

    def scrape(self) -> Scrape:
        """Return what is shown now."""
        return scrape(self._metrics.registry)

    def add(self, key: str, at: float) -> None:
        """Have a key worked on."""
        self.queue.add(key, Due(at=at))


def test_a_key_that_waits_is_not_added_again() -> None:
    """It is due at the earliest of what was asked for, but never before it was asked for."""
    bench = Bench()
    bench.add("a", 1050.0)
    bench.add("a", 1100.0)
    bench.now = 1010.0
    bench.add("a", 1020.0)
    found = bench.scrape()
    assert (found.value("workqueue_adds_total"), found.value("workqueue_depth")) == (1, 0)
    bench.now = 1022.0
    assert bench.scrape().value("workqueue_depth") == 1
    assert bench.queue.pick(bench.now) == "a"
    assert bench.scrape().value("workqueue_queue_duration_seconds_sum") == 2
    bench.add("b", 0.0)
    bench.queue.done("a")
    bench.now = 1025.0
    assert bench.queue.pick(bench.now) == "b"
    assert bench.scrape().value("workqueue_queue_duration_seconds_sum") == 2 + 3


def test_a_key_that_is_worked_on_is_not_in_the_queue() -> None:
    """Also when it has been added again, until the work ends."""
    bench = Bench()
    bench.add("a", 1000.0)
    assert bench.queue.pick(bench.now) == "a"
    bench.add("a", 1000.0)
    bench.now = 1007.0
    found = bench.scrape()
    assert (found.value("workqueue_adds_total"), found.value("workqueue_depth")) == (2, 0)
    assert found.value("workqueue_longest_running_processor_seconds") == 7
    bench.queue.done("a", retry_at=1100.0)
    found = bench.scrape()
    assert (found.value("workqueue_depth"), found.value("workqueue_retries_total")) == (1, 1)
    assert found.value("workqueue_work_duration_seconds_sum") == 7
    assert found.value("workqueue_longest_running_processor_seconds") == 0
