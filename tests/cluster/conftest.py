"""Fixtures for tests against a real API server, which is always one that this session started."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cluster.apiserver import ApiServer
from support.cluster.networked_scene import NetworkedScene
from support.cluster.operator_process import OperatorProcess
from support.cluster.plugin import Plugin
from support.cluster.scene import Scene
from support.cluster.tcp_proxy import TcpProxy
from support.cluster.tenants import Tenants
from support.programs.binaries import MissingBinaryError, PrometheusBinaries, ensure, ensure_prometheus
from support.programs.gobuild import BuildError
from support.simulators.business import Business
from support.simulators.cloud import Cloud
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"

BEHIND_A_NETWORK = ["--allow-host=127.0.0.1:*", "--concurrency-per-host=50", "--log-level=debug"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build missing servers, with visible progress and outside of any test's time limit."""
    wanted = {fixture for item in session.items for fixture in _fixtures(item)}
    if session.config.option.collectonly or "api_server" not in wanted:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            ensure()
            if "prometheus" in wanted:
                ensure_prometheus()
    except (MissingBinaryError, BuildError) as error:
        raise pytest.UsageError(str(error)) from error


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Provide one real kube-apiserver with etcd for the whole session."""
    with ApiServer() as server:
        yield server


@pytest.fixture(scope="session")
def prometheus() -> PrometheusBinaries:
    """Provide Prometheus and promtool."""
    return ensure_prometheus()


@pytest.fixture
def namespace(api_server: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide a namespace of the test's own, emptied afterwards of everything that an operator reacts to."""
    subject = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{subject}-{secrets.token_hex(4)}"
    api_server.kubectl("create", "namespace", name)
    yield name
    # There is no controller manager to empty a deleted namespace.
    kinds = api_server.kubectl("api-resources", "--api-group=bek.dev", "--namespaced", "--output=name").stdout.split()
    api_server.kubectl("delete", ",".join([*kinds, "secrets"]), "--all", "--wait=false", f"--namespace={name}")


@pytest.fixture(scope="session")
def installed(api_server: ApiServer) -> ApiServer:
    """Provide the API server with what `kubectl apply -k deploy/default` installs."""
    api_server.kubectl("apply", "--kustomize", str(DEPLOY / "default"))
    api_server.wait_until_established("businessencryptionkeys.bek.dev")
    return api_server


@pytest.fixture
def plugin(installed: ApiServer, tmp_path: Path) -> Plugin:
    """Provide `kubectl bek`."""
    return Plugin(installed, tmp_path)


@pytest.fixture(scope="session")
def started() -> list[OperatorProcess]:
    """Provide the list of the operators that this session has started: the one below, or none yet."""
    return []


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """Provide the Cloud API of the whole session: there is one for all objects of an operator."""
    with Cloud() as running:
        yield running


@pytest.fixture(scope="session")
def operator_process(installed: ApiServer, cloud: Cloud, started: list[OperatorProcess]) -> Iterator[OperatorProcess]:
    """Provide the operator, under its shipped service account; a test may leave it stopped."""
    ca_bundle = installed.folder / "cloud-ca.crt"
    ca_bundle.write_text(cloud.certificate.authority, encoding="ascii")
    flags = [
        "--allow-host=127.0.0.1:*",
        f"--cloud-url={cloud.url}",
        f"--cloud-ca={ca_bundle}",
        "--log-level=debug",
    ]
    with OperatorProcess(installed, flags) as process:
        started.append(process)
        yield process


@pytest.fixture
def no_operator(started: list[OperatorProcess]) -> None:
    """Stop the operator, so that only the test itself changes its objects."""
    for process in started:
        process.stop()


@pytest.fixture
def operator(operator_process: OperatorProcess) -> Iterator[OperatorProcess]:
    """Provide the running operator; it serves every namespace, and is one for the whole session."""
    operator_process.ensure_running()
    yield operator_process
    operator_process.ensure_running()


@pytest.fixture
def simulator() -> Iterator[OnPremises]:
    """Provide three API pods, one for each of three numbers."""
    with OnPremises(numbers(3)) as running:
        yield running


@pytest.fixture
def scene(operator: OperatorProcess, installed: ApiServer, namespace: str, simulator: OnPremises) -> Scene:
    """Provide a namespace with the login and the CA of the simulator, and a running operator."""
    scene = Scene(installed, namespace, simulator, operator)
    scene.put_access()
    return scene


@pytest.fixture
def network(installed: ApiServer) -> Iterator[TcpProxy]:
    """Provide a way to the API server that can be broken."""
    with TcpProxy(lambda: installed.address) as network:
        yield network


@pytest.fixture
def networked(
    installed: ApiServer,
    namespace: str,
    simulator: OnPremises,
    network: TcpProxy,
    no_operator: None,  # noqa: ARG001 - nobody else works here
) -> Iterator[NetworkedScene]:
    """Provide a namespace with an operator of its own, behind that way."""
    with OperatorProcess(installed, BEHIND_A_NETWORK, name="networked", server=network.url) as operator:
        yield NetworkedScene(installed, namespace, simulator, operator, network)


@pytest.fixture
def tenants(
    installed: ApiServer,
    namespace: str,
    simulator: OnPremises,
    no_operator: None,  # noqa: ARG001 - nobody else leads
) -> Iterator[Tenants]:
    """Provide an operator with the settings of its Deployment, an attacker's namespace, and another tenant."""
    with Tenants.running(installed, namespace, simulator) as tenants:
        yield tenants


@pytest.fixture
def business(cloud: Cloud) -> Iterator[Business]:
    """Provide a business at the Cloud API; afterwards no call must have been improper."""
    yield Business(cloud)
    cloud.heal()
    cloud.limits.clear()
    cloud.unknown, cloud.ended = "803", "refused"
    assert [*cloud.violations, *cloud.oddities] == []
