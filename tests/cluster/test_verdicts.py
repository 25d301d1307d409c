"""What `kubectl wait` and GitOps tools make of an object, and how soon."""

from support import keys
from support.cluster.conditions import kstatus
from support.cluster.scene import CA_SECRET, KEY_SECRET, LOGIN_SECRET, Scene, conditions

SECONDS = 5.0
"""How long the operator may take to tell what it was given."""


def verdict(scene: Scene) -> tuple[str, str, str]:
    """Return status and reason of the Ready condition, and the kstatus."""
    body = scene.get()
    return (*scene.ready(), kstatus(body["status"], body["metadata"]["generation"]))


def wait_for_verdict(scene: Scene, *expected: str) -> None:
    """Wait for a status and a reason of the Ready condition, and a kstatus."""
    scene.wait_for(lambda: verdict(scene) == expected, f"{expected}", SECONDS)


def test_ten_numbers_are_ready_in_ten_seconds(scene: Scene) -> None:
    """And `kubectl wait` does not return before the last of them is signed."""
    for index in range(10 - len(scene.simulator.pods)):
        scene.simulator.add(f"+1558{index:07}", own_port=False)
    scene.put_key(keys.rsa())

    scene.apply(scene.manifest())
    scene.wait_ready(seconds=10)

    assert len(scene.simulator.pods) == 10
    assert scene.simulator.all_hold(keys.rsa().public)


def test_wait_does_not_return_for_an_older_generation(scene: Scene) -> None:
    """An object that was Ready is not waited for with success when its edit cannot be fulfilled."""
    first, second, third = scene.simulator.pods
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[first, second]))
    scene.wait_ready()
    scene.simulator[third].stop()

    scene.apply(scene.manifest(numbers=[first, second, third]))

    assert scene.kubectl("wait", "--for=condition=Ready", "bek/flows", "--timeout=2s", check=False) == ""


def test_whatever_the_secret_holds_is_told_within_seconds(scene: Scene) -> None:
    """A missing one is still awaited, an unusable key is a failure, and a good one heals either without an edit."""
    scene.apply(scene.manifest())
    wait_for_verdict(scene, "False", "SecretNotFound", "InProgress")
    assert set(conditions(scene.get())) == {"Ready", "Reconciling"}

    scene.put_key(keys.rsa())
    wait_for_verdict(scene, "True", "Succeeded", "Current")

    for unusable in (keys.rsa("small", 1024), keys.elliptic()):
        scene.put_key(unusable)
        wait_for_verdict(scene, "False", "InvalidKey", "Failed")
    scene.put_key(keys.rsa("second"))
    wait_for_verdict(scene, "True", "Succeeded", "Current")

    assert set(conditions(scene.get())) == {"Ready"}
    assert scene.get()["metadata"]["generation"] == 1
    assert scene.simulator.all_hold(keys.rsa("second").public)


def test_what_gitops_tools_put_on_objects_changes_nothing(scene: Scene) -> None:
    """Argo CD's tracking id and Flux's labels, on the object and on its Secrets: no call and no write."""
    first, second, third = scene.simulator.pods
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest(numbers=[first, second]))
    scene.wait_ready()
    scene.simulator.forget_requests()
    mark = scene.api_server.audit_mark()

    tracked = f"argocd.argoproj.io/tracking-id=keys:bek.dev/BusinessEncryptionKey:{scene.namespace}/flows"
    for name in ("bek/flows", *(f"secret/{name}" for name in (KEY_SECRET, LOGIN_SECRET, CA_SECRET))):
        scene.kubectl("annotate", name, tracked)
        scene.kubectl("label", name, "kustomize.toolkit.fluxcd.io/name=keys")
    # The operator has got past them when it has served an object that was created later.
    scene.apply(scene.manifest("later", [third]))
    scene.wait_ready("later")

    assert [scene.simulator[number].requests for number in (first, second)] == [[], []]
    # Events of before may be posted late.
    assert [one for one in scene.writes(mark) if one.resource != "events" and one.name != "later"] == []
