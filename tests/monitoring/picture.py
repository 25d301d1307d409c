"""The picture of docs/monitoring.md: the metrics of a rotation, recorded in virtual time."""

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitoring.recording import INTERVAL
from monitoring.scenes import NEW, OURS
from monitoring.stage import MINUTE, Stage, play
from support.monitoring import ROOT
from support.plots import SETTINGS

PICTURE = ROOT / "docs" / "monitoring" / "rotation.svg"

_COUNT = 1000
_NAMES = ("bek_numbers", "bek_publishes_total", "bek_api_requests_total", "bek_api_usage_ratio")


async def rotation(stage: Stage) -> None:
    """A new key for a thousand numbers, ten minutes after the first one has it."""
    first = {"phoneNumber": "+15550000001", "pauseSeconds": 600}
    stage.create(_COUNT, rollout={"type": "FirstNumber", "firstNumber": first}, intervalSeconds=3600)
    stage.api.limit(5000)
    stage.hold(OURS)
    async with stage.leader():
        await stage.at(10 * MINUTE)
        stage.secrets.put_key(NEW)
        await stage.at(40 * MINUTE)


def draw(path: Path) -> None:
    """Play the rotation and draw its metrics into an SVG."""
    recorded = play(rotation, _NAMES)
    minutes = [index * INTERVAL / MINUTE for index in range(len(recorded.values("bek_numbers")))]
    with mpl.rc_context(SETTINGS):
        canvas = Figure(figsize=(7.0, 5.0), layout="constrained")
        ((numbers, publishes), (requests, usage)) = canvas.subplots(2, 2, sharex=True)
        reasons = ("Signed", "WaitingForRollout")
        stack = [recorded.values("bek_numbers", reason=reason) for reason in reasons]
        numbers.stackplot(minutes, stack, labels=reasons, step="post", alpha=0.7)
        numbers.legend(loc="lower right")
        _rate(publishes, minutes, recorded.values("bek_publishes_total", result="accepted"), "accepted")
        for operation in ("read", "publish"):
            _rate(requests, minutes, recorded.values("bek_api_requests_total", operation=operation), operation)
        requests.legend(frameon=False)
        usage.step(minutes, recorded.values("bek_api_usage_ratio"), where="post")
        usage.set_ylim(0, 1)
        for axes, title in (
            (numbers, "bek_numbers, by reason"),
            (publishes, "bek_publishes_total, a minute"),
            (requests, "bek_api_requests_total, a minute"),
            (usage, "bek_api_usage_ratio (5,000 calls an hour)"),
        ):
            axes.set_title(title, fontsize=9)
            axes.set_xlim(5, 35)
        for axes in (requests, usage):
            axes.set_xlabel("minutes")
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _rate(axes: Axes, minutes: list[float], values: list[float], label: str) -> None:
    grown = [(after - before) * MINUTE / INTERVAL for before, after in pairwise(values)]
    axes.step(minutes[1:], grown, where="pre", label=label)
