"""The plots of the report: SVG, the same bytes for the same figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.bars import cpu_a_number
from bench.baselines import SAME_CLIENT
from bench.figures import Raw, figure
from bench.processes import MIB
from support.plots import SETTINGS

_SIZE = (7.0, 3.4)
_SIZES = (10, 100, 1000, 5000)
_APIS = {"cloud": "Cloud", "on-premises": "On-Premises"}
_PERCENT = 100.0


def draw(results: Raw, folder: Path) -> None:
    """Draw everything into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"rotation": _rotation, "growth": _growth, "idle": _idle, "memory": _memory}
    with mpl.rc_context(SETTINGS):
        for name, plot in plots.items():
            with _saved(folder / f"{name}.svg") as canvas:
                plot(canvas, results)


@contextmanager
def _saved(path: Path) -> Iterator[Canvas]:
    canvas = Canvas(figsize=_SIZE, layout="constrained")
    yield canvas
    canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _rotation(canvas: Canvas, results: Raw) -> None:
    panes: Sequence[Axes] = canvas.subplots(1, 2, sharey=True)
    for axes, (api, word) in zip(panes, _APIS.items(), strict=True):
        found = results["rotations"][f"{api}-1000"]
        run = sorted(found["runs"], key=lambda one: one["wall"])[len(found["runs"]) // 2]
        for place, label in (("at_api", "at the API"), ("in_status", "VALID in the status")):
            curve = run[place]["curve"]
            shares = [_PERCENT * point / (len(curve) - 1) for point in range(len(curve))]
            axes.step(curve, shares, where="post", label=label)
        baseline = figure(found["baselines"][SAME_CLIENT], "wall").median
        axes.axvline(baseline, color="grey", linestyle="--", label="baseline: the bare calls")
        _label(axes, word, "seconds after the write of the Secret", "% of numbers" if api == "cloud" else "")
        axes.set_xlim(left=0)
    canvas.legend(*panes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)


def _growth(canvas: Canvas, results: Raw) -> None:
    time, cpu = canvas.subplots(1, 2)
    for api, word in _APIS.items():
        cases = {size: results["rotations"][f"{api}-{size}"] for size in _SIZES}
        sizes = [case["case"]["numbers"] for case in cases.values()]
        walls = [figure(case["runs"], "wall").median for case in cases.values()]
        time.plot(sizes, walls, marker="o", label=word)
        costs = [1000 * cpu_a_number(results, f"{api}-{size}").median for size in _SIZES]
        cpu.plot(sizes, costs, marker="o", label=word)
    time.set_yscale("log")
    for axes in (time, cpu):
        axes.set_xscale("log")
        axes.legend(frameon=False)
    cpu.set_ylim(bottom=0)
    _label(time, "until the last is VALID", "numbers", "seconds")
    _label(cpu, "CPU of the operator", "numbers", "ms a number")


def _idle(canvas: Canvas, results: Raw) -> None:
    axes = canvas.subplots()
    found = results["endurance"]["idle_few"]
    reads = found["reads_by_second"]
    axes.step(range(len(reads)), reads, where="post", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.axhline(found["numbers"] / 60, color="black", linestyle="--", linewidth=1, label="perfectly even")
    _label(axes, "", "seconds", "reads")
    axes.legend(frameon=False)


def _memory(canvas: Canvas, results: Raw) -> None:
    axes = canvas.subplots()
    hour = results["endurance"]["hour"]
    axes.plot(range(1, len(hour["memory"]) + 1), [size / MIB for size in hour["memory"]])
    axes.set_ylim(0, 1.2 * max(hour["memory"]) / MIB)
    _label(axes, "", f"simulated minutes, a rotation of {hour['numbers']:,} numbers in each", "MiB")


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
