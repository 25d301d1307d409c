"""The monitoring component: on the API server, and with a real Prometheus that reads a real operator."""

from __future__ import annotations

import json
import os
import re
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from cluster.installation import defined
from support import keys
from support.cluster.prometheus import Prometheus
from support.monitoring import COMPONENT, alerts, queries, rule_groups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from support.cluster.apiserver import ApiServer
    from support.cluster.scene import Scene
    from support.programs.binaries import PrometheusBinaries

DEFAULT = COMPONENT.parents[1] / "default"
CRDS = Path(__file__).with_name("monitoring_crds.yaml")
POD = "bek-operator-1"

# What the operator of these tests does not have: an API that reports limits, and leader election.
ELSEWHERE = ("bek_api_usage_ratio", "leader_election_master_status")


def quick_rules() -> dict[str, Any]:
    """Return the rules, with two seconds instead of minutes until an alert fires."""
    quick = deepcopy(rule_groups())
    for group in quick["groups"]:
        for rule in group["rules"]:
            rule["for"] = "2s"
    return quick


@pytest.fixture
def prometheus_server(scene: Scene, prometheus: PrometheusBinaries) -> Iterator[Prometheus]:
    """Provide a Prometheus with our rules, which scrapes the operator."""
    ports = {POD: scene.operator.metrics_port}
    with Prometheus(prometheus, scene.api_server.keeper, ports, quick_rules()) as server:
        yield server


def test_the_alerts_of_a_real_run(scene: Scene, prometheus_server: Prometheus) -> None:
    """They fire for what is broken, and end when it is repaired; for an object that is well, none does."""

    def firing() -> set[tuple[str, str]]:
        found = [one["labels"] for one in prometheus_server.alerts("firing")]
        # Other tests may have left objects behind that are being deleted.
        ours = [one for one in found if one.get("namespace") in {None, scene.namespace, "bek-system"}]
        return {(one["alertname"], one.get("name", "")) for one in ours}

    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=list(scene.simulator.pods)[:2]))
    scene.put_secret("no-key", {"private.pem": "no key"})
    last = list(scene.simulator.pods)[2:]
    scene.apply(scene.manifest("broken", numbers=last, keySecretRef={"name": "no-key"}))
    scene.wait_for(lambda: firing() == {("BekStalled", "broken")}, "the alert about the broken object fires alone")
    (told,) = [one for one in prometheus_server.alerts("firing") if one["labels"]["namespace"] == scene.namespace]
    assert told["labels"]["severity"] == "warning"
    assert f"BusinessEncryptionKey {scene.namespace}/broken is Stalled" in told["annotations"]["description"]
    assert told["annotations"]["runbook_url"] == alerts()["BekStalled"]["annotations"]["runbook_url"]

    scene.put_key(keys.rsa(), "no-key")
    scene.wait_ready("broken")
    scene.wait_for(lambda: firing() == set(), "no alert fires")

    scene.put_access("another password")
    refused = {("BekCredentialsRefused", name) for name in ("broken", "flows")}
    scene.wait_for(lambda: firing() == refused, "the refused password is told")

    scene.operator.stop()
    scene.wait_for(lambda: firing() == {("BekOperatorAbsent", "")}, "the missing operator is told, and nothing else")


def test_every_query_of_the_dashboard_finds_something(scene: Scene, prometheus_server: Prometheus) -> None:
    """With a number that is signed, and one whose API refuses the password."""

    def finds(query: str) -> bool:
        return bool(prometheus_server.query(query))

    next(iter(scene.simulator.pods.values())).password = "another one"
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_for(lambda: scene.ready() == ("False", "AccessDenied"), "a number is refused")
    for query in queries(scene.namespace):
        if not any(name in query for name in ELSEWHERE):
            scene.wait_for(partial(finds, query), f"there are series for {query}")


@pytest.fixture
def monitored(installed: ApiServer) -> Iterator[ApiServer]:
    """Provide the API server with the kinds of Prometheus Operator."""
    with defined(installed, CRDS):
        yield installed


def test_the_component_can_be_applied(monitored: ApiServer, tmp_path: Path) -> None:
    """In the overlay that the documentation shows, with another namespace and prefix: everything follows."""
    page = (COMPONENT.parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    shown = re.search(r"^```yaml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown
    overlay = yaml.safe_load(shown[1])
    runbooks = overlay["replacements"][0]["sourceValue"]
    for kind, folder in (("resources", DEFAULT), ("components", COMPONENT)):
        (base,) = overlay[kind]
        assert folder.match(f"*/{base.removeprefix('bek-operator/')}")
        overlay[kind] = [os.path.relpath(folder, tmp_path)]
    overlay |= {"namespace": "elsewhere", "namePrefix": "my-"}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    made = list(yaml.safe_load_all(monitored.kubectl("kustomize", str(tmp_path)).stdout))
    ours = {one["kind"]: one for one in made if one["kind"] in {"PodMonitor", "PrometheusRule", "ConfigMap"}}
    text = yaml.safe_dump_all(ours.values())
    monitored.kubectl("create", "namespace", "elsewhere")
    monitored.kubectl("apply", "--validate=strict", "--filename=-", stdin=text)

    assert {kind: one["metadata"]["name"] for kind, one in ours.items()} == {
        "PodMonitor": "my-bek-operator",
        "PrometheusRule": "my-bek-operator",
        "ConfigMap": "my-bek-operator-dashboard",
    }
    (deployment,) = [one for one in made if one["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    monitor = ours["PodMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["jobLabel"] in template["metadata"]["labels"]
    ports = [port["name"] for port in template["spec"]["containers"][0]["ports"]]
    assert [one["port"] in ports for one in monitor["podMetricsEndpoints"]] == [True]
    rules = [rule for group in ours["PrometheusRule"]["spec"]["groups"] for rule in group["rules"]]
    assert {rule["annotations"]["runbook_url"] for rule in rules} == {
        f"{runbooks}/runbooks/{name}.md" for name in alerts()
    }
    assert {rule["labels"]["namespace"] for rule in rules if "namespace" in rule["labels"]} == {"elsewhere"}
    (dashboard,) = ours["ConfigMap"]["data"].values()
    assert json.loads(dashboard) == json.loads((COMPONENT / "dashboard.json").read_text(encoding="utf-8"))
