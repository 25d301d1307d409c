"""Fixtures for tests of the image, which docker or podman must be here for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cluster.apiserver import ApiServer
from support.programs import image
from support.programs.binaries import MissingBinaryError, ensure
from support.programs.gobuild import BuildError
from support.programs.image import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing, with visible progress and outside of any test's time limit."""
    if session.config.option.collectonly or not session.items:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            ensure()
            image.image(image.find_engine(runs=True))
    except (MissingBinaryError, BuildError, image.ImageError) as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Provide docker or podman."""
    return image.find_engine(runs=True)


@pytest.fixture(scope="session")
def built(engine: Engine) -> str:
    """Provide the name of the image of this source."""
    return image.image(engine)


@pytest.fixture(scope="session")
def installed() -> Iterator[ApiServer]:
    """Provide an API server with what `kubectl apply -k deploy/default` installs."""
    with ApiServer() as server:
        server.kubectl("apply", "--kustomize", str(DEPLOY / "default"))
        server.wait_until_established("businessencryptionkeys.bek.dev")
        yield server
