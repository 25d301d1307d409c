"""Client-side TLS with limits: on the ciphers offered, on the bytes read, and on the CPU that handshakes take.

The server chooses how much work a handshake and its responses are. So the most expensive ciphers are not offered, input
is bounded before it is parsed, and the CPU of handshakes is metered. They run in threads, but for those through a
proxy, whose library has no place for that.
"""

import ssl
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from bek_operator.http.errors import HttpError, NotConnectedError
from bek_operator.http.handshakes import FLOOD_SECONDS, FREE_SECONDS, HandshakeHistory
from bek_operator.http.turns import Turns

S = TypeVar("S", bound=Hashable)

MAX_HANDSHAKE_BYTES: Final = 32 * 1024
"""What a server can send before its handshake is complete. Four certificates of RSA-4096 take 8 kB; OpenSSL's own
limit, which Python cannot set, is 100 kB for the certificates alone."""

MAX_RESPONSE_BYTES: Final = 320 * 1024
"""What a server can send for each request: interim responses, the response itself, TLS session tickets. It exceeds
the 256 KiB that asyncio reads at once, so that a body of that size is refused by the client with its own message."""

_THROTTLED: Final = (
    "calls paused: this server, or another one of the namespace, uses too much CPU "
    "(TLS handshakes with large keys, long certificate chains or no elliptic curve, or endless responses)"
)

_TOO_LONG: Final = f"the server's part of the TLS handshake is larger than {MAX_HANDSHAKE_BYTES // 1024} KiB"

# Python's default list without DHE, whose modulus the server chooses: 10,000 bits take 0.6 s of CPU here. TLS 1.3 has
# finite-field groups, too (0.09 s with OpenSSL 3.0), which no Python up to 3.14 can disable.
_CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"


class _Stage(Enum):
    """The progress of a handshake."""

    NONE = "not started, or aborted"
    UNDER_WAY = "started"
    COMPLETE = "complete"


class LimitExceededError(ssl.SSLError):
    """We ended a connection because it exceeded a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True, kw_only=True)
class _Handshake:
    """The handshake of one request.

    Attributes:
        is_throttled: Returns whether to stop because of what other handshakes cost; called until this one is charged.
        charge: Called with the seconds of CPU beyond the free ones.
        cpu: Returns the seconds of CPU that the current thread has used.
        turns: Where it runs.
        tenant: Whose turn it takes.
        free: Seconds of CPU left that are not charged.
        spent: Seconds of CPU not accounted for yet.
    """

    is_throttled: Callable[[], bool]
    charge: Callable[[float], None]
    cpu: Callable[[], float]
    turns: Turns
    tenant: str
    free: float = FREE_SECONDS
    spent: float = 0.0
    stage: _Stage = _Stage.NONE

    def run(self, part: Callable[[], None]) -> None:
        """Run a part of the handshake here."""
        self._begin()
        try:
            self._measure(part)
        finally:
            self._end()
        self.stage = _Stage.COMPLETE

    async def run_in_thread(self, part: Callable[[], None]) -> None:
        """Run a part of the handshake in a thread."""
        await self.turns.run(self.tenant, lambda: self._measure(part), begin=self._begin, end=self._end)
        self.stage = _Stage.COMPLETE

    def _begin(self) -> None:
        if self.free > 0 and self.is_throttled():
            self.stage = _Stage.NONE
            raise LimitExceededError(_THROTTLED)
        self.stage = _Stage.UNDER_WAY

    def _measure(self, part: Callable[[], None]) -> None:
        start = self.cpu()
        try:
            part()
        finally:
            self.spent = self.cpu() - start

    def _end(self) -> float:
        """Charge what a part has cost; return 0, the pause before the tenant's next turn."""
        excess = self.spent - self.free
        self.free = max(-excess, 0.0)
        if excess > 0:
            self.charge(excess)
        return 0.0

    def charge_flood(self) -> None:
        """Charge an endless response, which may belong to a later request on the same connection."""
        self.stage = _Stage.NONE
        self.charge(FLOOD_SECONDS)


_current: ContextVar[_Handshake | None] = ContextVar("handshake", default=None)


class HandshakeLimiter(Generic[S]):
    """Decides whether a handshake can start, and meters it; see `HandshakeHistory`."""

    def __init__(self, turns: Turns, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        """Take where handshakes run, the clock, and what returns the CPU seconds that the current thread has used."""
        self._history: HandshakeHistory[S] = HandshakeHistory()
        self._clock = clock
        self._cpu = cpu
        self._turns = turns

    def check(self, server: S, tenant: str) -> None:
        """Check that a handshake with the server can start.

        Raises:
            HttpError: It must wait; the error says why.
        """
        now = self._clock()
        if self._history.is_throttled(server, tenant, now):
            raise NotConnectedError(_THROTTLED)
        fault = self._history.backoff_error(server, now)
        if fault:
            raise copy(fault)

    @contextmanager
    def metered(self, server: S, tenant: str) -> Iterator[None]:
        """Meter the handshake that this task does inside, if any, and record its outcome."""
        handshake = _Handshake(
            is_throttled=lambda: self._history.is_throttled(server, tenant, self._clock()),
            charge=lambda seconds: self._history.charge(server, tenant, self._clock(), seconds),
            cpu=self._cpu,
            turns=self._turns,
            tenant=tenant,
        )
        token = _current.set(handshake)
        try:
            yield
        except HttpError as fault:
            if handshake.stage is _Stage.UNDER_WAY:
                self._history.record_failure(server, self._clock(), copy(fault))
            raise
        finally:
            _current.reset(token)
            if handshake.stage is _Stage.COMPLETE:
                self._history.record_success(server, self._clock(), cheaply=handshake.free > 0)


class MeteredContext(ssl.SSLContext):
    """A client context whose handshakes are bounded and metered; it verifies certificate and host name."""

    def __new__(cls) -> Self:
        """Return a context without trusted CAs."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        # A server could demand one handshake after the other on the same connection.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.sslobject_class = MeteredConnection
        return context

    def wrap_bio(self, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return the client side of a connection."""
        connection = super().wrap_bio(incoming, *args, **kwargs)
        if isinstance(connection, MeteredConnection):
            connection.watch(incoming, _current.get())
        return connection


class MeteredConnection(ssl.SSLObject):
    """The client side of one connection.

    Attributes:
        limit_exceeded: Why we ended it after its handshake; `None` if we did not.
    """

    limit_exceeded: LimitExceededError | None = None

    def watch(self, incoming: ssl.MemoryBIO, handshake: _Handshake | None) -> None:
        """Bound the input, and meter the handshake."""
        self._incoming = incoming
        self._unread = 0
        self._remaining = MAX_HANDSHAKE_BYTES
        self._handshake = handshake

    def do_handshake(self) -> None:
        """Continue the handshake with the input that has arrived."""
        with self._reading(_TOO_LONG):
            if self._handshake:
                self._handshake.run(super().do_handshake)
            else:
                super().do_handshake()

    async def do_handshake_in_thread(self) -> None:
        """Continue the handshake with the input that has arrived, in a thread."""
        with self._reading(_TOO_LONG):
            if self._handshake:
                await self._handshake.run_in_thread(super().do_handshake)
            else:
                super().do_handshake()

    def read(self, *args: Any) -> Any:
        """Return decrypted input, as `ssl.SSLObject` does."""
        try:
            with self._reading(
                f"the response with its headers and framing is larger than {MAX_RESPONSE_BYTES // 1024} KiB"
            ):
                return super().read(*args)
        except LimitExceededError as fault:
            # asyncio may read again before the connection has ended.
            if self._handshake and self.limit_exceeded is None:
                self._handshake.charge_flood()
            self.limit_exceeded = fault
            raise

    def write(self, data: Any) -> int:
        """Send data, and allow for a response to it."""
        self._remaining = MAX_RESPONSE_BYTES
        return super().write(data)

    @contextmanager
    def _reading(self, message: str) -> Iterator[None]:
        """Count the input that has arrived, and refuse it beyond the limit."""
        self._remaining -= self._incoming.pending - self._unread
        if self._remaining < 0:
            raise LimitExceededError(message)
        try:
            yield
        finally:
            self._unread = self._incoming.pending
