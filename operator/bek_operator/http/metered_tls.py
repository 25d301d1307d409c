"""TLS connections as our side of them: what is offered, how much is read, and what a handshake costs.

All of this is work that the server chooses and that is done on the event loop: the key exchange and the chain of
certificates of a handshake, and whatever it says then. What is offered leaves out what costs most; what comes is
bounded before it is parsed; and what a handshake costs is measured, so that no server gets more than its share.
"""

import ssl
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Self, TypeVar

from bek_operator.http.exchange import HttpError, NotConnectedError
from bek_operator.http.handshakes import FLOOD_SECONDS, FREE_SECONDS, Handshakes

S = TypeVar("S", bound=Hashable)

LARGEST_HANDSHAKE: Final = 32 * 1024
"""Bytes that a server may send before its handshake is complete. Four certificates of RSA-4096 take 8 kB; OpenSSL's own
limit, which Python cannot set, is 100 kB for the certificates alone."""

LARGEST_ANSWER: Final = 320 * 1024
"""Bytes that a server may send for each request, of whatever kind: the answer, interim ones before it, session tickets.
asyncio reads up to 256 KiB at once; a body of that size, an error page say, is to be refused by whoever reads it."""

_TOO_MUCH: Final = (
    "it, or another server that the namespace names, took too much CPU, "
    "by costly TLS handshakes (huge keys, a long chain, no elliptic curve) or endless answers"
)

# Python's own list but for DHE, whose modulus is the server's choice: one of 10,000 bits costs us 0.6 s of CPU. TLS 1.3
# has groups of that kind, too (0.09 s with OpenSSL 3.0), which no Python up to 3.14 can leave out.
_CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"


class _Stage(Enum):
    """How far a handshake is."""

    NONE = "not begun, or ended by ourselves"
    UNDER_WAY = "begun, and not complete"
    COMPLETE = "complete"


class GivenUpError(ssl.SSLError):
    """We ended a connection by ourselves; the words may be shown."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True, kw_only=True)
class _Handshake:
    """The handshake of one call, as it goes on.

    Attributes:
        is_too_much: Asked while it costs nothing: return whether it has to end here for what others have cost.
        charge: Told of seconds of CPU beyond those that are free.
        cpu: Tells the seconds of CPU that this thread has taken.
        free: Seconds of CPU that it may still take for nothing.
    """

    is_too_much: Callable[[], bool]
    charge: Callable[[float], None]
    cpu: Callable[[], float]
    free: float = FREE_SECONDS
    stage: _Stage = _Stage.NONE

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Do a part of it, and have that charged."""
        if self.free > 0 and self.is_too_much():
            self.stage = _Stage.NONE
            raise GivenUpError(_TOO_MUCH)
        self.stage = _Stage.UNDER_WAY
        begun = self.cpu()
        try:
            yield
            self.stage = _Stage.COMPLETE
        finally:
            over = self.cpu() - begun - self.free
            self.free = max(-over, 0.0)
            if over > 0:
                self.charge(over)

    def flooded(self) -> None:
        """Have an answer without end charged, which may be a later call's over the same connection."""
        self.stage = _Stage.NONE
        self.charge(FLOOD_SECONDS)


_current: ContextVar[_Handshake | None] = ContextVar("handshake", default=None)


class RolloutGate(Generic[S]):
    """Lets handshakes with servers begin, and has them charged; see `Handshakes`."""

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        """Take what tells the time, and the seconds of CPU that this thread has taken."""
        self._known: Handshakes[S] = Handshakes()
        self._clock = clock
        self._cpu = cpu

    def check(self, server: S, tenant: str) -> None:
        """Make sure that a handshake may begin.

        Raises:
            HttpError: It may not; the error says why.
        """
        now = self._clock()
        if self._known.is_too_much(server, tenant, now):
            raise NotConnectedError(_TOO_MUCH)
        fault = self._known.fault(server, now)
        if fault:
            raise copy(fault)

    @contextmanager
    def watching(self, server: S, tenant: str) -> Iterator[None]:
        """Charge the handshake that this task has meanwhile, if it has one, and take in how it ends."""
        handshake = _Handshake(
            is_too_much=lambda: self._known.is_too_much(server, tenant, self._clock()),
            charge=lambda seconds: self._known.spent(server, tenant, self._clock(), seconds),
            cpu=self._cpu,
        )
        token = _current.set(handshake)
        try:
            yield
        except HttpError as fault:
            if handshake.stage is _Stage.UNDER_WAY:
                self._known.failed(server, self._clock(), copy(fault))
            raise
        finally:
            _current.reset(token)
            if handshake.stage is _Stage.COMPLETE:
                self._known.succeeded(server, cheaply=handshake.free > 0)


class Context(ssl.SSLContext):
    """A client's context whose handshakes are bounded and charged; it checks certificate and name."""

    def __new__(cls) -> Self:
        """Make one that trusts nobody yet."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        # Otherwise a server could ask for one handshake after the other over the same connection.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.sslobject_class = Connection
        return context

    def wrap_bio(self, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return our side of a connection."""
        connection = super().wrap_bio(incoming, *args, **kwargs)
        if isinstance(connection, Connection):
            connection.watch(incoming, _current.get())
        return connection


class Connection(ssl.SSLObject):
    """Our side of one connection.

    Attributes:
        given_up: Why we ended it, if we did once its handshake was complete.
    """

    given_up: GivenUpError | None = None

    def watch(self, incoming: ssl.MemoryBIO, handshake: _Handshake | None) -> None:
        """Bound what comes, and charge the handshake."""
        self._incoming = incoming
        self._unread = 0
        self._room = LARGEST_HANDSHAKE
        self._handshake = handshake

    def do_handshake(self) -> None:
        """Go on with the handshake, as far as what has come allows."""
        message = f"the server's part of the TLS handshake is larger than {LARGEST_HANDSHAKE // 1024} KiB"
        with self._reading(message), self._handshake.spending() if self._handshake else nullcontext():
            super().do_handshake()

    def read(self, *args: Any) -> Any:
        """Return what has come, as `ssl.SSLObject` does."""
        try:
            with self._reading(f"all that came for an answer is larger than {LARGEST_ANSWER // 1024} KiB"):
                return super().read(*args)
        except GivenUpError as fault:
            # asyncio may come back for more before the connection has ended.
            if self._handshake and self.given_up is None:
                self._handshake.flooded()
            self.given_up = fault
            raise

    def write(self, data: Any) -> int:
        """Send something; an answer may follow."""
        self._room = LARGEST_ANSWER
        return super().write(data)

    @contextmanager
    def _reading(self, message: str) -> Iterator[None]:
        """Have something done with what has come, unless it is too much."""
        self._room -= self._incoming.pending - self._unread
        if self._room < 0:
            raise GivenUpError(message)
        try:
            yield
        finally:
            self._unread = self._incoming.pending
