"""Prometheus and its promtool for the tests of rules and dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs.binaries import ensure_prometheus
from support.programs.gobuild import BuildError

if TYPE_CHECKING:
    from pathlib import Path


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing, with visible progress and outside of any test's time limit."""
    if session.config.option.collectonly or not any(
        "promtool" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            ensure_prometheus()
    except BuildError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Provide promtool."""
    return ensure_prometheus().promtool
