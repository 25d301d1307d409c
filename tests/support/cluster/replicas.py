"""Two operators that elect a leader, each behind a network of its own, and with clocks of its own if need be."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from support.cluster.networked_scene import NetworkedScene
from support.cluster.operator_process import NAMESPACE, OperatorProcess, free_lease
from support.cluster.tcp_proxy import TcpProxy
from support.programs.faketime import MovedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cluster.apiserver import ApiServer
    from support.simulators.on_premises import OnPremises

FLAGS = (
    "--allow-host=127.0.0.1:*",
    "--concurrency-per-host=50",
    "--leader-elect=on",
    f"--lease-namespace={NAMESPACE}",
)
_WON, _LOST = "this process is the leader now", "this process is not the leader any more"


class Replica(OperatorProcess):
    """One of them.

    Attributes:
        network: What is between it and the API server.
        clock: Moves its clocks; only where that was asked for.
    """

    def __init__(self, api_server: ApiServer, name: str, network: TcpProxy, *, moves_clock: bool) -> None:
        clock = MovedClock(api_server.folder / f"{name}.clock", "all clocks") if moves_clock else None
        super().__init__(api_server, FLAGS, name=name, server=network.url, env=clock.env if clock else None)
        self.network = network
        self._clock = clock
        self._log_begins = 0

    @property
    def clock(self) -> MovedClock:
        """Its clocks."""
        if self._clock is None:
            raise LookupError("the clocks of this replica are the machine's")
        return self._clock

    def start(self, *, wait: bool = True) -> None:
        """Start it, and by default wait until `/readyz` succeeds."""
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        super().start(wait=wait)

    def log_text(self) -> str:
        """Return what it has logged since its start."""
        return self.log.read_bytes()[self._log_begins :].decode()

    @property
    def leads(self) -> bool:
        """Whether it is the leader, as far as it knows."""
        text = self.log_text()
        return text.rfind(_WON) > text.rfind(_LOST)

    @property
    def stands_by(self) -> bool:
        """Whether it knows that it is not the leader."""
        return "this process stands by" in self.log_text().rpartition(_LOST)[2]


@dataclass(frozen=True, slots=True)
class Replicas:
    """A leader and a standby, and the scene that they serve."""

    leader: Replica
    standby: Replica
    scene: NetworkedScene

    @classmethod
    @contextmanager
    def running(
        cls, api_server: ApiServer, namespace: str, simulator: OnPremises, *, moves_clocks: bool = False
    ) -> Iterator[Self]:
        """Run both for the block; the first one leads."""
        free_lease(api_server)
        with TcpProxy(lambda: api_server.address) as one, TcpProxy(lambda: api_server.address) as other:
            leader, standby = (
                Replica(api_server, f"{name}-{namespace}", network, moves_clock=moves_clocks)
                for name, network in (("first", one), ("second", other))
            )
            scene = NetworkedScene(api_server, namespace, simulator, leader, leader.network)
            with leader:
                scene.wait_for(lambda: leader.leads, "the first one leads")
                with standby:
                    yield cls(leader, standby, scene)

    def wait_for_take_over(self) -> None:
        """Wait until the standby leads."""
        self.scene.wait_for(lambda: self.standby.leads, "the standby takes over")
