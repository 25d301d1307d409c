"""Installing again what is installed already changes nothing, by whichever way of applying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.cluster.apiserver import ApiServer

DEFAULT = f"--kustomize={Path(__file__).parents[2] / 'deploy' / 'default'}"


def versions(api_server: ApiServer, *flags: str) -> dict[tuple[str, str], str]:
    """Apply everything; return the resourceVersion of every object by kind and name."""
    answer = json.loads(api_server.kubectl("apply", DEFAULT, "--output=json", *flags).stdout)
    return {(item["kind"], item["metadata"]["name"]): item["metadata"]["resourceVersion"] for item in answer["items"]}


def test_a_second_apply_finds_nothing_to_do(installed: ApiServer) -> None:
    """Not even a request that the server answers with what it has."""
    installed.kubectl("apply", DEFAULT)

    error = installed.kubectl("apply", DEFAULT).stdout.splitlines()

    assert [line for line in error if not line.endswith(" unchanged")] == []
    assert "deployment.apps/bek-operator unchanged" in error


def test_a_second_server_side_apply_writes_nothing(installed: ApiServer) -> None:
    """It never says "unchanged", but no object gets a new version."""
    first = versions(installed, "--server-side", "--force-conflicts")
    second = versions(installed, "--server-side", "--force-conflicts")

    assert ("Deployment", "bek-operator") in first
    assert second == first
