"""Fixtures for tests of the simulator of the On-Premises API."""

from collections.abc import Iterator

import pytest

from simulators.plain_client import ONE, TWO, Connect, clients
from support.simulators.on_premises import OnPremises


@pytest.fixture(name="simulator")
def simulator_fixture() -> Iterator[OnPremises]:
    """Two pods."""
    with OnPremises([ONE, TWO]) as simulator:
        yield simulator


@pytest.fixture(name="connect")
def connect_fixture(simulator: OnPremises) -> Iterator[Connect]:
    """Returns clients."""
    with clients(simulator) as connect:
        yield connect
