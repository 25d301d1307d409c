"""The alert rules and the dashboard as they are shipped."""

import json
import re
import subprocess
from functools import cache
from os.path import relpath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from support.programs.binaries import packaged_kubectl

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "deploy" / "components" / "monitoring"
SHARDS = ROOT / "deploy" / "examples" / "shards"
RUNBOOKS = ROOT / "docs" / "runbooks"

_SERIES = re.compile(r"\b(?:bek|controller_runtime|leader_election|process|workqueue|rest_client)_[a-z_]+\b")


@cache
def rule_groups() -> dict[str, Any]:
    """Return what Prometheus Operator makes a rule file of: the spec of the PrometheusRule."""
    text = (COMPONENT / "prometheus-rule.yaml").read_text(encoding="utf-8")
    groups: dict[str, Any] = yaml.safe_load(text)["spec"]
    return groups


def alerts() -> dict[str, dict[str, Any]]:
    """Return every alerting rule by its name."""
    rules = [rule for group in rule_groups()["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


def series_names() -> frozenset[str]:
    """Return the names of all series that the rules use."""
    return frozenset(name for rule in alerts().values() for name in series_in(rule["expr"]))


def series_in(expression: str) -> frozenset[str]:
    """Return the names of the operator's series in an expression."""
    return frozenset(_SERIES.findall(expression))


@cache
def shard_rule_groups() -> dict[str, Any]:
    """Return the same for the shards of `deploy/examples/shards`."""
    with TemporaryDirectory() as folder:
        parts = {"resources": [relpath(SHARDS, folder)], "components": [relpath(SHARDS / "monitoring", folder)]}
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(parts), encoding="utf-8")
        command = [str(packaged_kubectl()), "kustomize", folder]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    groups: dict[str, Any]
    (groups,) = (one["spec"] for one in yaml.safe_load_all(text) if one["kind"] == "PrometheusRule")
    return groups


@cache
def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((COMPONENT / "dashboard.json").read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Return every panel that shows something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries(namespace: str = ".*") -> list[str]:
    """Return every query as Grafana sends it, with a namespace chosen."""
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [one.replace("$namespace", namespace).replace("$__rate_interval", "2m") for one in expressions]
