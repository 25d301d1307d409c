"""Namespaces share one operator: slow servers and many requests for checks of one delay nobody else's numbers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support import keys
from support.cluster.scene import UserNamespace
from support.simulators import faults
from support.simulators.on_premises import OnPremises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.tenants import Tenants

HOSTS, NUMBERS_OF_A_HOST = 20, 25
"""Of a host eight numbers are called at once, so that of all hosts more could be than there are workers."""

SLOW_ANSWER = faults.Slow(8.0)
"""Correct, and just in time."""


class SlowNumbers:
    """Very many numbers of a namespace, at many hosts."""

    def __init__(self, namespace: UserNamespace, hosts: list[OnPremises]) -> None:
        self._namespace = UserNamespace(namespace.api_server, namespace.namespace, hosts[0])
        self._hosts = hosts
        self._requests = 0

    def sign(self) -> None:
        """Have every number signed while its host is quick, and make the hosts slow then."""
        namespace = self._namespace
        namespace.put_access()
        namespace.put_key(keys.rsa())
        apis = {f"host-{index}": host for index, host in enumerate(self._hosts)}
        numbers = [{"phoneNumber": number, "api": name} for name, host in apis.items() for number in host.pods]
        entries = [namespace.api(name, host.url) for name, host in apis.items()]
        namespace.apply(namespace.manifest(apis=entries, phoneNumbers=numbers))
        namespace.wait_ready(seconds=120)
        for host in self._hosts:
            for pod in host.pods.values():
                pod.fail("read", SLOW_ANSWER, times=None)

    def request_checks(self) -> None:
        """Request a check of all numbers; return when the calls occupy the operator's workers."""
        self._requests += 1
        self._namespace.request_check(str(self._requests))
        self._namespace.wait_for(lambda: self.called >= 30, "the slow numbers are called")

    @property
    def called(self) -> int:
        """How many numbers are being called."""
        return sum(pod.busy for host in self._hosts for pod in host.pods.values())


@pytest.fixture
def hosts() -> Iterator[list[OnPremises]]:
    """Provide the hosts of the slow numbers."""
    with ExitStack() as stack:
        first = stack.enter_context(OnPremises(own_ports=False))
        others = [OnPremises(own_ports=False, certificate=first.certificate) for _ in range(HOSTS - 1)]
        found = [first, *(stack.enter_context(host) for host in others)]
        for index in range(HOSTS * NUMBERS_OF_A_HOST):
            found[index % HOSTS].add(f"+1557{index:07}")
        yield found


def test_slow_answers_of_one_namespace_do_not_delay_another(tenants: Tenants, hosts: list[OnPremises]) -> None:
    """A rotated key and periodic checks of the one get through, while the numbers of the other occupy their workers."""
    slow = SlowNumbers(tenants.attacker, hosts)
    slow.sign()
    # Every request has the slow numbers called once more, and with the highest priority.
    tenants.assert_unharmed(slow.request_checks)
    assert slow.called
