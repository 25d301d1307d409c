"""Recorded metrics, in the notation of `promtool test rules`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

INTERVAL = 30
"""Seconds from scrape to scrape, as Prometheus Operator has it by default."""

Values = Sequence[float | None]

_HEADER = "# Made by `make alert-fixtures` from a run of the operator in virtual time; not to be edited.\n"


class Recording:
    """What one scrape after the other finds."""

    def __init__(self) -> None:
        self._scrapes: list[Mapping[str, float]] = []

    def add(self, samples: Mapping[str, float]) -> None:
        """Add a scrape of all targets: the value of every series."""
        self._scrapes.append(samples)

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the sum of the series that have a name and these labels, at each scrape."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return [
            sum(
                value
                for series, value in found.items()
                if series.startswith(f"{name}{{") and all(one in series for one in wanted)
            )
            for found in self._scrapes
        ]

    def render(self) -> str:
        """Return a file of input series."""
        names = sorted(set(chain.from_iterable(self._scrapes)))
        lines = (
            f"- series: '{name}'\n  values: '{notation([found.get(name) for found in self._scrapes])}'\n"
            for name in names
        )
        length = INTERVAL * (len(self._scrapes) - 1)
        return "".join([_HEADER, f"length: {length}s\ninterval: {INTERVAL}s\ninput_series:\n", *lines])


def notation(values: Values) -> str:
    """Return the values of a series as promtool reads them; where it ends it is stale, as Prometheus marks it.

    >>> notation([1, 1, 1, 2, 3, 4, None, None, 5])
    '1x2 2+1x2 stale _ 5'
    """
    return " ".join(_words(values))


def _words(values: Values) -> Iterator[str]:
    index = 0
    while index < len(values):
        value = values[index]
        if value is None:
            count = _run(values, index, None)
            if index:
                yield "stale"
            rest = count - bool(index)
            if rest and index + count < len(values):
                yield "_" if rest == 1 else f"_x{rest}"
        else:
            step = _step(values, index)
            count = _run(values, index, step)
            sign = "" if not step else f"{step:+d}"
            yield f"{number(value)}{sign}x{count - 1}" if count > 1 else number(value)
        index += count


def _step(values: Values, index: int) -> int:
    """Return by how much a series grows from a place on; 0 unless it grows by a whole number, three times at least."""
    first, *rest = values[index : index + 3]
    if len(rest) < 2 or first is None:
        return 0
    steps = [(after or math.nan) - (before or 0.0) for before, after in zip((first, *rest), rest, strict=False)]
    whole = all(value is not None and float(value).is_integer() for value in (first, *rest))
    return int(steps[0]) if whole and steps[0] == steps[1] else 0


def _run(values: Values, index: int, step: int | None) -> int:
    """Return how many values from a place on are missing, or grow by a step each."""
    count = 1
    while index + count < len(values) and values[index + count] == _after(values[index + count - 1], step):
        count += 1
    return count


def _after(value: float | None, step: int | None) -> float | None:
    return None if value is None or step is None else value + step


def number(value: float) -> str:
    """Return a value; what is beyond milliseconds is of no use and differs from machine to machine."""
    rounded = round(value, 3)
    return str(int(rounded)) if rounded.is_integer() else repr(rounded)
