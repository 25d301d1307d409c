"""A client that must not send any more sends nothing, however far a request had come."""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING, Literal

import pytest

from bek_operator.http.client import HttpxClient
from bek_operator.http.errors import NotSentError
from bek_operator.http.interface import Request
from bek_operator.http.resolver import Resolver
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.proxy import parse_proxy
from bek_operator.net.url import Url
from support.tls import self_signed
from unit.http.scripted_server import ScriptedServer, Served, listening
from unit.http.tunnel import tunnel

if TYPE_CHECKING:
    from bek_operator.http.interface import Response

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
POD = self_signed("localhost")


class Permission:
    """Whether the client may send; it ends with the next TLS handshake, after so many questions, or when told so."""

    def __init__(self, questions: float = math.inf) -> None:
        self.given = True
        self._left = questions
        self.ends_with_handshake = False
        self.context = POD.server_context()
        self.context.sni_callback = self._on_handshake

    def __call__(self) -> bool:
        """Return whether it is given."""
        self._left -= 1
        return self.given and self._left >= 0

    def _on_handshake(self, _socket: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        self.given = self.given and not self.ends_with_handshake


async def lookup(_: str) -> list[str]:
    """Find the server."""
    return ["127.0.0.1"]


async def call(http: HttpxClient, port: int, method: Literal["GET", "POST"]) -> Response:
    """Send a request."""
    trust = ServerTrust(ca_bundle=POD.authority, server_name="localhost")
    content = b"x=1" if method == "POST" else None
    url = Url(host="localhost", port=port, path="/v1")
    return await http.send(Request(method=method, url=url, trust=trust, headers={}, content=content))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
async def test_nothing_is_sent_without_permission(method: Literal["GET", "POST"], *, proxied: bool) -> None:
    """Neither over a connection that is there, nor over one that was opened when it was still given."""
    requests: list[str] = []

    async def answering(served: Served) -> None:
        while True:
            requests.append(await served.request())
            await served.say(ANSWER)

    permission = Permission()
    async with listening(ScriptedServer(answering), permission.context) as server, tunnel() as proxy:
        http = HttpxClient(
            Resolver(lambda _address, _port: True, lookup=lookup),
            proxy=parse_proxy(proxy.url) if proxied else None,
            may_send=permission,
        )
        await call(http, server.port, method)
        permission.given = False
        with pytest.raises(NotSentError) as idle:
            await call(http, server.port, method)
        permission.given = permission.ends_with_handshake = True
        with pytest.raises(NotSentError) as opened:
            await call(http, server.port, method)
        permission.ends_with_handshake, permission.given = False, True
        await call(http, server.port, method)
        await http.close()

    assert not idle.value.sent
    assert not opened.value.sent
    assert len(requests) == 2


@pytest.mark.parametrize(("proxied", "questions"), [(False, 1), (True, 3)], ids=["directly", "through a proxy"])
async def test_content_is_not_sent_without_permission(*, proxied: bool, questions: int) -> None:
    """It is asked for again just before, because other work may have come between connection and content."""
    requests: list[str] = []

    async def answering(served: Served) -> None:
        requests.append(await served.request())
        await served.say(ANSWER)

    permission = Permission(questions)
    async with listening(ScriptedServer(answering), permission.context) as server, tunnel() as proxy:
        http = HttpxClient(
            Resolver(lambda _address, _port: True, lookup=lookup),
            proxy=parse_proxy(proxy.url) if proxied else None,
            may_send=permission,
        )
        with pytest.raises(NotSentError) as refused:
            await call(http, server.port, "POST")
        await http.close()

    assert not refused.value.sent
    assert requests == []
