"""The dashboard; that each query finds something in a real run is tested in tests/cluster/test_monitoring.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from monitoring.promtool_run import recorded, try_rules
from support.monitoring import dashboard, panels, queries

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("scene", "series", "value"),
    [("rate-limited", "bek_api_usage_ratio", 1), ("rolling-upgrade", "leader_election_master_status", 1)],
)
def test_queries_that_need_what_the_real_run_has_not(
    promtool: Path, tmp_path: Path, scene: str, series: str, value: float
) -> None:
    """A rate limit that is used up, and a change of the leader."""
    (query,) = [one for one in queries() if series in one]
    assert try_rules(promtool, tmp_path, recorded(scene, {f"max({query})": {"{}": value}})) == ""


def test_the_data_source_and_the_namespace_are_chosen_in_the_dashboard() -> None:
    """So that it works in any Grafana."""
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "namespace"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    used = [place["datasource"] for panel in panels() for place in (panel, *panel["targets"])]
    assert all(one == chosen for one in (*used, variables["namespace"]["datasource"]))
    assert "uid" not in dashboard()


def test_panels_are_readable() -> None:
    """Each has a title of its own and a unit, and none covers another one."""
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)


def test_queries_of_shared_names_are_about_our_operator() -> None:
    """Other operators of the cluster have series of the same names."""
    shared = re.compile(r"\b(?:controller_runtime|workqueue|rest_client|leader_election|process)_\w+\{([^}]*)")
    selectors = [found for query in queries() for found in shared.findall(query)]
    assert selectors
    assert all('job="bek-operator"' in one for one in selectors)
