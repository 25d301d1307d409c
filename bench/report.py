"""The report: the bars for a terminal, and the whole page, made from `page.md`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench import bars, plots, sizing, tables
from bench.figures import Raw
from bench.processes import MIB

_PAGE = Path(__file__).with_name("page.md")
_PLACE = re.compile(r"\{\{([a-zA-Z ]+)\}\}")


def shown_bars(results: Raw) -> str:
    """Return the table of the bars for a terminal."""
    rows = tables.bars(results)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def summary(results: Raw) -> str:
    """Return a line with how many bars were met."""
    found = bars.verdicts(results)
    met, missed = (sum(one.met is word for one in found) for word in (True, False))
    return f"{met} of {len(found)} bars met, {missed} missed"


def write(results: Raw, page: Path) -> None:
    """Write the page, and its plots into a folder of the same name beside it.

    Raises:
        KeyError: something on the page was not measured.
    """
    folder = page.with_suffix("")
    plots.draw(results, folder)
    template = _PAGE.read_text(encoding="utf-8")
    values = {"folder": folder.name, **{name: fill(results) for name, fill in _PARTS.items()}}
    page.write_text(_PLACE.sub(lambda found: values[found[1]], template), encoding="utf-8")


def _fairness(results: Raw) -> str:
    fair = results["endurance"]["fairness"]
    waits = ", ".join(f"{1000 * wait:.0f}" for wait in fair["waits"])
    return (
        f"A user's edits while {fair['due']:,} periodic checks were due at once ({fair['checks_per_second']:,.0f} of "
        f"them a second were made): each new number was called after so many milliseconds: {waits}."
    )


def _costly(results: Raw) -> str:
    costly = results["costly"]
    return (
        f"Another tenant has {2 * costly['tenants_numbers']:,} numbers at a server that makes its TLS handshakes as "
        f"expensive as it can. Beside it a rotation of {costly['numbers']:,} takes "
        f"{bars.costly_ratio(results):.2f} times as long as without, and the slowest of {len(costly['probes'])} probes "
        f"took {max(costly['probes']):.2f} s; {costly['handshakes']} handshakes were begun with that server in "
        f"{costly['seconds']:.0f} s."
    )


def _hour(results: Raw) -> str:
    hour = results["endurance"]["hour"]
    first, last = (hour["memory"][place] / MIB for place in (0, -1))
    return (
        f"An hour in which a new key was rotated to {hour['numbers']:,} numbers every minute, in virtual time and "
        f"between fakes: {first:.0f} MiB after the first rotation, {last:.0f} MiB after the last of {hour['minutes']}."
    )


def _about(results: Raw) -> str:
    about = results["about"]
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    return (
        f"This run: {about['when']}, {about['seconds'] / 60:.1f} minutes; {about['cores']} cores "
        f"({about['processor']}), {about['memory'] / MIB / 1024:.0f} GiB; {about['system']}, Python {about['python']}, "
        f"OpenSSL {about['openssl']}, Kubernetes {about['kubernetes']}, {libraries}."
    )


def _markdown(rows: tables.Rows) -> str:
    heading, *rest = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, ["---"] * len(heading), *rest))


_PARTS: Final[Mapping[str, Callable[[Raw], str]]] = {
    "bars": lambda results: _markdown(tables.bars(results)),
    "rotations in status": lambda results: _markdown(tables.rotations(results, "in_status")),
    "rotations at API": lambda results: _markdown(tables.rotations(results, "at_api")),
    "baselines": lambda results: _markdown(tables.baselines(results)),
    "stretches": lambda results: _markdown(tables.stretches(results)),
    "growth": lambda results: _markdown(tables.growth(results)),
    "startup": lambda results: _markdown(tables.startup(results)),
    "idle": lambda results: _markdown(tables.idle(results)),
    "fairness": _fairness,
    "big cluster": lambda results: _markdown(tables.big_cluster(results)),
    "hour": _hour,
    "costly": _costly,
    "trouble": lambda results: _markdown(tables.trouble(results)),
    "sizing": lambda results: _markdown(sizing.table(results)),
    "limits": lambda results: _markdown(tables.limits(results)),
    "about": _about,
}
