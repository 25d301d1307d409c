"""Rules and recorded series, as promtool takes them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from monitoring.fixtures import FOLDER
from monitoring.recording import INTERVAL
from support.monitoring import rule_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Samples = Mapping[str, float]


def check_rules(promtool: Path, folder: Path) -> str:
    """Return what promtool has against the rules; empty for nothing."""
    return _run(promtool, "check", "rules", "--lint-fatal", str(_rules(folder)))


def try_rules(promtool: Path, folder: Path, *groups: dict[str, Any], rules: dict[str, Any] | None = None) -> str:
    """Run test groups on the rules; return what promtool has against them, empty for nothing."""
    _rules(folder, rules)
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{INTERVAL}s", "tests": list(groups)}
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump(tests), encoding="utf-8")
    return _run(promtool, "test", "rules", str(file))


def recorded(scene: str, queries: Mapping[str, Samples] | None = None, alerts: Sequence[Any] = ()) -> dict[str, Any]:
    """Return a test group on the series of a scene: what queries return at its end, and alerts at their times."""
    group = yaml.safe_load((FOLDER / f"{scene}.yaml").read_text(encoding="utf-8"))
    end = group.pop("length")
    expected = [
        {
            "expr": query,
            "eval_time": end,
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
        }
        for query, samples in (queries or {}).items()
    ]
    return {**group, "promql_expr_test": expected, "alert_rule_test": list(alerts)}


def _rules(folder: Path, rules: dict[str, Any] | None = None) -> Path:
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(rules or rule_groups()), encoding="utf-8")
    return file


def _run(*command: object) -> str:
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else f"{ended.stdout}{ended.stderr}"
