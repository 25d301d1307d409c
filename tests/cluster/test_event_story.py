"""One event for each transition."""

import json
from typing import Any

from support import keys
from support.cluster.scene import Scene


def events(scene: Scene) -> list[tuple[str, str]]:
    """Return type and reason of the events on the object."""
    found: dict[str, Any] = json.loads(scene.kubectl("get", "events.events.k8s.io", "--output=json"))
    return sorted((one["type"], one["reason"]) for one in found["items"] if one["regarding"]["name"] == "flows")


def test_a_publication_and_success_are_told_once(scene: Scene) -> None:
    """A new object leads to one event for the publishing and one for the success."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    scene.wait_for(lambda: len(events(scene)) == 2, "both events are there")

    assert events(scene) == [("Normal", "Published"), ("Normal", "Succeeded")]


def test_kubectl_describe_shows_what_happened(scene: Scene) -> None:
    """Events are found by `kubectl describe`, which matches kind, name and uid."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.wait_for(lambda: len(events(scene)) == 2, "both events are there")

    shown = scene.kubectl("describe", "bek", "flows").rpartition("Events:")[2]

    assert "Published" in shown
    assert "bek.dev/operator" in shown
    assert f"published key {keys.rsa().fingerprint[7:19]} to +1555" in shown


def test_the_same_news_is_counted_not_repeated(scene: Scene) -> None:
    """A problem that comes and goes is one event with a count."""
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    for _ in range(2):
        scene.kubectl("delete", "secret", "flows-key")
        scene.wait_for(lambda: scene.ready() == ("False", "SecretNotFound"), "the loss is reported")
        scene.put_key(keys.rsa())
        scene.wait_ready()

    found = json.loads(scene.kubectl("get", "events.events.k8s.io", "--output=json"))["items"]
    lost = [one for one in found if one["reason"] == "SecretNotFound"]

    assert [one["series"]["count"] for one in lost] == [2]
