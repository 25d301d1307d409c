"""Fixtures for tests on a real node, which run inside of its namespaces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import tls
from support.node.deployed import Deployed, overlay
from support.node.namespaces import ADDRESS, INSIDE
from support.node.node import NAMES, Node
from support.node.programs import NodePrograms, ensure_node
from support.node.runtime import ContainerRuntime
from support.simulators.cloud import Cloud
from support.simulators.on_premises import OnPremises, numbers
from support.simulators.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run on the machine itself."""
    if session.items and not session.config.option.collectonly and INSIDE not in os.environ:
        raise pytest.UsageError("tests/node runs inside of namespaces of its own, as `make node-test` makes them.")


@pytest.fixture(scope="session")
def folder() -> Path:
    """Provide the session's folder, which has the images."""
    return Path(os.environ[INSIDE])


@pytest.fixture(scope="session")
def programs() -> NodePrograms:
    """Provide Kubernetes' programs of a node."""
    return ensure_node()


@pytest.fixture(scope="session")
def runtime(folder: Path) -> Iterator[ContainerRuntime]:
    """Provide containerd, which has the operator's image."""
    with ContainerRuntime(folder / "pause.tar", folder / "operator.tar") as running:
        yield running


@pytest.fixture(scope="module")
def certificate() -> tls.Certificate:
    """Provide the API server's certificate, signed by a CA as kubeadm makes one."""
    return tls.signed_by(tls.self_signed("kubernetes"), *NAMES)


@pytest.fixture(scope="module")
def node(runtime: ContainerRuntime, programs: NodePrograms, certificate: tls.Certificate) -> Iterator[Node]:
    """Provide a cluster of one node, which has a namespace for users' objects."""
    del runtime  # it runs
    with Node(programs, certificate) as node:
        node.api_server.kubectl("create", "namespace", "messaging")
        yield node


@pytest.fixture(scope="session")
def simulator() -> Iterator[OnPremises]:
    """Provide three numbers On-Premises, where Pods can reach them."""
    with OnPremises(numbers(3), certificate=tls.self_signed(ADDRESS), host=ADDRESS) as running:
        yield running


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """Provide the Cloud API, where Pods can reach it."""
    with Cloud(certificate=tls.self_signed(ADDRESS), host=ADDRESS) as running:
        yield running


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """Provide a provider with one number, where Pods can reach it."""
    with Provider(["+15570000001"], certificate=tls.self_signed(ADDRESS), host=ADDRESS) as running:
        yield running


@pytest.fixture(scope="session")
def with_simulators(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> Path:
    """Provide the folder of an overlay for an operator that calls the simulators."""
    return overlay(
        tmp_path_factory.mktemp("overlay"),
        [f"--allow-host={ADDRESS}:*", f"--cloud-url={cloud.url}"],
        cloud.certificate.authority,
    )


@pytest.fixture(scope="module")
def deployed(node: Node) -> Deployed:
    """Provide the operator's Deployment, which is not applied yet."""
    return Deployed(node.api_server)
