"""What Flux makes of each state: by kstatus alone, and with the expressions of `deploy/examples/flux`."""

from pathlib import Path
from typing import Any, Final

import cel
import pytest
import yaml

from support.cluster.conditions import kstatus
from unit.gitops.scenes import SCENES, Body, Scene, play

EXAMPLE: Final = Path(__file__).parents[3] / "deploy" / "examples" / "flux" / "keys.yaml"


def expressions() -> dict[str, str]:
    """Return the health check expressions of the example."""
    (found,) = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["spec"]["healthCheckExprs"]
    assert (found.pop("apiVersion"), found.pop("kind")) == ("bek.dev/v1alpha1", "BusinessEncryptionKey")
    return dict(found)


def flux(body: Body) -> str:
    """Return what kustomize-controller makes of an object: a stale generation first, then one expression at a time.

    https://fluxcd.io/flux/components/kustomize/kustomizations/#health-check-expressions
    """
    if body["status"]["observedGeneration"] != body["metadata"]["generation"]:
        return "InProgress"
    words = {"inProgress": "InProgress", "failed": "Failed", "current": "Current"}
    holds: dict[str, Any] = {name: cel.evaluate(expression, body) for name, expression in expressions().items()}
    return next((word for name, word in words.items() if holds[name]), "InProgress")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_each_state_by_the_expressions(scene: Scene) -> None:
    """A suspended object is current, and a requested check is waited for."""
    assert flux(play(scene)) == SCENES[scene].flux


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_each_state_by_kstatus(scene: Scene) -> None:
    """What `wait: true` uses without expressions."""
    body = play(scene)

    assert kstatus(body["status"], body["metadata"]["generation"]) == SCENES[scene].kstatus
