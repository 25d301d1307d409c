"""Two tenants of one operator: one that attacks, and one that must be served all the same."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Self

from bek_operator.controller.due import CHECKS_EVERY
from support import keys
from support.cluster.kubelet import Kubelet
from support.cluster.operator_process import NAMESPACE, free_lease
from support.cluster.scene import UserNamespace
from support.simulators.on_premises import OnPremises, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from support.cluster.apiserver import ApiServer

_INTERVAL_SECONDS = 10
"""The shortest interval that a number can be checked at."""

_PERIOD = _INTERVAL_SECONDS + CHECKS_EVERY / 2
"""Seconds between two checks of a number while nobody attacks, in the mean: checks wait for each other."""

ROTATIONS = 5
_NUMBERS = numbers(22)
_ROTATED = {"rotated": _NUMBERS[:3], "rotated-next": _NUMBERS[3:6]}
"""Numbers of the objects that get new keys: two, because a number is published to at most six times in an hour."""

_CHECKED = {"checked": _NUMBERS[6:]}


class Tenant(UserNamespace):
    """A namespace with objects whose keys are rotated in turn, and one whose numbers are checked often."""

    def begin(self) -> None:
        """Have all objects Ready with a first key."""
        first, *others = (keys.rsa(name) for name in ("first", "second", "third"))
        self._rotations = cycle([(name, pair) for pair in (*others, first) for name in _ROTATED])
        self.put_access()
        for name, listed in (_ROTATED | _CHECKED).items():
            interval = {"intervalSeconds": _INTERVAL_SECONDS} if name in _CHECKED else {}
            self.put_key(first, name)
            self.apply(self.manifest(name, listed, keySecretRef={"name": name}, **interval))
        for name in _ROTATED | _CHECKED:
            self.wait_ready(name)

    def rotate(self, patience: float) -> float:
        """Put a new key into a Secret; return after how many seconds it is VALID on all numbers."""
        name, pair = next(self._rotations)
        self.put_key(pair, name)
        begun = time.monotonic()
        pods = [self.simulator[number] for number in _ROTATED[name]]
        self.simulator.wait_until(
            lambda: all(pod.holds(pair.public) for pod in pods), patience, "another tenant's key on its numbers"
        )
        return time.monotonic() - begun

    def periodic_checks(self) -> PeriodicChecks:
        """Return those of the object without new keys, from now on."""
        return PeriodicChecks(self.simulator, [number for listed in _CHECKED.values() for number in listed])


class PeriodicChecks:
    """The periodic checks of some numbers, each from its last one on."""

    def __init__(self, simulator: OnPremises, listed: Iterable[str]) -> None:
        self._simulator = simulator
        self._pods = {simulator[number]: simulator[number].reads for number in listed}

    def count(self) -> int:
        """Return how many each number has had at least."""
        return min(pod.reads - before for pod, before in self._pods.items())

    def wait(self, count: int, patience: float) -> None:
        """Wait until each number has had so many, for at most so many seconds."""
        self._simulator.wait_until(lambda: self.count() >= count, patience, "another tenant's periodic checks")

    def period(self) -> float:
        """Return the mean seconds between two of a number, of as many for each; there must be some."""
        count = self.count()
        times = ([one.at for one in pod.requests if one.kind == "read"] for pod in self._pods)
        lasts = self._pods.values()
        considered = (found[last - 1 : last + count] for found, last in zip(times, lasts, strict=True))
        return fmean(after - before for found in considered for before, after in pairwise(found))


@dataclass(frozen=True, slots=True)
class Tenants:
    """An operator as it is deployed, watched as the kubelet would, and its tenants.

    Attributes:
        attacker: A namespace in which a test puts what may harm others.
        other: Another tenant.
        kubelet: Runs and watches the operator.
    """

    attacker: UserNamespace
    other: Tenant
    kubelet: Kubelet

    @classmethod
    @contextmanager
    def running(cls, server: ApiServer, namespace: str, simulator: OnPremises) -> Iterator[Self]:
        """Run the operator for the block, and have the other tenant's numbers hold its keys."""
        deployment = server.read(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/bek-operator")
        other = f"other-tenant-{secrets.token_hex(4)}"
        server.kubectl("create", "namespace", other)
        free_lease(server)
        with OnPremises(_NUMBERS, own_ports=False) as phones, Kubelet(server, deployment, namespace) as kubelet:
            tenants = cls(UserNamespace(server, namespace, simulator), Tenant(server, other, phones), kubelet)
            try:
                tenants.other.begin()
                yield tenants
            finally:
                tenants.other.kubectl("delete", "bek,secrets", "--all", "--wait=false")

    def restart(self) -> None:
        """Kill the operator, and start it again as its own successor."""
        self.kubelet.restart()
        free_lease(self.attacker.api_server)

    def assert_unharmed(self, attack: Callable[[], object] = lambda: None, *, intervals: int = 3) -> None:
        """Assert what another tenant is promised, while the attack is repeated before each of a few key rotations.

        - A new key is on its numbers within 2 s, in the median, because the machine has other work. No rotation takes
          as long as a kubelet needs to kill a process that hangs, so that waiting for a restart fails.
        - Its numbers are checked at no less than nine tenths of their rate, for so many intervals.
        - The kubelet would have done nothing to the operator.
        """
        patience = self.kubelet.liveness.patience
        seconds, checks = [], self.other.periodic_checks()
        for turn in range(1, ROTATIONS + 1):
            attack()
            seconds.append(self.other.rotate(patience))
            checks.wait(intervals * turn // ROTATIONS, patience)
        assert self.kubelet.verdict == [], self.kubelet.operator.log
        assert median(seconds) <= 2, seconds
        assert not intervals or checks.period() <= _PERIOD / 0.9
