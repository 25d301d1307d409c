"""What the operator asks of the API server, by the audit log: what it needs, and nothing else."""

from pathlib import Path

import yaml

from support import keys
from support.cluster.apiserver import ApiServer
from support.cluster.operator_process import NAMESPACE, OperatorProcess
from support.cluster.scene import Scene
from support.keys import KeyPair

USER = "system:serviceaccount:bek-system:bek-operator"
DEFAULT = Path(__file__).parents[2] / "deploy" / "default"

Permission = tuple[str, str, str]
"""A verb, a resource and a subresource."""


def used(server: ApiServer, since: int) -> set[Permission]:
    """Return the permissions that the operator has used since a mark of the audit log."""
    events = [event for event in server.audit(since) if event.user == USER]
    return {(event.verb, event.resource, event.subresource) for event in events if event.resource}


def granted(server: ApiServer) -> set[Permission]:
    """Return the permissions that the shipped roles give to the operator."""
    bodies = yaml.safe_load_all(server.kubectl("kustomize", str(DEFAULT)).stdout)
    roles = [one for one in bodies if one["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles if role["metadata"]["name"].startswith("bek-operator") for rule in role["rules"]]
    return {
        (verb, name, subresource)
        for rule in rules
        for verb in rule["verbs"]
        for name, _, subresource in (resource.partition("/") for resource in rule["resources"])
    }


def rotate(scene: Scene, pair: KeyPair) -> None:
    """Put another key into the Secret, and wait until the status tells that all is well."""
    scene.put_key(pair)
    scene.wait_for(lambda: scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint, "the key is seen")
    scene.wait_ready()


def test_the_shipped_roles_allow_what_the_operator_does_and_no_more(scene: Scene) -> None:
    """A whole life of two replicas and an object causes no forbidden request, and uses every permission."""
    server = scene.api_server
    mark = server.audit_mark()
    scene.operator.stop()
    server.kubectl("delete", "lease", "bek-operator", f"--namespace={NAMESPACE}", "--ignore-not-found")
    flags = ["--allow-host=127.0.0.1:*", "--leader-elect=on", f"--lease-namespace={NAMESPACE}"]
    with OperatorProcess(server, flags, name="one-replica"), OperatorProcess(server, flags, name="another-replica"):
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        scene.wait_ready()
        rotate(scene, keys.rsa("second"))
        # And back again, so that an event is repeated.
        rotate(scene, keys.rsa())
        scene.wait_for(lambda: used(server, mark) >= granted(server), "every permission is used")
        scene.kubectl("delete", "bek", "flows")

    requests = [event for event in server.audit(mark) if event.user == USER]
    assert [event.uri for event in requests if event.is_refused] == []
    assert used(server, mark) == granted(server)


def test_listing_and_watching_secrets_carries_no_secrets(scene: Scene) -> None:
    """Only single Secrets that an object names are read with their content."""
    mark = scene.api_server.audit_mark()
    scene.put_secret("unrelated", {"private.pem": "nobody asked for this"})
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()

    events = scene.api_server.audit(mark)
    read = {event.name for event in events if event.user == USER and (event.resource, event.verb) == ("secrets", "get")}

    assert read == {"flows-key", "whatsapp-admin", "whatsapp-ca"}
