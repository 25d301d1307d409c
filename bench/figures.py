"""Figures: medians with their spread, quantiles, and ratios of what was measured in turn."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Raw = dict[str, Any]
"""What a scenario measured, as it goes into the file of results."""

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
        """Sum up what was measured."""
        found = sorted(values)
        return cls(median=statistics.median(found), low=found[0], high=found[-1], times=len(found))

    def shown(self, digits: int = 2, unit: str = "") -> str:
        """Return the median, with the spread where there is one."""
        median, low, high = (f"{value:,.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median}{unit}" if low == high else f"{median}{unit} ({low} to {high})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """When the first, the middle, almost the last and the last of many was there, in seconds.

    Attributes:
        curve: When each fiftieth of them was there.
    """

    first: float
    median: float
    p99: float
    last: float
    curve: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Quantiles":
        """Sum up one run."""
        found = sorted(values)
        return cls(
            first=found[0],
            median=quantile(found, 0.5),
            p99=quantile(found, 0.99),
            last=found[-1],
            curve=tuple(round(quantile(found, point / _CURVE_POINTS), 4) for point in range(_CURVE_POINTS + 1)),
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that such a share of ordered values is not above."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def figure(runs: Sequence[Raw], *path: str, scale: float = 1.0) -> Figure:
    """Sum up one value of several runs; the path leads to it."""
    return Figure.of(scale * _at(run, path) for run in runs)


def ratio(runs: Sequence[Raw], others: Sequence[Raw], of: str) -> Figure:
    """Compare a value of runs with that of others which were made in turn with them; there may be fewer of those."""
    return Figure.of(run[of] / other[of] for run, other in zip(runs, others, strict=False))


def _at(run: Raw, path: Sequence[str]) -> float:
    found: Any = run
    for step in path:
        found = found[step]
    return float(found)
