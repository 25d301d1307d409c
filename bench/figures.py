"""Figures: medians with their spread, quantiles, and ratios of what was measured in turn."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Raw = dict[str, Any]
"""What a scenario measured, as in the file of results."""

_CURVE_POINTS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One quantity, measured several times."""

    median: float
    low: float
    high: float
    times: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """Summarise values."""
        found = sorted(values)
        return cls(median=statistics.median(found), low=found[0], high=found[-1], times=len(found))

    def shown(self, digits: int = 2, unit: str = "") -> str:
        """Return the median, with the spread where there is one."""
        median, low, high = (f"{value:,.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median}{unit}" if low == high else f"{median}{unit} ({low} to {high})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """The times of the first, the median, the 99th percentile and the last of many, in seconds.

    Attributes:
        curve: The time of each fiftieth of them.
    """

    first: float
    median: float
    p99: float
    last: float
    curve: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Quantiles":
        """Summarise one run."""
        found = sorted(values)
        return cls(
            first=found[0],
            median=quantile(found, 0.5),
            p99=quantile(found, 0.99),
            last=found[-1],
            curve=tuple(round(quantile(found, point / _CURVE_POINTS), 4) for point in range(_CURVE_POINTS + 1)),
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile of ordered values."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def figure(runs: Sequence[Raw], *path: str, scale: float = 1.0) -> Figure:
    """Summarise one value of several runs, found by its path."""
    return Figure.of(scale * _at(run, path) for run in runs)


def ratio(runs: Sequence[Raw], others: Sequence[Raw], of: str) -> Figure:
    """Return the ratios of a value in runs to that in others, made in turn with them; others may be fewer."""
    return Figure.of(run[of] / other[of] for run, other in zip(runs, others, strict=False))


def _at(run: Raw, path: Sequence[str]) -> float:
    found: Any = run
    for step in path:
        found = found[step]
    return float(found)
