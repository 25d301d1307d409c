"""Metrics of the process."""

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

    def set_leader(self, lease: str, *, leads: bool) -> None:
        """Record whether this process holds a Lease."""
        self._leader.labels(lease).set(leads)
