"""Pings to a Flow endpoint go out through `--cloud-proxy`, except those to Services of the cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import Scene, conditions
from support.simulators.flows_endpoint import PATH, FlowsEndpoint
from unit.http.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.simulators.on_premises import OnPremises

PAIR = keys.rsa()
SERVICE = "flows"


@pytest.fixture(name="endpoint")
def endpoint_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds the key."""
    with FlowsEndpoint(PAIR) as endpoint:
        yield endpoint
        assert endpoint.violations == []


async def test_pings_go_through_the_proxy(
    installed: ApiServer,
    namespace: str,
    simulator: OnPremises,
    endpoint: FlowsEndpoint,
    no_operator: None,  # noqa: ARG001 - nobody else works here
) -> None:
    """Only the proxy knows the endpoint's name; it is asked for no Service, and for no API pod."""
    host = f"flows.example.com:{endpoint.port}"
    async with tunnel() as proxy:
        flags = ["--allow-host=127.0.0.1:*", f"--allow-host={host}", f"--cloud-proxy={proxy.url}"]
        with OperatorProcess(installed, flags, name="proxied") as operator:
            scene = Scene(installed, namespace, simulator, operator)
            await asyncio.to_thread(ask_both, scene, endpoint, host)
    assert set(proxy.targets) == {host}
    assert {ping.opened for ping in endpoint.pings} == {PAIR.fingerprint}


def ask_both(scene: Scene, endpoint: FlowsEndpoint, host: str) -> None:
    """Have the endpoint asked at a name of the Internet, then a Service that there is not."""
    scene.put_access()
    scene.put_key(PAIR)
    scene.put_secret("flows-ca", {"ca.crt": endpoint.certificate.authority})
    tls = {"caSecretRef": {"name": "flows-ca", "key": "ca.crt"}}
    scene.apply(scene.manifest(flowsEndpoint={"url": f"https://{host}{PATH}", "tls": tls}))
    scene.wait_ready()
    scene.change(flowsEndpoint={"url": f"https://{SERVICE}{PATH}", "tls": tls})
    scene.wait_for(lambda: scene.ready() == ("False", "EndpointUnreachable"), "the Service is not found")
    message = conditions(scene.get())["EndpointReady"]["message"]
    assert f"{SERVICE}.{scene.namespace}.svc: the name" in message
