"""The whole benchmark: the scenarios, in order."""

import platform
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import costly, endurance, hang, limits, rotations, startup, status
from bench.environment import Environment, environment
from bench.figures import Raw
from bench.processes import cores
from support.programs.gobuild import KUBERNETES

Scenario = Callable[[Environment], Awaitable[Raw]]

SCENARIOS: Mapping[str, Scenario] = {
    "limits": limits.measure,
    "startup": startup.measure,
    "rotations": rotations.measure,
    "hang": hang.measure,
    "costly": costly.measure,
    "status": status.measure,
    "endurance": endurance.measure,
}
"""In order: what needs a quiet machine comes before the cluster is filled."""

_LIBRARIES = ("kopf", "kubernetes", "httpx", "aiohttp", "cryptography", "bek-operator")


async def run(*, quick: bool, only: str = "") -> Raw:
    """Measure everything, or one scenario; return the results."""
    begun = time.monotonic()
    results: Raw = {"about": about(quick=quick)}
    async with environment(quick=quick) as made:
        made.say("API server, simulated numbers and keys are ready")
        for name, measure in SCENARIOS.items():
            if only in {"", name}:
                results[name] = await measure(made)
    if "endurance" in results:
        results["rotations"] = {**results.get("rotations", {}), **results["endurance"].pop("rotations")}
    results["about"]["seconds"] = time.monotonic() - begun
    return results


def about(*, quick: bool) -> Raw:
    """Return what was measured, and on which machine."""
    return {
        "quick": quick,
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": cores(),
        "processor": _processor(),
        "memory": _total_memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": _openssl(),
        "kubernetes": KUBERNETES.version,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _total_memory() -> int:
    line = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0]
    return int(line.split()[1]) * 1024


def _openssl() -> str:
    return subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
