"""A simulator with one port."""

from typing import Self

from support.programs.background import BackgroundLoop
from support.simulators.listener import Listener
from support.simulators.port_switch import PortSwitch, Reachable
from support.simulators.simulator import OpenInside


class OnePort(OpenInside, Reachable):
    """What has one port, which is open inside `with`; whoever derives from it sets `_listener`."""

    _listener: Listener

    def __enter__(self) -> Self:
        """Open the port."""
        self._background = BackgroundLoop(type(self).__name__.lower())
        self.switch = self._switch = PortSwitch(self._background, self._listener)
        try:
            self._background.run(self._listener.open())
        except BaseException:
            self.close()
            raise
        return self

    @property
    def port(self) -> int:
        """Its port."""
        return self._listener.address[1]

    async def _end(self) -> None:
        await self._listener.end()
