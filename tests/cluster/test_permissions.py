"""What the operator asks of the API server, by the audit log: what it needs, and nothing else."""

from support import keys
from support.cluster.scene import Scene

USER = "system:serviceaccount:bek-system:bek-operator"


def test_the_shipped_role_is_enough_and_nothing_else_is_asked_for(scene: Scene) -> None:
    """A whole life of an object causes no forbidden request, and no write but of statuses and events."""
    mark = scene.api_server.audit_mark()
    scene.operator.stop()
    scene.operator.start()
    scene.put_key(keys.rsa())
    scene.apply(scene.manifest())
    scene.wait_ready()
    scene.put_key(keys.rsa("second"))
    scene.wait_for(lambda: scene.simulator.all_hold(keys.rsa("second").public), "the new key is everywhere")
    scene.wait_ready()
    scene.kubectl("delete", "bek", "flows")

    requests = [event for event in scene.api_server.audit(mark) if event.user == USER]

    assert [event.uri for event in requests if event.is_refused] == []
    written = {(event.verb, event.resource, event.subresource) for event in requests if event.is_write}
    assert written <= {
        ("update", "businessencryptionkeys", "status"),
        ("create", "events", ""),
        ("patch", "events", ""),
    }


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
