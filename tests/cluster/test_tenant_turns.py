"""Namespaces share one operator: slow servers and many requests for checks of one delay nobody else's numbers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.operator_process import OperatorProcess
from support.cluster.scene import Scene, UserNamespace
from support.simulators import faults
from support.simulators.on_premises import OnPremises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cluster.apiserver import ApiServer

HOSTS, NUMBERS_OF_A_HOST, NUMBERS = 20, 25, 50
"""Hosts of the slow namespace, of which eight numbers are called at once, more than there are workers in all."""

SLOW_ANSWER = faults.Slow(9.0)
"""Correct, and just in time."""


class SlowNamespace(UserNamespace):
    """A namespace with very many numbers, at many hosts."""

    def __init__(self, api_server: ApiServer, namespace: str, hosts: list[OnPremises]) -> None:
        super().__init__(api_server, namespace, hosts[0])
        self._hosts = hosts
        self._requests = 0

    def sign(self) -> None:
        """Have every number signed while its host is quick, and make the hosts slow then."""
        self.put_access()
        self.put_key(keys.rsa())
        apis = {f"host-{index}": host for index, host in enumerate(self._hosts)}
        numbers = [{"phoneNumber": number, "api": name} for name, host in apis.items() for number in host.pods]
        self.apply(self.manifest(apis=[self.api(name, host.url) for name, host in apis.items()], phoneNumbers=numbers))
        self.wait_ready(seconds=120)
        for host in self._hosts:
            for pod in host.pods.values():
                pod.fail("read", SLOW_ANSWER, times=None)

    def request_all(self) -> None:
        """Request a check of all numbers; return when they are called, at least as many as the operator has workers."""
        self._requests += 1
        self.request_check(str(self._requests))
        self.wait_for(lambda: self.called >= 50, "the slow numbers occupy workers")

    @property
    def called(self) -> int:
        """How many numbers are being called."""
        return sum(pod.busy for host in self._hosts for pod in host.pods.values())

    @property
    def answers(self) -> int:
        """How many numbers have answered."""
        pods = [pod for host in self._hosts for pod in host.pods.values()]
        return sum(pod.reads - pod.busy for pod in pods)


@pytest.fixture
def hosts() -> Iterator[list[OnPremises]]:
    """Provide the hosts of the slow namespace."""
    with ExitStack() as stack:
        first = stack.enter_context(OnPremises(own_ports=False))
        others = [OnPremises(own_ports=False, certificate=first.certificate) for _ in range(HOSTS - 1)]
        found = [first, *(stack.enter_context(host) for host in others)]
        for index in range(HOSTS * NUMBERS_OF_A_HOST):
            found[index % HOSTS].add(f"+1557{index:07}")
        yield found


@pytest.fixture
def beside_slow(
    installed: ApiServer,
    namespace: str,
    simulator: OnPremises,
    hosts: list[OnPremises],
    no_operator: None,  # noqa: ARG001 - nobody else works here
) -> Iterator[tuple[Scene, SlowNamespace]]:
    """Provide a namespace with signed numbers, and a slow one, of one operator with its default limits."""
    other = f"{namespace}-slow"
    installed.kubectl("create", "namespace", other)
    for index in range(NUMBERS):
        simulator.add(f"+1558{index:07}", own_port=False)
    with OperatorProcess(installed, ["--allow-host=127.0.0.1:*"], name="tenants") as operator:
        scene, slow = Scene(installed, namespace, simulator, operator), SlowNamespace(installed, other, hosts)
        scene.put_access()
        scene.put_key(keys.rsa())
        scene.apply(scene.manifest(intervalSeconds=10))
        scene.wait_ready()
        slow.sign()
        yield scene, slow
    installed.kubectl("delete", "bek,secrets", "--all", "--wait=false", f"--namespace={other}")


def reach_all(scene: Scene, pair: keys.KeyPair) -> Callable[[], bool]:
    """Return whether every number of a namespace holds a key."""
    return lambda: all(pod.holds(pair.public) for pod in scene.simulator.pods.values())


def test_slow_answers_of_one_namespace_do_not_delay_another(beside_slow: tuple[Scene, SlowNamespace]) -> None:
    """A rotated key and periodic checks of the one get through, while the numbers of the other occupy their workers."""
    scene, slow = beside_slow
    slow.request_all()

    answers = slow.answers
    scene.put_key(keys.rsa("second"))
    scene.wait_for(reach_all(scene, keys.rsa("second")), "the key is on its numbers", 120)
    assert slow.called
    assert slow.answers - answers < HOSTS * NUMBERS_OF_A_HOST // 2

    pods = list(scene.simulator.pods.values())
    reads = {pod: pod.reads for pod in pods}

    def all_are_checked_again() -> bool:
        # Every request has the slow numbers called once more, and with the highest priority.
        slow.request_all()
        return all(pod.reads > reads[pod] for pod in pods)

    scene.wait_for(all_are_checked_again, "every number is checked at its interval", 60)
