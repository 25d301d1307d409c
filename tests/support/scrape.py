"""What a scrape of metrics says, as Prometheus's own client reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from bek_operator.metrics.metrics import Metrics
from support.world import World

BOUNDS: Final = "le"


class Scrape:
    """The samples of one exposition in the text format."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Collection[Metric] = list(text_string_to_metric_families(text))
        self._samples = [one for family in self.families for one in family.samples]

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return the value of the one series with a name and these labels, `None` where there is none."""
        found = [one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) <= 1, f"{name}: several series have {labels}"
        return found[0] if found else None

    def values(self, name: str, by: str, /, **labels: str) -> dict[str, float]:
        """Return the values of a metric's series that have these labels, by another label; zeros are left out."""
        return {
            one.labels[by]: one.value
            for one in self._samples
            if one.name == name and labels.items() <= one.labels.items() and one.value
        }

    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        """Return every series by name and labels."""
        return {(one.name, tuple(sorted(one.labels.items()))) for one in self._samples}


def scrape(registry: CollectorRegistry) -> Scrape:
    """Return what a registry shows now."""
    return Scrape(generate_latest(registry).decode())


def measured(world: World, metrics: Metrics) -> Metrics:
    """Have a world measured whose operator has not started yet; its objects are shown by `watch_objects`."""
    world.instruments = metrics.work
    world.backend = metrics.apis.backend(world.backend)
    return metrics


def ref_labels(ref: tuple[str, str]) -> Mapping[str, str]:
    """Return the labels of an object."""
    return {"namespace": ref[0], "name": ref[1]}
