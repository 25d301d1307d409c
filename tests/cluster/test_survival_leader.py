"""The leader is killed, paused and cut off at any moment of a rotation: the standby brings it to its end.

BEK_TURNS says how often each is tried, at moments that `--randomly-seed` decides; take-over times are printed.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.replicas import Replicas
from support.cluster.scene import conditions
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.audit import AuditEvent
    from support.cluster.networked_scene import NetworkedScene
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
    with Replicas.running(installed, namespace, many) as replicas:
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


@pytest.fixture
def clocked(installed: ApiServer, namespace: str, simulator: OnPremises, no_operator: None) -> Iterator[Replicas]:
    """Provide a leader and a standby whose clocks can be moved."""
    del no_operator
    with Replicas.running(installed, namespace, simulator, moves_clocks=True) as replicas:
        yield replicas


@pytest.mark.parametrize("connections", ["are lost", "stay open"])
def test_a_leader_that_was_paused_for_ten_minutes(clocked: Replicas, connections: str) -> None:
    """In the middle of a rotation: it comes back as a standby, sends nothing out of date, and can lead again."""
    scene, leader, standby = clocked.scene, clocked.leader, clocked.standby
    scene.begin(FIRST)
    hang = scene.begin_rotation(SECOND)
    leader.pause()
    hang.release()
    scene.wait_for(lambda: hurried(standby).leads, "the standby takes over")
    scene.wait_signed(SECOND)
    scene.put_key(THIRD)
    scene.wait_signed(THIRD)
    mark = scene.api_server.audit_mark()

    if connections == "are lost":
        leader.network.cut()
    leader.clock.move(10 * MINUTE)
    leader.resume()
    scene.wait_for(lambda: leader.stands_by, "it stands by")
    scene.wait_for(leader.is_ready, "it is ready")
    assert scene.publishes() == scene.each_got(SECOND, THIRD)
    assert scene.status_writes(mark) == []

    assert standby.stop() == 0
    scene.put_key(FIRST)
    scene.wait_for(lambda: leader.leads, "it leads again")
    scene.wait_signed(FIRST)
    assert scene.publishes() == scene.each_got(SECOND, THIRD, FIRST)


@pytest.mark.parametrize("connections", ["are lost", "stay open"])
def test_a_standby_that_was_paused_for_ten_minutes(clocked: Replicas, connections: str) -> None:
    """It does not take a Lease for expired that was renewed meanwhile, and can take over."""
    scene, leader, standby = clocked.scene, clocked.leader, clocked.standby
    scene.begin(FIRST)
    standby.pause()
    renewals = len(renewals_of_lease(scene))
    scene.put_key(SECOND)
    scene.wait_signed(SECOND)
    # The clock jumps over ten minutes, in which the leader would have renewed the Lease three hundred times.
    scene.wait_for(lambda: len(renewals_of_lease(scene)) > renewals + 1, "the leader renews the Lease")
    if connections == "are lost":
        standby.network.cut()
    standby.clock.move(10 * MINUTE)
    standby.resume()
    looks = len(looks_at_lease(scene, 0))
    scene.wait_for(lambda: len(looks_at_lease(scene, 0)) > looks + 3, "the standby looks at the Lease")
    scene.wait_for(standby.is_ready, "it is ready")
    assert leader.leads
    assert not standby.leads

    assert leader.stop() == 0
    scene.put_key(THIRD)
    clocked.wait_for_take_over()
    scene.wait_signed(THIRD)
    assert scene.publishes() == scene.each_got(SECOND, THIRD)


def hurried(replica: Replica) -> Replica:
    """Let the time of a process run faster, by a second for each look at it."""
    replica.clock.move(1)
    return replica


def renewals_of_lease(scene: NetworkedScene) -> list[AuditEvent]:
    """Return the writes of the Lease, which only the leader makes."""
    return [one for one in scene.requests(0) if (one.verb, one.resource) == ("update", "leases")]


def looks_at_lease(scene: NetworkedScene, since: int) -> list[AuditEvent]:
    """Return the reads of the Lease, which only who does not lead makes."""
    return [one for one in scene.requests(since) if (one.verb, one.resource) == ("get", "leases")]


def test_a_rolling_upgrade_over_a_thousand_healthy_numbers(
    installed: ApiServer, namespace: str, no_operator: None
) -> None:
    """Old and new process side by side, then the new one alone: no object is written, no number published to."""
    del no_operator
    with (
        OnPremises(numbers(1000), own_ports=False) as simulator,
        Replicas.running(installed, namespace, simulator) as replicas,
    ):
        scene = replicas.scene
        listed = list(simulator.pods)
        scene.put_access()
        scene.put_key(FIRST)
        manifests = [scene.manifest(f"flows-{at}", listed[at : at + 100]) for at in range(0, 1000, 100)]
        scene.kubectl("create", "--filename=-", stdin="\n---\n".join(json.dumps(one) for one in manifests))
        scene.kubectl("wait", "--for=condition=Ready", "bek", "--all", "--timeout=60s")
        # A process that is new, as far as the other one can tell.
        replicas.standby.stop()
        before, mark = {one["metadata"]["name"]: one for one in scene.objects()}, scene.api_server.audit_mark()
        simulator.forget_requests()

        replicas.standby.start()
        assert replicas.leader.stop() == 0
        replicas.wait_for_take_over()
        # What only a process can do that has read everything, and works.
        scene.check("flows-0")
        after = {one["metadata"]["name"]: one for one in scene.objects()}

    assert simulator.publishes == 0
    # What the check clears, and its echo, in one write or in two.
    assert {one.name for one in scene.status_writes(mark)} == {"flows-0"}
    assert conditions(after.pop("flows-0")) == conditions(before.pop("flows-0"))
    assert after == before
