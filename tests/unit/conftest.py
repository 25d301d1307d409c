"""Fixtures for unit tests."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def logging_untouched() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
