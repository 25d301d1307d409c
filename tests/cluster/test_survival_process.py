"""The operator's process is killed, stopped for ten minutes, and has its clock moved: afterwards all is right.

Ten minutes go by in a moment. A process that is stopped tells a long time from a short one by its clocks alone, which
libfaketime moves while it is stopped; what the network forgets of it meanwhile is cut.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cluster.conftest import BEHIND_A_NETWORK
from support import keys
from support.cluster.networked_scene import NetworkedScene
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import is_current
from support.programs.faketime import MovedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.tcp_proxy import TcpProxy
    from support.programs.faketime import Clocks
    from support.simulators.on_premises import OnPremises

FIRST, SECOND, THIRD = (keys.rsa(name) for name in ("first", "second", "third"))
MINUTE, HOUR = 60, 3600
RETRIES = 60


class ClockedScene(NetworkedScene):
    """A scene with an operator whose clocks can be moved."""

    clock: MovedClock

    def pass_time(self, seconds: float) -> None:
        """Stop the process for so long, or what it must take for that."""
        self.operator.pause()
        self.clock.move(seconds)
        self.operator.resume()


@pytest.fixture
def clocks() -> Clocks:
    """Provide which clocks are moved."""
    return "all clocks"


@pytest.fixture
def scene(
    installed: ApiServer,
    namespace: str,
    simulator: OnPremises,
    network: TcpProxy,
    clocks: Clocks,
    no_operator: None,  # noqa: ARG001 - nobody else works here
) -> Iterator[ClockedScene]:
    """Provide a namespace with an operator of its own, behind a network, with clocks that can be moved."""
    clock = MovedClock(installed.folder / f"{namespace}.clock", clocks)
    with OperatorProcess(installed, BEHIND_A_NETWORK, name="clocked", server=network.url, env=clock.env) as operator:
        scene = ClockedScene(installed, namespace, simulator, operator, network)
        scene.clock = clock
        yield scene


@pytest.mark.parametrize("carried_out", [False, True], ids=["before it took effect", "before the answer"])
def test_a_kill_in_the_middle_of_a_rollout(networked: NetworkedScene, *, carried_out: bool) -> None:
    """The next process finds out how far the rollout came, and publishes where the key is missing."""
    scene = networked
    scene.begin(FIRST)

    scene.begin_rotation(SECOND, carried_out=carried_out)
    scene.operator.kill()
    for pod in scene.simulator.pods.values():
        pod.heal()
    scene.operator.start()
    scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)


def test_kills_at_random_moments_of_a_rollout(networked: NetworkedScene) -> None:
    """Whenever it is killed, no number is given the key twice."""
    scene = networked
    scene.begin(FIRST)
    for moment in sorted(random.sample(range(1, 24), 3)):
        scene.put_key(SECOND)
        scene.simulator.wait_until(partial(has_published, scene, moment))
        scene.operator.kill()
        scene.operator.start()
    scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)


def has_published(scene: NetworkedScene, times: int) -> bool:
    """Return whether there were so many publishes."""
    return scene.simulator.publishes >= times


@pytest.mark.parametrize("connections", ["are lost", "stay open"])
def test_a_process_that_was_stopped_for_ten_minutes(scene: ClockedScene, connections: str) -> None:
    """In the middle of a rotation; what changed meanwhile is found, and every number is asked a few times at most."""
    scene.begin(FIRST)
    with scene.unharmed():
        hang = scene.begin_rotation(SECOND)
        mark = scene.api_server.audit_mark()
        scene.operator.pause()
        hang.release()
        scene.put_key(THIRD)
        if connections == "are lost":
            scene.network.cut()
        scene.clock.move(10 * MINUTE)
        scene.operator.resume()
        scene.wait_signed(THIRD)

    assert scene.publishes() == scene.each_got(SECOND, THIRD)
    assert max(pod.reads for pod in scene.simulator.pods.values()) <= 6
    assert len(scene.requests(mark)) < 3 * RETRIES


def test_an_api_server_that_hangs(scene: ClockedScene) -> None:
    """It accepts connections and answers nothing: the numbers go on, and every request has an end."""
    scene.begin(FIRST)
    with scene.unharmed():
        hang = scene.begin_rotation(SECOND)
        connections, mark = scene.network.connections, scene.api_server.audit_mark()
        scene.network.freeze()
        hang.release()
        scene.simulator.wait_until(lambda: scene.simulator.all_hold(SECOND.public))
        scene.wait_for(lambda: hurried(scene).log_text().count("no response in time") > 2, "requests are given up")
        scene.network.mend()
        scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)
    assert scene.network.connections - connections < RETRIES
    assert len(scene.status_writes(mark)) < RETRIES


def hurried(scene: ClockedScene) -> ClockedScene:
    """Let the time of the process run faster, by a second for each look at the scene."""
    scene.clock.move(1)
    return scene


@pytest.mark.parametrize("changed", ["Secret", "object"])
def test_connections_that_were_lost_unnoticed(scene: ClockedScene, changed: str) -> None:
    """As when a router forgets them: nothing comes any more, and nobody says so. Two minutes later there are others."""
    scene.begin(FIRST, 3)
    with scene.unharmed():
        scene.network.strand()
        if changed == "Secret":
            scene.put_key(SECOND)
        else:
            scene.kubectl("patch", "bek", "flows", "--type=merge", '--patch={"spec":{"suspend":true}}')
        scene.pass_time(2 * MINUTE)
        if changed == "Secret":
            scene.wait_signed(SECOND)
        else:
            scene.wait_for(lambda: is_current(scene.get()), "the change is observed")

    assert scene.publishes() == (scene.each_got(SECOND) if changed == "Secret" else scene.each_got())


@pytest.mark.parametrize("clocks", ["wall clock"])
def test_a_wall_clock_that_is_moved_by_an_hour(scene: ClockedScene) -> None:
    """Back and forth: nothing happens because of it, and a rotation goes as ever."""
    scene.begin(FIRST)
    with scene.unharmed():
        mark = scene.api_server.audit_mark()
        for hours, pair in ((1, SECOND), (-2, THIRD), (1, FIRST)):
            scene.clock.move(hours * HOUR)
            scene.check()
            scene.put_key(pair)
            scene.wait_signed(pair)

    assert scene.publishes() == scene.each_got(SECOND, THIRD, FIRST)
    assert len(scene.requests(mark)) < 3 * RETRIES


@pytest.mark.parametrize("clocks", ["wall clock"])
@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "behind"])
def test_a_restart_with_a_wall_clock_that_is_wrong_by_an_hour(scene: ClockedScene, hours: int) -> None:
    """Times in the status lie in the future, or long ago: nothing is published because of it, and nothing held up."""
    scene.begin(FIRST, 3)
    mark = scene.api_server.audit_mark()
    for moved in (hours, -hours):
        scene.operator.stop()
        scene.clock.move(moved * HOUR)
        scene.operator.start()
        scene.check()
    assert scene.simulator.publishes == 0
    # What the two requests for a check clear, and the answers to them; and a publish that lies in the future counts as
    # one of just now.
    assert len(scene.status_writes(mark)) <= 5

    scene.operator.stop()
    scene.clock.move(hours * HOUR)
    scene.operator.start()
    scene.put_key(SECOND)
    scene.wait_signed(SECOND)

    assert scene.publishes() == scene.each_got(SECOND)
