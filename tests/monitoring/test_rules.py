"""The alert rules, on what the operator exposes in each scene."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bek_operator.crd.reasons import SEVERITY, Reason, Severity
from monitoring.promtool_run import check_rules, recorded, try_rules
from monitoring.scenes import SCENES
from support.monitoring import ROOT, RUNBOOKS, SHARDS, alerts, rule_groups, shard_rule_groups

if TYPE_CHECKING:
    from monitoring.scenes import Scene

FIRST_FIRED = 'min by (alertname) (min_over_time(timestamp(ALERTS{alertstate="firing"})[2d:30s])) / 60'
TOLD: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("told.yaml").read_text(encoding="utf-8"))


def test_prometheus_accepts_the_rules(promtool: Path, tmp_path: Path) -> None:
    """Syntax, templates, and no rule twice."""
    assert check_rules(promtool, tmp_path) == ""


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.name)
def test_these_alerts_fire_and_no_others(promtool: Path, tmp_path: Path, scene: Scene) -> None:
    """And not earlier or later."""
    fired = {f'{{alertname="{name}"}}': minute for name, minute in scene.fires.items()}
    assert try_rules(promtool, tmp_path, recorded(scene.name, {FIRST_FIRED: fired})) == ""


def test_every_alert_fires_in_a_scene() -> None:
    """None is there that nothing proves."""
    assert {name for scene in SCENES.values() for name in scene.fires} == set(alerts()) == set(TOLD)


@pytest.mark.parametrize("name", TOLD)
def test_what_an_alert_says(promtool: Path, tmp_path: Path, name: str) -> None:
    """Its labels tell whose it is, and its description what happened."""
    told, rule = TOLD[name], alerts()[name]
    scene = SCENES[told["scene"]]
    alert = {
        "exp_labels": {**told["labels"], "severity": rule["labels"]["severity"]},
        "exp_annotations": {**rule["annotations"], "description": told["description"]},
    }
    expected = {"alertname": name, "eval_time": f"{60 * scene.fires[name]:g}s", "exp_alerts": [alert]}
    assert try_rules(promtool, tmp_path, recorded(scene.name, alerts=[expected])) == ""


def test_a_shard_that_is_gone_is_told_of(promtool: Path, tmp_path: Path) -> None:
    """Though others run; nothing but the expression differs from the rules for a single operator."""
    rule = alerts()["BekOperatorAbsent"]
    description = rule["annotations"]["description"]
    said = description.replace(
        "{{ with $labels.name }} with the Lease {{ . }}{{ end }}", " with the Lease bek-operator-shard1"
    )
    assert said != description
    alert = {
        "exp_labels": {"job": "bek-operator", "name": "bek-operator-shard1", **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "description": said},
    }
    fired = {FIRST_FIRED: {'{alertname="BekOperatorAbsent"}': 30}}
    expected = {"alertname": "BekOperatorAbsent", "eval_time": "1830s", "exp_alerts": [alert]}
    group = recorded("shard-that-is-gone", fired, [expected])
    rules = deepcopy(shard_rule_groups())
    assert try_rules(promtool, tmp_path, group, rules=rules) == ""
    rules["groups"][1]["rules"][0]["expr"] = rule["expr"]
    assert rules == rule_groups()


def test_the_rules_for_shards_name_every_lease() -> None:
    """Those of the Deployments."""
    text = "".join(path.read_text(encoding="utf-8") for path in SHARDS.glob("*/kustomization.yaml"))
    expression = shard_rule_groups()["groups"][1]["rules"][0]["expr"]
    leases = re.findall(r"BEK_LEASE_NAME, value: ([a-z0-9-]+)", text)
    assert len(leases) == 3
    assert sorted(leases) == sorted(re.findall(r'name="([^"]+)"', expression))


@pytest.mark.parametrize("name", alerts())
def test_the_form_of_an_alert(name: str) -> None:
    """As monitoring mixins have it: a static headline, a description, a severity, time to heal, a page."""
    rule = alerts()[name]
    assert re.fullmatch(r"Bek([A-Z][a-z]+)+", name)
    assert "{{" not in rule["annotations"]["summary"]
    assert not rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert re.fullmatch(r"([5-9]|[1-9]\d+)m|1h\d*m?", rule["for"])


def test_only_broken_flows_are_critical() -> None:
    """Somebody is woken only for what users of the business notice now."""
    severities = {name: rule["labels"]["severity"] for name, rule in alerts().items()}
    assert {name for name, severity in severities.items() if severity == "critical"} == {"BekSignatureBroken"}
    assert set(severities.values()) == {"critical", "warning"}


def test_what_one_alert_leaves_out_another_one_tells() -> None:
    """BekStalled and BekNotReady leave out reasons, each of which has an alert of its own; all reasons exist."""
    left_out: set[str] = set()
    for name, kind in (("BekStalled", "Stalled"), ("BekNotReady", "Reconciling")):
        first, *unless = alerts()[name]["expr"].split("unless")
        assert f'type="{kind}"' in first
        left_out |= _reasons("".join(unless))
    told = {
        reason
        for name, rule in alerts().items()
        if name not in {"BekStalled", "BekNotReady", "BekSignatureBroken"}
        for reason in _reasons(rule["expr"].partition("unless")[0])
    }
    assert left_out - {Reason.SIGNED} <= told
    assert {reason for reason in SEVERITY if SEVERITY[reason][0] is Severity.HEALTHY} == {Reason.SIGNED}
    assert told | left_out <= set(Reason)


def _reasons(expression: str) -> set[str]:
    return {word for found in re.findall(r'reason=~?"([^"]+)"', expression) for word in found.split("|")}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """With the four parts that prometheus-operator's runbooks have."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in RUNBOOKS.glob("*.md") if path.stem != "README"}
    assert set(pages) == set(alerts())
    for name, page in pages.items():
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", page, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_the_documentation_lists_every_alert() -> None:
    """With its severity, its time and its headline."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\(runbooks/(\w+)\.md\) \| (\w+) \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [
        (name, name, rule["labels"]["severity"], rule["for"], rule["annotations"]["summary"])
        for name, rule in alerts().items()
    ]
