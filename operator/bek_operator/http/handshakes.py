"""When the next TLS handshake with a server can start.

The server chooses how much work a handshake is. A server whose handshakes keep failing is backed off: requests to it
fail with its last error, without another handshake. CPU beyond the free amount throttles that server, and those servers
of the same tenant that have not proved cheap yet. An endless response is charged like an expensive handshake.

A server proves cheap by a handshake within the free amount. When one that had proved cheap is charged, all servers of
its tenant must prove it again; otherwise thousands of them could become expensive at once.

Pure: time is an argument, in seconds of any one clock.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from bek_operator.http.errors import HttpError
from bek_operator.lru_cache import LRUCache

S = TypeVar("S", bound=Hashable)

FAILURE_THRESHOLD: Final = 3
"""Consecutive failures before a server is backed off."""

BACKOFF_SECONDS: Final = 5.0
"""Seconds between two handshakes with a server that is backed off."""

FREE_SECONDS: Final = 0.01
"""CPU that a handshake takes without being charged. Usual ones take 0.3 to 2 ms, several times that on a slow node."""

FLOOD_SECONDS: Final = 0.1
"""CPU charged for an endless response: an upper bound of what it costs until the connection is ended."""

CPU_SHARE: Final = 0.05
"""Part of the time that charged handshakes of one tenant can take."""

_SERVERS = 16384
_TENANTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failing:
    """A server's consecutive handshake failures; the next handshake can start at `after`."""

    times: int
    fault: HttpError
    after: float


class HandshakeHistory(Generic[S]):
    """Failures and cost of past handshakes by server; `tenant` is empty for servers from the operator's settings."""

    def __init__(self) -> None:
        self._failing: LRUCache[S, _Failing] = LRUCache(_SERVERS)
        self._cheap_at: LRUCache[S, float] = LRUCache(_SERVERS)
        self._server_until: LRUCache[S, float] = LRUCache(_SERVERS)
        self._tenant_until: LRUCache[str, float] = LRUCache(_TENANTS)
        self._tenant_turned_at: LRUCache[str, float] = LRUCache(_TENANTS)

    def is_throttled(self, server: S, tenant: str, now: float) -> bool:
        """Return whether the next handshake with a server must wait because of the CPU that past ones took."""
        if now < (self._server_until.get(server) or 0.0):
            return True
        return now < (self._tenant_until.get(tenant) or 0.0) and not self._is_cheap(server, tenant)

    def backoff_error(self, server: S, now: float) -> HttpError | None:
        """Return the last error of a server that is backed off; `None` when a handshake can start.

        Once the back-off has passed, one caller gets `None`; the others wait for the outcome of its handshake.
        """
        failing = self._failing.get(server)
        if failing is None or failing.times < FAILURE_THRESHOLD:
            return None
        if now < failing.after:
            return failing.fault
        self._failing.put(server, replace(failing, after=now + BACKOFF_SECONDS))
        return None

    def charge(self, server: S, tenant: str, now: float, seconds: float) -> None:
        """Charge a server for seconds of CPU beyond the free ones."""
        pause = seconds / CPU_SHARE
        if tenant and self._is_cheap(server, tenant):
            self._tenant_turned_at.put(tenant, now)
        self._cheap_at.drop(server)
        self._server_until.put(server, max(now, self._server_until.get(server) or 0.0) + pause)
        if tenant:
            self._tenant_until.put(tenant, max(now, self._tenant_until.get(tenant) or 0.0) + pause)

    def record_success(self, server: S, now: float, *, cheaply: bool) -> None:
        """Record a complete handshake, and whether it stayed within the free CPU."""
        self._failing.drop(server)
        if cheaply:
            self._cheap_at.put(server, now)

    def record_failure(self, server: S, now: float, fault: HttpError) -> None:
        """Record a failed handshake."""
        known = self._failing.get(server)
        self._failing.put(
            server, _Failing(times=known.times + 1 if known else 1, fault=fault, after=now + BACKOFF_SECONDS)
        )

    def _is_cheap(self, server: S, tenant: str) -> bool:
        """Return whether a server has proved cheap, since the last time that one of its tenant's proved to be not."""
        cheap_at, turned_at = self._cheap_at.get(server), self._tenant_turned_at.get(tenant)
        return cheap_at is not None and (turned_at is None or turned_at < cheap_at)
