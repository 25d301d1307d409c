"""One HTTP request at a simulator and the ways to answer it, correct or not."""

import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from aiohttp import web

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer, before it is sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None

    @classmethod
    def json(cls, document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> "Reply":
        """Make an answer of a JSON document."""
        return cls(status=status, body=json.dumps(document).encode(), headers=headers or {})

    def document(self) -> dict[str, object]:
        """Read the body back, for changing it."""
        document = json.loads(self.body)
        if not isinstance(document, dict):
            raise TypeError("the simulators' own answers are objects")
        return document

    def response(self) -> web.Response:
        """Make what aiohttp sends."""
        headers = {"Content-Type": self.content_type, **self.headers}
        return web.Response(status=self.status, reason=self.reason, headers=headers, body=self.body)

    def raw(self) -> bytes:
        """Write the answer as it goes over the wire, for sending it in parts."""
        length = str(len(self.body))
        headers = {"Content-Type": self.content_type, "Content-Length": length, "Connection": "close"}
        headers |= self.headers
        lines = [f"HTTP/1.1 {self.status} {self.reason or 'Whatever'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Exchange:
    """A request that was received, and its correct answer on demand.

    The simulator carries the request out only when `reply` is asked for, and only once.

    Attributes:
        request: The request; its body has been read.
        sent: Whether an answer with a status goes out.
    """

    def __init__(self, request: web.BaseRequest, carry_out: Callable[[], Reply]) -> None:
        self.request = request
        self.sent = True
        self._carry_out = carry_out

    @cached_property
    def reply(self) -> Reply:
        """Carry the request out and return the correct answer."""
        return self._carry_out()

    @property
    def connected(self) -> bool:
        """Whether the client is still connected."""
        transport = self.request.transport
        return transport is not None and not transport.is_closing()

    def write(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        transport = self.request.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def hang_up(self, *, reset: bool = False) -> web.StreamResponse:
        """Close the connection without an answer, or with a TCP reset."""
        self.sent = False
        transport = self.request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if reset and connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        return web.Response()  # aiohttp wants one; on a closed connection it goes nowhere


Fault = Callable[[Exchange], Awaitable[web.StreamResponse]]
"""A way to answer a request incorrectly."""
