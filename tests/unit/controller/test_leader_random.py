"""Random lives of electors: whatever happens to them, two of them are never leaders at one instant."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from bek_operator.cluster.errors import Unavailable
from bek_operator.controller.leader import Elector
from support.fake_leases import LeaseClient, LeaseServer
from support.virtual_time import virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from bek_operator.cluster.lease import Lease

STEPS = 200


class PausedClient(LeaseClient):
    """The way to the Lease of a process that is paused at times: then no time limit ends a request before it goes on.

    `pause` returns the seconds for which it stands still before it sends a request, or before it takes in the response;
    `done` is called when it has done so.
    """

    def __init__(self, server: LeaseServer, dice: random.Random, done: Callable[[], None]) -> None:
        super().__init__(server, delay=lambda: dice.choice([0.001, 0.001, 0.02, 1.4]))
        self._done = done
        self.pause: Callable[[], float] = float

    async def _send(self, name: str, answer: Callable[[], Lease | None]) -> Lease | None:
        await asyncio.sleep(self.pause())
        found = await super()._send(name, answer)
        await asyncio.sleep(self.pause())
        # A moment later, when the elector knows what follows from the response.
        asyncio.get_running_loop().call_later(1e-6, self._done)
        return found


class Player:
    """A process whose clock is off by some time, and whose work takes a while to end."""

    def __init__(self, server: LeaseServer, identity: str, dice: random.Random, done: Callable[[], None]) -> None:
        loop, offset = asyncio.get_running_loop(), dice.uniform(-1e6, 1e6)
        self._dice = dice
        self.client = PausedClient(server, dice, done)
        self.elector = Elector(self.client, identity, clock=lambda: loop.time() + offset)
        self.working = False
        self.task = asyncio.create_task(self.elector.run(self._work))

    async def _work(self) -> None:
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self._dice.choice([0.0, 0.0, 3.0, 10.0]))
            self.working = False

    def suffer(self) -> None:
        """Have something happen to the way to the Lease."""
        self.recover()
        match self._dice.choice(["well", "well", "cut", "deaf", "refused", "paused", "paused"]):
            case "cut":
                self.client.cut = True
            case "deaf":
                self.client.deaf = True
            case "refused":
                self.client.error = Unavailable("connection refused")
            case "paused":
                often = self._dice.choice([2, 5, 20])
                pauses = [*[0.0] * often, 5.0, 7.0, 7.9, 8.1, 10.0, 11.9, 12.1, 40.0]
                self.client.pause = lambda: self._dice.choice(pauses)

    def recover(self) -> None:
        """Have nothing happen any more."""
        self.client.cut = self.client.deaf = False
        self.client.error, self.client.pause = None, float


class Game:
    """Some processes, of which each may be a leader only while no other is.

    A process becomes a leader, or remains one, by the response to a request; so they are looked at then.

    Attributes:
        faults: When there were several leaders.
        led: The processes that were leaders.
    """

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - chooses what happens, keeps no secret
        self._server = LeaseServer()
        self._started = 0
        self.faults: list[float] = []
        self.led: set[Player] = set()
        self.players = [self._start() for _ in range(self._dice.choice([2, 2, 3]))]

    def _start(self) -> Player:
        self._started += 1
        return Player(self._server, f"process-{self._started}", self._dice, self._look)

    def _look(self) -> None:
        leaders = self.leaders
        self.led.update(leaders)
        if len(leaders) > 1:
            self.faults.append(asyncio.get_running_loop().time())

    @property
    def leaders(self) -> list[Player]:
        """The processes that are leaders now."""
        return [one for one in self.players if one.elector.is_leader()]

    async def play(self) -> None:
        """Have things happen, and then no more."""
        for _ in range(STEPS):
            await asyncio.sleep(self._dice.choice([0.1, 1.0, 5.0, 13.0, 30.0]))
            place = self._dice.randrange(len(self.players))
            player = self.players[place]
            match self._dice.choice(["suffer", "suffer", "suffer", "suffer", "stop", "kill"]):
                case "suffer":
                    player.suffer()
                case "stop":
                    player.task.cancel()
                    await asyncio.wait([player.task])
                    self.players[place] = self._start()
                case "kill":
                    player.client.error = Unavailable("the process is gone")
                    player.task.cancel()
                    self.players[place] = self._start()
        for player in self.players:
            player.recover()

    async def end(self) -> None:
        """End every process."""
        for player in self.players:
            player.task.cancel()
        await asyncio.wait([player.task for player in self.players])


@pytest.mark.parametrize("seed", range(12))
@virtual_time
async def test_two_processes_are_never_leaders_at_one_instant(seed: int) -> None:
    """Whatever their clocks say; and when all is well again, there is one."""
    game = Game(seed)
    await game.play()
    await asyncio.sleep(100)

    (leader,) = game.leaders
    assert leader.working
    assert game.faults == []
    assert len(game.led) > 1
    await game.end()
