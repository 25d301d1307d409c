"""What the figures mean for installations of other sizes: arithmetic on what was measured, and the APIs' own limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.bars import cpu_a_number
from bench.figures import Raw, figure
from bench.processes import MIB

SIZES: Final = (10, 1000, 100_000)

CHECKS_AN_HOUR_CLOUD: Final = 1
CHECKS_AN_HOUR_PODS: Final = 6
CALLS_A_ROTATION: Final = 3
"""Read, publish, read: at the hourly default the last read is hardly ever fresh enough to do without the first."""
LOWEST_LIMIT, USUAL_LIMIT = 200, 5000
"""Calls an hour that an app may make about one WhatsApp Business Account: at least, and with a registered number."""

_USED: Final = 0.9
"""How much of a limit the operator uses for a new key."""

_MOST: Final = 1000
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was measured, for one number.

    Attributes:
        rotation_seconds: By the clock, 50 at once, when there are many.
        rotation_cpu: Of the operator.
        check_cpu: CPU seconds of a periodic check.
        memory: Bytes of one more number, when there are many.
        status: Bytes that one more number adds to what is written in a rotation.
    """

    rotation_seconds: float
    rotation_cpu: float
    check_cpu: float
    memory: float
    status: float


def costs(results: Raw) -> Costs:
    """Work out what one number costs.

    Raises:
        KeyError: a scenario that is needed was not run.
    """
    large = results["rotations"]["cloud-5000"]
    numbers = large["case"]["numbers"]
    idle = results["endurance"]["idle_few"]
    return Costs(
        rotation_seconds=figure(large["runs"], "wall").median / numbers,
        rotation_cpu=cpu_a_number(results, "cloud-5000").median,
        check_cpu=idle["cpu"] / max(sum(idle["reads_by_second"]), 1),
        memory=_memory_of_one_more(results),
        status=large["traffic"]["received"] / numbers,
    )


def table(results: Raw) -> Sequence[Sequence[str]]:
    """Return a row for each quantity, with a column for each size."""
    one = costs(results)
    measured = {size: figure(results["rotations"][f"cloud-{size}"]["runs"], "wall").median for size in SIZES[:2]}
    paces = [measured.get(size, size * one.rotation_seconds) for size in SIZES]
    return [
        ["", *(f"{size:,} numbers" for size in SIZES)],
        ["objects, of 1,000 numbers at most", *(f"{-(-size // _MOST):,}" for size in SIZES)],
        ["memory after a rotation", *(f"{_memory(results, size, one.memory) / MIB:,.0f} MiB" for size in SIZES)],
        ["rotation, by the operator's own pace", *map(_seconds, paces)],
        ["CPU of a rotation", *(_seconds(size * one.rotation_cpu) for size in SIZES)],
        ["written to the API server in a rotation", *(_bytes(size * one.status) for size in SIZES)],
        ["checks an hour, Cloud (hourly)", *(f"{size * CHECKS_AN_HOUR_CLOUD:,}" for size in SIZES)],
        ["checks an hour, On-Premises (every ten minutes)", *(f"{size * CHECKS_AN_HOUR_PODS:,}" for size in SIZES)],
        ["CPU of checks, On-Premises", *(_share(size * CHECKS_AN_HOUR_PODS * one.check_cpu) for size in SIZES)],
        [
            f"rotation where one token may make {LOWEST_LIMIT} calls an hour",
            *(_limited(size, LOWEST_LIMIT, pace) for size, pace in zip(SIZES, paces, strict=True)),
        ],
        [
            f"rotation where it may make {USUAL_LIMIT:,}",
            *(_limited(size, USUAL_LIMIT, pace) for size, pace in zip(SIZES, paces, strict=True)),
        ],
    ]


def _memory(results: Raw, size: int, one_more: float) -> float:
    """Return what was measured of the API that takes more, and beyond that what more numbers add."""
    measured = min(size, SIZES[1])
    most: int = max(results["rotations"][f"{api}-{measured}"]["memory"]["now"] for api in ("cloud", "on-premises"))
    return most + (size - measured) * one_more


def _memory_of_one_more(results: Raw) -> float:
    small, large = (results["rotations"][name] for name in ("on-premises-1000", "on-premises-5000"))
    numbers: int = large["case"]["numbers"] - small["case"]["numbers"]
    grown: int = large["memory"]["now"] - small["memory"]["now"]
    return max(grown, 0) / numbers


def _limited(size: int, limit: int, pace: float) -> str:
    """Return how long a rotation takes when its calls are more than an hour has room for."""
    calls, capacity = size * CALLS_A_ROTATION, limit * _USED
    if calls <= capacity:
        return _seconds(pace)
    return _seconds((calls / capacity - 1) * _HOUR)


def _share(cpu_an_hour: float) -> str:
    return f"{100 * cpu_an_hour / _HOUR:,.2g} % of a core"


def _seconds(seconds: float) -> str:
    for unit, size, least in (("days", 86_400.0, 4), ("h", _HOUR, 2), ("min", 60.0, 2)):
        if seconds >= least * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.2f} s"


def _bytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
