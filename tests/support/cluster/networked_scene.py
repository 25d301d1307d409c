"""A scene whose operator reaches its API server through a network that can be broken, and what must hold afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.cluster.operator_process import NAMESPACE, SERVICE_ACCOUNT
from support.cluster.scene import Scene
from support.cluster.vitals import Vitals
from support.simulators import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.cluster.audit import AuditEvent
    from support.cluster.operator_process import OperatorProcess
    from support.cluster.tcp_proxy import TcpProxy
    from support.keys import KeyPair
    from support.simulators.on_premises import OnPremises

_MOST_CALLS = 40
"""More than a few rotations, checks and retries of one number take; a loop makes thousands."""

USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


class NetworkedScene(Scene):
    """A scene with an operator of its own behind a network.

    Attributes:
        network: What is between operator and API server.
    """

    def __init__(
        self,
        api_server: ApiServer,
        namespace: str,
        simulator: OnPremises,
        operator: OperatorProcess,
        network: TcpProxy,
    ) -> None:
        super().__init__(api_server, namespace, simulator, operator)
        self.network = network

    def begin(self, pair: KeyPair, numbers: int = 24) -> None:
        """Have an object Ready with a key at so many numbers, and forget how that came about."""
        for index in range(numbers - len(self.simulator.pods)):
            self.simulator.add(f"+1556{index:07}", own_port=False)
        self.put_access()
        self.put_key(pair)
        self.apply(self.manifest())
        self.wait_ready()
        self.simulator.forget_requests()

    def begin_rotation(self, pair: KeyPair, *, carried_out: bool = False) -> faults.Hang:
        """Rotate the key; return when half of the numbers have it, and the publishes to the others hang.

        With `carried_out` these have taken effect, and only their answers are missing.
        """
        numbers = list(self.simulator.pods.values())
        hang = faults.Hang(carried_out=carried_out)
        for pod in numbers[1::2]:
            pod.fail("publish", hang)
        self.put_key(pair)
        self.simulator.wait_until(
            lambda: self.simulator.publishes == len(numbers) and all(pod.busy for pod in numbers[1::2]),
            what="half of the publishes hang",
        )
        return hang

    def is_signed(self, pair: KeyPair, name: str = "flows") -> bool:
        """Return whether an object is Ready with a key."""
        fingerprint = self.get(name).get("status", {}).get("publicKeyFingerprint")
        return fingerprint == pair.fingerprint and self.ready(name) == ("True", "Succeeded")

    def wait_signed(self, pair: KeyPair, name: str = "flows", seconds: float = 45) -> None:
        """Wait until the status tells that every number holds a key."""
        self.wait_for(lambda: self.is_signed(pair, name), f"{name} is signed", seconds)

    def publishes(self) -> dict[str, list[str]]:
        """Return the keys that took effect at each number since `begin`."""
        return {number: pod.published for number, pod in self.simulator.pods.items()}

    def each_got(self, *pairs: KeyPair) -> dict[str, list[str]]:
        """Return what `publishes` is when each number was given these keys, once."""
        return {number: [pair.fingerprint for pair in pairs] for number in self.simulator.pods}

    def requests(self, since: int) -> list[AuditEvent]:
        """Return what the operator asked of the API server since a mark of the audit log."""
        return [one for one in self.api_server.audit(since) if one.user == USER]

    def status_writes(self, since: int) -> list[AuditEvent]:
        """Return the writes of statuses among them, refused ones included."""
        return [one for one in self.requests(since) if one.is_write and one.subresource == "status"]

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """Assert that the operator is ready after the block, and that the block has done it no harm.

        It is the same process, it has not grown, and it has called no number again and again.
        """
        pid, before = self.operator.pid, Vitals.of(self.operator.pid)
        yield
        self.wait_for(self.operator.is_ready, "it is ready again", 60)
        assert self.operator.is_running()
        assert self.operator.pid == pid
        assert Vitals.of(pid).grown_beyond(before) == []
        assert max(len(pod.requests) for pod in self.simulator.pods.values()) < _MOST_CALLS
        assert "Traceback" not in self.log_text()
