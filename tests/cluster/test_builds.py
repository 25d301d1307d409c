"""Every installation with every component and every pair of them, on the real API server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

import pytest

from cluster.installation import defined, permissions
from support.kustomize import BUILDS, COMPONENTS, DEPLOY, Body, build, overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer

CRDS = Path(__file__).with_name("monitoring_crds.yaml")
NAMES = sorted(folder.name for folder in COMPONENTS.iterdir())
CHOICES = [chosen for count in range(3) for chosen in combinations(NAMES, count)]
NARROWS_RIGHTS = "secret-get-only"


@pytest.fixture(scope="module")
def monitored(installed: ApiServer) -> Iterator[ApiServer]:
    """Provide the API server with the kinds that the monitoring component needs."""
    with defined(installed, CRDS):
        yield installed


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide what the components for Argo CD and for Secret names change."""
    folder = overlay(tmp_path_factory.mktemp("changed"), resources=["argocd-cm.json", "flows.yaml"])
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "bek-system"}}
    (folder / "argocd-cm.json").write_text(json.dumps(config_map), encoding="utf-8")
    copyfile(DEPLOY / "samples" / "cloud.yaml", folder / "flows.yaml")
    return folder


@pytest.mark.parametrize("name", BUILDS)
def test_every_pair_of_components_can_be_applied(
    monitored: ApiServer, changed: Path, tmp_path: Path, name: str
) -> None:
    """Strictly validated; a component does in a pair what it does alone, and only one changes the permissions."""

    def made(chosen: tuple[str, ...]) -> dict[tuple[str, str], Body]:
        components = [COMPONENTS / one for one in chosen]
        folder = tmp_path / "-".join(["with", *chosen])
        bodies = build(overlay(folder, BUILDS[name], changed, components=components, namePrefix="new-"))
        return {(one["kind"], one["metadata"]["name"]): one for one in bodies}

    with ThreadPoolExecutor() as pool:
        builds = dict(zip(CHOICES, pool.map(made, CHOICES), strict=True))

    plain = builds[()]
    for first, second in (chosen for chosen in CHOICES if len(chosen) > 1):
        both, alone = builds[first, second], [builds[first,], builds[second,]]
        assert both.keys() == alone[0].keys() | alone[1].keys()
        for key, body in both.items():
            changes = [one[key] for one in alone if one.get(key, plain.get(key)) != plain.get(key)]
            if len(changes) > 1:
                assert body not in changes
                # They change different things.
                assert body == made((second, first))[key]
            else:
                assert body == (changes or [plain[key]])[0]
    rights = {chosen: permissions(bodies.values()) for chosen, bodies in builds.items()}
    assert {chosen for chosen in CHOICES if rights[chosen] == rights[()]} == {
        chosen for chosen in CHOICES if NARROWS_RIGHTS not in chosen
    }
    assert len({frozenset(found) for found in rights.values()}) == 2
    # Most builds share most of their objects, and the API server judges each on its own.
    distinct = sorted({json.dumps(body, sort_keys=True) for bodies in builds.values() for body in bodies.values()})
    applied = monitored.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"),
        stdin="\n---\n".join(distinct),
    )
    assert len(applied.stdout.splitlines()) == len(distinct)
