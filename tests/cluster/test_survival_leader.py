"""The leader is killed, paused and cut off at any moment of a rotation: the standby brings it to its end.

BEK_TURNS says how often each is tried, at moments that `--randomly-seed` decides; take-over times are printed.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.replicas import Replicas
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.replicas import Replica

TURNS = int(os.environ.get("BEK_TURNS", "1"))
NUMBERS = 300
FIRST, SECOND, THIRD = (keys.rsa(name) for name in ("first", "second", "third"))
MINUTE = 60

TakeOvers = dict[str, list[tuple[float, int]]]
"""By what happened to the leader: seconds until the standby led, and how many numbers were published to twice."""


@pytest.fixture(scope="module")
def many() -> Iterator[OnPremises]:
    """Provide the numbers, which keep their keys from turn to turn."""
    with OnPremises(numbers(NUMBERS), own_ports=False) as running:
        yield running


@pytest.fixture(scope="module")
def take_overs(request: pytest.FixtureRequest) -> Iterator[TakeOvers]:
    """Provide a list for what is measured; all of it is printed in the end."""
    found: TakeOvers = defaultdict(list)
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        writer = request.config.get_terminal_writer()
        for what, turns in sorted(found.items()):
            seconds, doubles = [one for one, _ in turns], sum(twice for _, twice in turns)
            figures = f"median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s"
            writer.line(f"\nleader {what}, {len(turns)} times: take-over after {figures}; {doubles} published twice")


@pytest.fixture
def replicas(installed: ApiServer, namespace: str, many: OnPremises, no_operator: None) -> Iterator[Replicas]:
    """Provide a leader and a standby."""
    del no_operator
    with Replicas(installed, namespace, many) as replicas:
        yield replicas


BLOWS: dict[str, tuple[Callable[[Replica], object], Callable[[Replica], object]]] = {
    "killed": (lambda one: one.kill(), lambda one: one.start()),
    "paused": (lambda one: one.pause(), lambda one: one.resume()),
    "cut off": (lambda one: one.network.refuse(), lambda one: one.network.mend()),
    "frozen off": (lambda one: one.network.freeze(), lambda one: one.network.mend()),
}
"""What happens to the leader, and how that ends."""


@pytest.mark.parametrize("turn", range(TURNS))
@pytest.mark.parametrize("blow", BLOWS)
def test_a_leader_that_is_gone_at_a_random_moment(
    replicas: Replicas, take_overs: TakeOvers, blow: str, turn: int, request: pytest.FixtureRequest
) -> None:
    """Every number ends with the new key, and none is given it by both but for the one publish that is promised."""
    scene, leader, standby = replicas.scene, replicas.leader, replicas.standby
    seed = request.config.getoption("randomly_seed", 0)
    moment = random.Random(f"{seed} {blow} {turn}").randrange(NUMBERS)  # noqa: S311 - when to strike
    strike, mend = BLOWS[blow]
    scene.begin(FIRST, NUMBERS)

    scene.put_key(SECOND)
    scene.simulator.wait_until(lambda: scene.simulator.publishes > moment)
    struck_at = time.monotonic()
    strike(leader)
    replicas.wait_for_take_over()
    seconds = time.monotonic() - struck_at
    scene.wait_signed(SECOND)
    mend(leader)
    scene.wait_for(lambda: leader.stands_by, "the former leader stands by")
    scene.wait_for(leader.is_ready, "the former leader is ready")

    given = Counter(len(published) for published in scene.publishes().values())
    assert scene.simulator.all_hold(SECOND.public)
    assert set(given) <= {1, 2}, f"struck after {moment} publishes"
    take_overs[blow].append((seconds, given[2]))
    assert scene.is_signed(SECOND)
    assert standby.leads
    assert not leader.leads
    assert "Traceback" not in leader.log_text() + standby.log_text()
