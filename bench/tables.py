"""The tables of the report: rows of texts, made from the results of one scenario each."""

from collections.abc import Callable, Sequence
from typing import Final

from bench.bars import cpu_a_number, hanging_ratio, verdicts
from bench.figures import Figure, Raw, figure, ratio
from bench.processes import MIB

Rows = Sequence[Sequence[str]]
"""The first is the heading."""

_KIB = 1024
_CLIENT_WORDS: Final = {
    "operator": "the operator's HTTP layer",
    "aiohttp": "aiohttp alone",
    "httpx": "httpx alone",
}


def bars(results: Raw) -> Rows:
    """Return every bar with what was measured."""
    rows = [[one.what, one.bar, one.measured or "-", one.word] for one in verdicts(results)]
    return [["what", "bar", "measured", ""], *rows]


def rotations(results: Raw, place: str) -> Rows:
    """Return when numbers held the new key, `in_status` or `at_api`, in seconds from the write of the Secret."""
    heading = ["rotation of", "first", "median", "99 %", "last"]
    rows = [
        [_case(found), *(figure(found["runs"], place, name).shown() for name in ("first", "median", "p99", "last"))]
        for found in results["rotations"].values()
    ]
    return [heading, *rows]


def baselines(results: Raw) -> Rows:
    """Return the time of the bare calls, and how rotations compare."""
    rows = []
    for found in results["rotations"].values():
        numbers = found["case"]["numbers"]
        for client, took in found["baselines"].items():
            rows.append(
                [
                    _case(found),
                    _CLIENT_WORDS[client],
                    figure(took, "wall").shown(unit=" s"),
                    figure(took, "cpu", scale=1000 / numbers).shown(unit=" ms"),
                    ratio(found["runs"], took, "wall").shown(),
                    ratio(found["runs"], took, "cpu").shown(),
                ]
            )
    heading = ["calls of a rotation of", "over", "time", "CPU a number", "rotation takes, times", "CPU, times"]
    return [heading, *rows]


def stretches(results: Raw) -> Rows:
    """Return where the time of a rotation goes, and the baseline's."""
    rows = []
    for found in results["rotations"].values():
        if found["baselines"]:
            begun, ended, shown = (
                figure(found["runs"], *path).median
                for path in (("at_api", "first"), ("at_api", "last"), ("in_status", "last"))
            )
            bare = figure(found["baselines"]["operator"], "wall").median
            rows.append(
                [_case(found), *(f"{seconds:.2f} s" for seconds in (begun, ended - begun, shown - ended, bare))]
            )
    heading = ["rotation of", "to the first at its API", "to the last there", "to the status", "the baseline, in all"]
    return [heading, *rows]


def growth(results: Raw) -> Rows:
    """Return what a rotation costs, case by case."""
    heading = [
        *("rotation of", "CPU a number", "calls a number", "memory after", "API-server requests"),
        *("writes", "of them status", "sent to it", "read from it"),
    ]
    rows = [
        [
            _case(found),
            _milliseconds(cpu_a_number(results, name)),
            figure(found["runs"], "calls").shown(),
            f"{found['memory']['now'] / MIB:.0f} MiB",
            *(figure(found["runs"], one).shown(0) for one in ("requests", "writes", "status_writes")),
            *(_traffic(found, way) for way in ("received", "sent")),
        ]
        for name, found in results["rotations"].items()
    ]
    return [heading, *rows]


def startup(results: Raw) -> Rows:
    """Return what happens when after the start of the process."""
    heading = ["numbers", "first call", "first published", "first in status", "last in status", "CPU"]
    paths = [("first_call",), ("at_api", "first"), ("in_status", "first"), ("in_status", "last"), ("cpu",)]
    rows = [
        [f"{runs[0]['numbers']:,}", *(figure(runs, *path).shown(unit=" s") for path in paths)]
        for runs in results["startup"].values()
    ]
    return [heading, *rows]


def idle(results: Raw) -> Rows:
    """Return what an operator does while nothing changes."""
    heading = ["", "1,000 numbers", "10,000 numbers, among the Secrets"]
    found = [results["endurance"][name] for name in ("idle_few", "idle_many")]
    lines: list[tuple[str, Callable[[Raw], str]]] = [
        ("watched for", lambda one: f"{one['seconds'] / 60:.1f} min"),
        ("CPU", lambda one: f"{one['cpu_a_minute']:.2f} s a minute"),
        ("memory at the beginning, in the end, at its highest", _memory_course),
        ("writes, and events", lambda one: f"{one['writes']}, {one['events']}"),
        ("reads", lambda one: f"{one['reads_a_minute']:,.0f} a minute"),
        ("reads in the calmest and the busiest minute", _minutes),
        ("busiest ten seconds", lambda one: f"{one['busiest_ten_seconds']:.2f} times the average"),
        ("API-server requests", lambda one: f"{one['requests']:,}"),
        (
            "a scrape of the metrics",
            lambda one: f"{one['scrape']['cpu_ms']:.0f} ms of CPU, {one['scrape']['bytes']:,} B",
        ),
    ]
    return [heading, *([name, *map(show, found)] for name, show in lines)]


def big_cluster(results: Raw) -> Rows:
    """Return what starting among many Secrets takes."""
    ended = results["endurance"]
    starts = ended["starts"]
    return [
        ["", ""],
        ["unrelated Secrets", f"{ended['crowd']['secrets']:,} of {ended['crowd']['bytes_each']:,} bytes"],
        ["start to ready", figure(starts, "ready").shown(unit=" s")],
        ["CPU of start and three seconds more", figure(starts, "cpu").shown(unit=" s")],
        ["memory then", figure(starts, "memory", "now", scale=1 / MIB).shown(0, " MiB")],
        ["unrelated writes meanwhile", f"{ended['secret_writes_a_minute']:,.0f} a minute"],
    ]


def trouble(results: Raw) -> Rows:
    """Return the effects of failing numbers."""
    hang, ended = results["hang"], results["endurance"]["trouble"]
    outage, limited, refusing, healthy = (ended[name] for name in ("outage", "limited", "refusing", "healthy"))
    calls = figure(hang["runs"], "calls_to_failing", scale=1 / hang["failing"]).shown(1)
    return [
        ["what", "the others", "calls to the failing", "all signed after"],
        [
            f"{hang['failing']} of {hang['numbers']:,} hang",
            f"{hanging_ratio(results).shown()} times as long as without them",
            f"{calls} each, during the rotation",
            "-",
        ],
        [
            f"{refusing['failing']} of {refusing['numbers']:,} refuse",
            f"rotated after {refusing['others_done_after']:.2f} s",
            f"{refusing['calls'] / refusing['failing']:.1f} each, in {refusing['seconds']:.0f} s",
            "-",
        ],
        [
            f"outage of {outage['seconds']:.0f} s for {outage['numbers']:,}",
            f"{healthy['numbers']} others rotate in {healthy['during']:.2f} s, {healthy['before']:.2f} s before it",
            f"{outage['calls_each']:.1f} each",
            _well(outage),
        ],
        [
            f"429 for {limited['seconds']:.0f} s for the token of {limited['numbers']:,}",
            "as above",
            f"{limited['calls']} in all",
            _well(limited),
        ],
    ]


def limits(results: Raw) -> Rows:
    """Return what the simulator is able to do."""
    heading = ["", "CPU a call", "calls a second and core", "calls a second with one client"]
    rows = [
        [
            api,
            f"{1e6 * found['cpu_per_call']:.0f} µs",
            f"{found['calls_per_core_second']:,.0f}",
            f"{found['calls_per_second']:,.0f}",
        ]
        for api, found in results["limits"].items()
    ]
    return [heading, *rows]


def _case(found: Raw) -> str:
    case = found["case"]
    message = [f"{case['numbers']:,} {'Cloud' if case['api'] == 'cloud' else 'On-Premises'}"]
    if case["concurrency"] != 50:
        message.append(f"{case['concurrency']} at once")
    if case["per_object"] == 1:
        message.append("an object each")
    if case["rollout"] != "AllAtOnce":
        message.append("one first")
    if case["aside"]:
        message.append("others at work")
    return ", ".join(message)


def _traffic(found: Raw, way: str) -> str:
    # The API server's metrics do not name the client.
    return "-" if found["case"]["aside"] else f"{found['traffic'][way] / _KIB:,.0f} KiB"


def _milliseconds(found: Figure) -> str:
    return Figure(median=1000 * found.median, low=1000 * found.low, high=1000 * found.high, times=found.times).shown(
        unit=" ms"
    )


def _memory_course(one: Raw) -> str:
    return (
        ", ".join(f"{size / MIB:.0f}" for size in (one["memory"][0], one["memory"][-1], one["highest_memory"])) + " MiB"
    )


def _minutes(one: Raw) -> str:
    minutes = one["reads_by_minute"]
    return f"{min(minutes):,} and {max(minutes):,}" if minutes else "-"


def _well(failing: Raw) -> str:
    return "not in time" if failing["well_after"] is None else f"{failing['well_after']:.1f} s"
