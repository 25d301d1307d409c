"""`make bench`: measure everything, compare it with the bars. `python -m bench rotation --help`: measure one thing."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from bench import idle, report, rotations
from bench.environment import environment
from bench.figures import Raw
from bench.program import SCENARIOS, run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".make" / "bench.json"
QUICK_RESULTS = RESULTS.with_name("bench-quick.json")
REPORT = ROOT / "docs" / "performance.md"

_INTERRUPTED = 130


def main() -> int:
    """Run the command line; return the exit status."""
    given = _parser().parse_args()
    quick = given.quick or os.environ.get("QUICK", "0") not in {"", "0"}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.what == "render":
            _render()
        elif given.what == "rotation":
            asyncio.run(_rotation(given, quick=quick))
        elif given.what == "idling":
            asyncio.run(_idling(given, quick=quick))
        else:
            asyncio.run(_all(given, quick=quick))
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; everything that was started is stopped and removed\n")
        return _INTERRUPTED
    return 0


async def _all(given: argparse.Namespace, *, quick: bool) -> None:
    only = "" if given.what == "all" else given.what
    found = await run(quick=quick, only=only)
    if not only:
        file = QUICK_RESULTS if quick else RESULTS
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        if not quick:
            report.write(found, REPORT)
    _show(found)


def _render() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    report.write(found, REPORT)
    _show(found)


def _show(found: Raw) -> None:
    if found["about"]["quick"]:
        sys.stdout.write(
            "\nThis was a quick run: everything is a twentieth of its real size, so the figures mean little.\n"
        )
    sys.stdout.write(f"\n{report.shown_bars(found)}\n\n{report.summary(found)}\n")


async def _rotation(given: argparse.Namespace, *, quick: bool) -> None:
    case = rotations.Case(
        name="alone",
        numbers=given.numbers,
        api=given.api,
        per_object=given.per_object,
        rollout=given.rollout,
        concurrency=given.concurrency,
        baselines=given.baselines,
    )
    async with environment(quick=quick) as made:
        found = await rotations.measure_one(made, case, profile=given.profile)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


async def _idling(given: argparse.Namespace, *, quick: bool) -> None:
    async with environment(quick=quick) as made:
        found = await idle.measure_one(made, given.numbers, given.seconds, profile=given.profile)
    del found["reads_by_second"]
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a run that only shows that everything works (or QUICK=1)")
    parts = parser.add_subparsers(dest="what", metavar="WHAT")
    parser.set_defaults(what="all")
    parts.add_parser("all", help="everything (the default)")
    for name in SCENARIOS:
        parts.add_parser(name, help="this scenario alone")
    parts.add_parser("render", help=f"write {REPORT.name} from what was measured last")
    one = parts.add_parser("rotation", help="rotations of one kind, shown as JSON")
    one.add_argument("--numbers", type=int, default=1000)
    one.add_argument("--api", choices=["cloud", "on-premises"], default="cloud")
    one.add_argument("--per-object", type=int, default=1000)
    one.add_argument("--rollout", choices=["AllAtOnce", "FirstNumber"], default="AllAtOnce")
    one.add_argument("--concurrency", type=int, default=50)
    one.add_argument("--baselines", action="store_true", help="measure the baseline, the bare calls, in turn with it")
    other = parts.add_parser("idling", help="an idle operator, shown as JSON")
    other.add_argument("--numbers", type=int, default=1000)
    other.add_argument("--seconds", type=float, default=60.0)
    for either in (one, other):
        either.add_argument("--profile", default="", metavar="FILE", help="run the operator under cProfile")
    return parser


if __name__ == "__main__":
    sys.exit(main())
