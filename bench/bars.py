"""The bars: what is promised, what was measured, and whether the bar is met."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bench.baselines import SAME_CLIENT
from bench.figures import Figure, Raw, figure, ratio
from bench.processes import MIB

_TEN_MINUTES = 600.0
_EVEN = 1.5
"""Reads count as evenly spread if the busiest ten seconds have at most so many times the average."""

_FLAT = 1.05
"""How many times the memory of its beginning an hour may end with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table; `met` is `None` where nothing was measured."""

    what: str
    bar: str
    measured: str
    met: bool | None

    @property
    def word(self) -> str:
        """Return the verdict as a word."""
        return "not measured" if self.met is None else "met" if self.met else "MISSED"


Measured = tuple[str, bool]


def verdicts(results: Raw) -> list[Verdict]:
    """Compare the results with every bar, in order."""
    found = []
    for (what, bar), measure in _BARS.items():
        try:
            measured, met = measure(results)
        except KeyError:  # that scenario was not run
            found.append(Verdict(what=what, bar=bar, measured="", met=None))
        else:
            found.append(Verdict(what=what, bar=bar, measured=measured, met=met))
    return found


def baseline_ratio(results: Raw, case: str, of: str = "wall") -> Figure:
    """Return the ratio of a rotation to the bare calls of the same client."""
    found = results["rotations"][case]
    return ratio(found["runs"], found["baselines"][SAME_CLIENT], of)


def cpu_a_number(results: Raw, case: str) -> Figure:
    """Return the CPU seconds of the operator for each number of a rotation."""
    found = results["rotations"][case]
    return figure(found["runs"], "cpu", scale=1 / found["case"]["numbers"])


def _rotation(case: str, most: float) -> Callable[[Raw], Measured]:
    def measure(results: Raw) -> Measured:
        found = baseline_ratio(results, case)
        seconds = figure(results["rotations"][case]["runs"], "wall")
        return f"{found.shown()}, {seconds.shown(unit=' s')}", found.median <= most

    return measure


def _startup(results: Raw) -> Measured:
    found = figure(results["startup"]["thousand"], "in_status", "last")
    return found.shown(unit=" s"), found.median < 3.0


def _objects_startup(results: Raw) -> Measured:
    found = figure(results["startup"]["objects"], "at_api", "last")
    return found.shown(unit=" s"), found.median <= 5.0


def _objects_rotation(results: Raw) -> Measured:
    found = figure(results["rotations"]["cloud-1000-objects"]["runs"], "wall")
    return found.shown(unit=" s"), found.median <= 2.5


def _objects_cpu(results: Raw) -> Measured:
    found = 1000 * cpu_a_number(results, "cloud-1000-objects").median
    return f"{found:.2f} ms", found <= 2.5


def _objects_requests(results: Raw) -> Measured:
    runs = results["rotations"]["cloud-1000-objects"]["runs"]
    # The Secrets are read once for all.
    found = max((run["requests"] - 2) / run["objects"] for run in runs)
    return f"{found:.2f}", found <= 2.0


def _calls(results: Raw) -> Measured:
    found = figure(results["rotations"]["cloud-1000"]["runs"], "calls")
    return found.shown(), found.high == 2.0


def _writes(results: Raw) -> Measured:
    shown, met = [], True
    for case in ("cloud-1000", "cloud-5000"):
        runs = results["rotations"][case]["runs"]
        met = met and all(run["status_writes"] <= run["objects"] * (run["wall"] + 1) for run in runs)
        worst = max(runs, key=lambda run: run["status_writes"])
        events = worst["writes"] - worst["status_writes"]
        shown.append(f"{worst['status_writes']} for {worst['objects']} in {worst['wall']:.1f} s, and {events} events")
    return "; ".join(shown), met


def _one_more(results: Raw) -> Measured:
    small, large = (cpu_a_number(results, case) for case in ("cloud-100", "cloud-5000"))
    change = large.median / small.median - 1
    milliseconds = f"{1000 * large.median:.2f} ms at 5,000, {1000 * small.median:.2f} ms at 100"
    return f"{change:+.0%}: {milliseconds}", change <= 0.2


def _cpu(results: Raw) -> Measured:
    cloud, pods = baseline_ratio(results, "cloud-1000", "cpu"), baseline_ratio(results, "on-premises-1000", "cpu")
    own = 1000 * cpu_a_number(results, "cloud-1000").median
    return f"{cloud.shown()}, {own:.2f} ms; On-Premises {pods.shown()}", cloud.median <= 1.5


def _memory(results: Raw) -> Measured:
    ended = results["endurance"]
    highest = max(ended["idle_many"]["highest_memory"], *(one["memory"]["highest"] for one in ended["starts"]))
    growth = hour_growth(ended["hour"])
    shown = f"{highest / MIB:.0f} MiB; after an hour {growth - 1:+.1%}"
    return shown, highest < 200 * MIB and growth <= _FLAT


def _standby(results: Raw) -> Measured:
    highest: int = results["endurance"]["standby"]["memory"]["highest"]
    return f"{highest / MIB:.0f} MiB", highest < 150 * MIB


def hour_growth(hour: Raw) -> float:
    """Return the ratio of memory in the last quarter of a simulated hour to that in the first."""
    sizes = hour["memory"]
    quarter = max(len(sizes) // 4, 1)
    return Figure.of(sizes[-quarter:]).median / Figure.of(sizes[:quarter]).median


def _first_signature(results: Raw) -> Measured:
    found = figure(results["startup"]["one"], "in_status", "first")
    return found.shown(unit=" s"), found.median < 2.0


def _ready(results: Raw) -> Measured:
    found = figure(results["endurance"]["starts"], "ready")
    return found.shown(unit=" s"), found.median < 15.0


def _idle_writes(results: Raw) -> Measured:
    found = [results["endurance"][name] for name in ("idle_few", "idle_many")]
    writes, events = sum(one["writes"] for one in found), sum(one["events"] for one in found)
    minutes = found[0]["seconds"] / 60
    return f"{writes} writes, {events} events in {minutes:.0f} minutes", writes + events == 0


def _idle(results: Raw) -> Measured:
    found = results["endurance"]["idle_few"]
    wanted = found["numbers"]
    reads, busiest, cpu = found["reads_a_minute"], found["busiest_ten_seconds"], found["cpu_a_minute"]
    even = abs(reads / wanted - 1) <= 0.05 and busiest <= _EVEN
    shown = f"{reads:,.0f} reads, {cpu:.2f} s a minute; busiest ten seconds {busiest:.2f} times the average"
    return shown, even and cpu < 1.0


def _scrape(results: Raw) -> Measured:
    found = results["endurance"]["idle_many"]["scrape"]["cpu_ms"]
    return f"{found:.0f} ms", found < 100.0


def _edit(results: Raw) -> Measured:
    found = Figure.of(results["endurance"]["fairness"]["waits"])
    return found.shown(unit=" s"), found.high <= 1.0


def _hanging(results: Raw) -> Measured:
    found = hanging_ratio(results)
    return found.shown(), found.median <= 1.1


def hanging_ratio(results: Raw) -> Figure:
    """Return how many times as long healthy numbers take beside hanging ones as without."""
    runs = results["hang"]["runs"]
    return Figure.of(run["beside"]["in_status"]["last"] / run["alone"]["in_status"]["last"] for run in runs)


def _costly(results: Raw) -> Measured:
    found, slowest = costly_ratio(results), max(results["costly"]["probes"])
    return f"{found:.2f}; {slowest:.2f} s", found <= 2.0 and slowest < 1.0


def costly_ratio(results: Raw) -> float:
    """Return how many times as long a rotation takes beside a server of costly handshakes as before."""
    before, during = (Figure.of(results["costly"][when]).median for when in ("before", "during"))
    return during / before


def _user_status(results: Raw) -> Measured:
    runs = results["status"]["runs"]
    found, cpu = figure(runs, "wall"), figure(runs, "cpu")
    return f"{found.shown(unit=' s')}; {cpu.median:.2f} s of CPU", found.median < 2.0


_BARS: Final[Mapping[tuple[str, str], Callable[[Raw], Measured]]] = {
    ("rotation of 1,000 Cloud numbers, 50 at once; baseline = 1", "at most 1.3"): _rotation("cloud-1000", 1.3),
    ("the same, 100 at once", "at most 1.3"): _rotation("cloud-1000-at-100", 1.3),
    ("the same for 1,000 On-Premises pods, warm logins", "at most 1.5"): _rotation("on-premises-1000", 1.5),
    ("process start to the last of 1,000 signatures", "under 3 s"): _startup,
    ("process start to 1,000 numbers published, an object each", "at most 5 s"): _objects_startup,
    ("rotation of 1,000 Cloud numbers, an object each", "at most 2.5 s"): _objects_rotation,
    ("its CPU per number", "at most 2.5 ms"): _objects_cpu,
    ("its requests to the API server per object; two reads of Secrets apart", "2"): _objects_requests,
    ("calls per number in a rotation", "2"): _calls,
    ("writes to the API server during it; events apart", "one a second and object, plus one"): _writes,
    ("CPU of one more number, at 5,000 and at 100", "within 20 %"): _one_more,
    ("CPU per signed number; baseline = 1", "at most 1.5"): _cpu,
    ("memory, 10,000 numbers, 50,000 Secrets", "under 200 MiB, flat over an hour"): _memory,
    ("memory of a standby beside them", "under 150 MiB"): _standby,
    ("start to first signature, empty cluster", "under 2 s"): _first_signature,
    ("start to ready with 50,000 Secrets", "under 15 s"): _ready,
    ("idle writes and events", "0"): _idle_writes,
    ("idle, 1,000 numbers at 60 s", "1,000 reads a minute, even; under 1 s of CPU"): _idle,
    ("a scrape of the metrics of 10,000 numbers", "under 100 ms of CPU"): _scrape,
    ("a user's edit among 10,000 due checks", "within 1 s"): _edit,
    ("1 % hang: the others, without them = 1", "at most 1.1"): _hanging,
    ("`kubectl bek status -A` of 10,000 numbers in 100 objects", "under 2 s"): _user_status,
    ("beside costly TLS handshakes, without them = 1; probes", "at most 2; under 1 s"): _costly,
}
