"""What an API server, or a proxy before it, may send on a watch or say of an object: the process goes on."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from support import keys
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import Scene
from support.cluster.watch_proxy import WatchProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.simulators.on_premises import OnPremises

FLAGS = ["--allow-host=127.0.0.1:*", "--leader-elect=off", "--log-format=json"]
SECRETS, OBJECTS = "/api/v1/secrets", "/apis/bek.dev/v1alpha1/businessencryptionkeys"
OBJECTS_OF_ALL, SECRETS_OF = "/apis/bek.dev/", "/api/v1/namespaces"
WORDS = "sesame-from-the-server"


@pytest.fixture
def proxy(installed: ApiServer) -> Iterator[WatchProxy]:
    """Provide a proxy before the API server."""
    with WatchProxy(installed.url, installed.ca_file) as proxy:
        yield proxy


@pytest.fixture
def scene(
    installed: ApiServer,
    no_operator: None,  # noqa: ARG001 - nobody else writes
    namespace: str,
    simulator: OnPremises,
    proxy: WatchProxy,
) -> Iterator[Scene]:
    """Provide a scene whose operator is behind the proxy, with an object that is Ready."""
    with OperatorProcess(installed, FLAGS, name=namespace, server=proxy.url) as operator:
        scene = Scene(installed, namespace, simulator, operator)
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest())
        scene.wait_ready()
        yield scene


def error(code: int) -> str:
    """Return a line with an error."""
    return json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": WORDS}})


def is_sent(proxy: WatchProxy, path: str, line: str) -> bool:
    """Add a line to the watch of a path; return whether there is one."""
    return proxy.say(path, line) == 1


def has_key(scene: Scene, pair: keys.KeyPair) -> bool:
    """Return whether the status is of a key."""
    return bool(scene.get()["status"]["publicKeyFingerprint"] == pair.fingerprint)


def test_an_error_on_a_watch_is_logged_and_the_watch_begun_again(scene: Scene, proxy: WatchProxy) -> None:
    """An edit of the object and one of its Secret, made afterwards, are seen; what was sent is not logged."""
    pairs = [keys.rsa("second"), keys.rsa()]
    for count, line in enumerate([error(500), error(429), f"<html>{WORDS}", "{}", '{"type": "ERROR", "object": "x"}']):
        for path in (OBJECTS, SECRETS):
            scene.wait_for(partial(is_sent, proxy, path, line), f"{path} is watched", 60)
        scene.put_key(pairs[count % 2])
        scene.wait_for(partial(has_key, scene, pairs[count % 2]), "the key is seen", 60)
        scene.change(intervalSeconds=600 + count)
    assert scene.operator.exit_status is None
    lines = [json.loads(line) for line in scene.log_text().splitlines()]
    warnings = [one["message"] for one in lines if one["level"] not in {"debug", "info"}]
    assert sum(one.startswith("the watch on BusinessEncryptionKeys failed: ") for one in warnings) == 5, warnings
    assert sum(one.startswith("Secret watch failed: ") for one in warnings) >= 3, warnings
    assert not [one for one in lines if "exception" in one]
    assert WORDS not in scene.log_text()


def test_a_404_of_a_proxy_does_not_mean_that_something_is_gone(scene: Scene, proxy: WatchProxy) -> None:
    """Neither an object nor its Secret: the object stays Ready, and what has changed is seen when it can be read."""
    refused: list[str] = []

    def refuse(request: web.Request) -> web.Response | None:
        if "watch" in request.query or not request.path.startswith((OBJECTS_OF_ALL, f"{SECRETS_OF}/")):
            return None
        refused.append(request.path)
        return web.Response(status=404, text="404 page not found")

    proxy.refusal = refuse
    scene.put_key(keys.rsa("second"))
    scene.request_check("now")
    # It is read again and again.
    scene.wait_for(lambda: sum(one.endswith("/flows-key") for one in refused) > 2, "the Secret is asked for", 60)
    assert scene.ready() == ("True", "Succeeded")
    proxy.refusal = lambda _: None
    scene.wait_for(partial(has_key, scene, keys.rsa("second")), "the key is seen", 60)
    scene.wait_ready()
    assert scene.operator.exit_status is None
