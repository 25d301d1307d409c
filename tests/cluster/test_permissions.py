"""What the operator asks of the API server, by the audit log: what it needs, and nothing else."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from cluster.installation import Installation, permissions
from support import keys
from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT
from support.cluster.scene import Scene
from support.kustomize import BUILDS, COMPONENTS, overlay

if TYPE_CHECKING:
    from pathlib import Path

    from support.cluster.apiserver import ApiServer
    from support.keys import KeyPair
    from support.simulators.on_premises import OnPremises


def rotate(scene: Scene, pair: KeyPair, *, watched: bool) -> None:
    """Put another key into the Secret, and wait until the status tells that all is well."""
    scene.put_key(pair)
    if not watched:
        scene.request_check(pair.fingerprint[-12:])
    scene.wait_for(lambda: scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint, "the key is seen")
    scene.wait_ready()


@pytest.mark.usefixtures("no_operator")
@pytest.mark.parametrize("components", [(), ("secret-get-only",)], ids=["", "secret-get-only"])
@pytest.mark.parametrize("build", BUILDS)
def test_the_shipped_roles_allow_what_the_operator_does_and_no_more(
    installed: ApiServer, namespace: str, simulator: OnPremises, tmp_path: Path, build: str, components: tuple[str, ...]
) -> None:
    """The life of an object under two leaders causes no forbidden request, and uses every permission.

    Each is installed in another namespace and under another name than `deploy/default`, in the namespace of the object
    where it can serve no other.
    """
    folder = overlay(
        tmp_path,
        BUILDS[build],
        components=[COMPONENTS / name for name in components],
        namespace=namespace if build == "namespaced" else f"{namespace}-operator",
        namePrefix="eu-",
    )
    installation = Installation(installed, folder)
    granted = permissions(installation.bodies)
    watched = not components
    mark = installed.audit_mark()
    with ExitStack() as stack:
        leader, *others = [installation.process(one) for one in installation.deployments]
        standby = installation.process(installation.deployments[0])
        scene = Scene(installed, namespace, simulator, leader)
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        for process in (leader, standby, *others):
            stack.callback(process.kill)
            process.start(wait=process is leader)
        scene.wait_ready()
        # Back and forth, until an event is repeated: how many numbers one tells of depends on when they answer.
        for pair in (keys.rsa("second"), keys.rsa()) * 3:
            rotate(scene, pair, watched=watched)
            if any(one.verb == "patch" for one in installation.requests(mark)):
                break
        leader.stop()
        rotate(scene, keys.rsa("third"), watched=watched)

        def unused() -> list[str]:
            requests = installation.requests(mark)
            return [str(one) for one in granted if not any(one.covers(request) for request in requests)]

        scene.wait_for(lambda: not unused(), "every permission is used")
        scene.kubectl("delete", "bek", "flows")

    assert [one.uri for one in installation.requests(mark) if one.is_refused] == []
    assert simulator.all_hold(keys.rsa("third").public)


def test_listing_and_watching_secrets_carries_no_secrets(scene: Scene) -> None:
    """Only single Secrets that an object names are read with their content."""
    user = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
    mark = scene.api_server.audit_mark()
    scene.put_secret("unrelated", {"private.pem": "nobody asked for this"})
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    events = scene.api_server.audit(mark)
    read = {event.name for event in events if event.user == user and (event.resource, event.verb) == ("secrets", "get")}

    assert read == {"flows-key", "whatsapp-admin", "whatsapp-ca"}
