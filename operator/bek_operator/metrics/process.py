"""Metrics of the process."""

from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, GCCollector, PlatformCollector, ProcessCollector


class ProcessMetrics:
    """Measures the process: its memory, CPU and descriptors, the interpreter, and whether it leads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        build = Gauge("bek_build_info", "The operator's version; always 1.", ["version"], registry=registry)
        build.labels(version("bek-operator")).set(1)
        self._leader = Gauge(
            "leader_election_master_status",
            "Whether this process holds the Lease of that name: 1 for yes, 0 for no. Absent without leader election.",
            ["name"],
            registry=registry,
        )

    def watch_leader(self, lease: str, is_leader: Callable[[], bool]) -> None:
        """Show whether this process holds a Lease."""
        self._leader.labels(lease).set_function(lambda: float(is_leader()))
