"""Fixtures for tests against a real API server, which is always one that this session started."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from kit.apiserver import ApiServer
from kit.binaries import MissingBinaryError, ensure
from kit.gobuild import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the servers, where they are missing, in plain sight and outside of any test's time limit."""
    if session.config.option.collectonly or not any(
        "api_server" in _fixtures(item) for item in session.items
    ):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            ensure()
    except (MissingBinaryError, BuildError) as error:
        raise pytest.UsageError(str(error)) from error


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Provide one real kube-apiserver with etcd for the whole session."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def namespace(api_server: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide a namespace of the test's own, emptied afterwards of what an operator would react to."""
    subject = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{subject}-{secrets.token_hex(4)}"
    api_server.kubectl("create", "namespace", name)
    yield name
    # Nobody empties a deleted namespace here: that is the controller manager's work.
    kinds = api_server.kubectl(
        "api-resources", "--api-group=bek.dev", "--namespaced", "--output=name"
    ).stdout.split()
    api_server.kubectl("delete", ",".join([*kinds, "secrets"]), "--all", f"--namespace={name}")
