"""Handshakes: which servers may have another one now, going by what the last ones came to.

Handshakes are work that a server chooses. One that fails again and again has a back-off of its own: whoever calls that
server meanwhile is told what the last one came to, without another one. What takes much computing time has to be waited
for, too: by that server, and by the servers of the same tenant that have not yet shown that they cost little. An answer
without end counts as much computing time.

Pure: time comes in as an argument, in the seconds of any one clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from bek_operator.http.exchange import HttpError
from bek_operator.lru_cache import LRUCache

S = TypeVar("S", bound=Hashable)

FAILURES: Final = 3
"""So many in a row are no accident."""

PAUSE_SECONDS: Final = 5.0
"""Between two handshakes with a server whose handshakes fail."""

FREE_SECONDS: Final = 0.01
"""CPU that any handshake may take. Usual ones need 0.3 to 2 ms, and several times that on a slow node."""

FLOOD_SECONDS: Final = 0.1
"""CPU that an answer without end is reckoned with: what it may cost until it is given up."""

SHARE: Final = 0.05
"""Part of the time that handshakes of one tenant may take beyond what is free."""

_SERVERS = 16384
_TENANTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failing:
    """How a server's handshakes have failed since the last good one; the next one is due `after` an instant."""

    times: int
    fault: HttpError
    after: float


class Handshakes(Generic[S]):
    """What is known of servers; the `tenant` whose object names one is empty where the operator's settings do."""

    def __init__(self) -> None:
        self._failing: LRUCache[S, _Failing] = LRUCache(_SERVERS)
        self._cheap: LRUCache[S, bool] = LRUCache(_SERVERS)
        self._servers_pause: LRUCache[S, float] = LRUCache(_SERVERS)
        self._tenants_pause: LRUCache[str, float] = LRUCache(_TENANTS)

    def is_too_much(self, server: S, tenant: str, now: float) -> bool:
        """Return whether handshakes with a server have to wait because of what handshakes have cost."""
        if now < (self._servers_pause.get(server) or 0.0):
            return True
        return not self._cheap.get(server) and now < (self._tenants_pause.get(tenant) or 0.0)

    def fault(self, server: S, now: float) -> HttpError | None:
        """Return how a server's handshakes fail, where it is too early for the next one; `None` lets one begin.

        Of those who wait for the next one only the first is let through; the others go by how that one ends.
        """
        failing = self._failing.get(server)
        if failing is None or failing.times < FAILURES:
            return None
        if now < failing.after:
            return failing.fault
        self._failing.put(server, replace(failing, after=now + PAUSE_SECONDS))
        return None

    def spent(self, server: S, tenant: str, now: float, seconds: float) -> None:
        """Take in seconds of CPU that a server has taken beyond what is free."""
        pause = seconds / SHARE
        self._cheap.put(server, value=False)
        self._servers_pause.put(server, max(now, self._servers_pause.get(server) or 0.0) + pause)
        if tenant:
            self._tenants_pause.put(tenant, max(now, self._tenants_pause.get(tenant) or 0.0) + pause)

    def succeeded(self, server: S, *, cheaply: bool) -> None:
        """Take in that a handshake is complete, and whether it took no more than is free."""
        self._failing.drop(server)
        if cheaply:
            self._cheap.put(server, value=True)

    def failed(self, server: S, now: float, fault: HttpError) -> None:
        """Take in how a handshake failed."""
        known = self._failing.get(server)
        self._failing.put(
            server, _Failing(times=known.times + 1 if known else 1, fault=fault, after=now + PAUSE_SECONDS)
        )
