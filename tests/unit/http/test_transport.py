"""One connection as a hostile server uses it; what ordinary calls see of the transport is in the tests of HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from bek_operator.http.tls_contexts import TLSContexts
from bek_operator.http.transport import CONNECTING, SENDING, Transport
from bek_operator.net.ca_bundle import Trust
from support.background import BackgroundLoop
from support.scripted import Script, ScriptedServer, Served, listening
from support.tls import self_signed

POD = self_signed()
NAME = "whatsapp-web-service"
SECONDS = 5.0


class Server(ScriptedServer):
    """A server whose connections are waited for."""

    async def one_ended(self) -> None:
        """Wait until one more connection has ended."""
        await asyncio.wait_for(self.gone.acquire(), SECONDS)


def serving(script: Script, *, tls: bool = True) -> AbstractAsyncContextManager[Server]:
    """Run a server."""
    return listening(Server(script), POD.server_context() if tls else None)


@asynccontextmanager
async def serving_elsewhere(script: Script, *, tls: bool) -> AsyncIterator[tuple[Server, BackgroundLoop]]:
    """Run a server on a loop in another thread: our own stands still while we wait for what that one runs."""
    loop = BackgroundLoop("scripted-server")
    stack = AsyncExitStack()
    try:
        yield loop.run(stack.enter_async_context(serving(script, tls=tls))), loop
    finally:
        loop.run(stack.aclose())
        # Closing runs a loop to its end, and a thread cannot run two.
        await asyncio.to_thread(loop.close)


@asynccontextmanager
async def transporting() -> AsyncIterator[Transport]:
    """Make a transport and close it."""
    context = TLSContexts().of(Trust(ca_bundle=POD.authority, server_name=NAME))
    transport = Transport(context, idle_seconds=60.0)
    try:
        yield transport
    finally:
        await transport.aclose()


async def ask(
    transport: Transport, server: Server, method: str = "GET", *, tls: bool = True, steps: list[str] | None = None
) -> tuple[int, bytes]:
    """Send a request; return the status and the body of its answer, and add the steps that were told."""

    async def trace(step: str, _details: dict[str, Any]) -> None:
        if steps is not None:
            steps.append(step)

    url = httpx.URL(scheme="https" if tls else "http", host="127.0.0.1", port=server.port, path="/")
    extensions = {"sni_hostname": NAME, "timeout": {"connect": SECONDS}, "trace": trace}
    request = httpx.Request(method, url, extensions=extensions)
    async with asyncio.timeout(SECONDS):
        response = await transport.handle_async_request(request)
        try:
            return response.status_code, await response.aread()
        finally:
            await response.aclose()


def proper(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Write a proper answer."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body])


async def until_the_end(served: Served) -> None:
    """Listen, and say nothing any more."""
    while await served.reader.read(1024):
        pass


UNASKED = {
    "an answer": proper(b"evil"),
    "a refusal": proper(b"", status=b"408 Request Timeout"),
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\x00garbage",
    "a flood": proper(b"x" * 1_000_000),
}


@pytest.mark.parametrize("error", UNASKED.values(), ids=UNASKED.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_nobody_asked_for_ends_a_connection(method: str, error: bytes) -> None:
    """It would be taken for the answer to the next request: to a publish, say, that was never looked at."""
    talking = asyncio.Event()

    async def script(served: Served) -> None:
        if server.connections == 1:
            await served.answer(proper(b"first"))
            await talking.wait()
            await served.say(error)
            await until_the_end(served)
        await served.answer(proper(b"own"))

    async with serving(script) as server, transporting() as transport:
        assert await ask(transport, server) == (200, b"first")
        talking.set()
        await server.one_ended()
        assert await ask(transport, server, method) == (200, b"own")
        assert server.connections == 2


async def speak_unasked(served: Served) -> None:
    """Say what would be taken for the next answer."""
    await served.say(proper(b"evil"))


async def hang_up(served: Served) -> None:
    """Cut the line, without TLS's goodbye."""
    served.writer.transport.abort()
    await served.writer.wait_closed()


async def say_goodbye(served: Served) -> None:
    """Close as TLS would have it: with a message first, whose answer is waited for."""
    served.writer.close()


@pytest.mark.parametrize("event", [speak_unasked, hang_up, say_goodbye])
@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
async def test_what_happened_while_we_were_busy_ends_a_connection(
    *, tls: bool, event: Callable[[Served], Coroutine[Any, Any, None]]
) -> None:
    """The next request has another one, and that costs it nothing: it is sent once."""
    lines: list[Served] = []
    check_requested: list[str] = []
    steps: list[str] = []

    async def script(served: Served) -> None:
        lines.append(served)
        while True:
            check_requested.append((await served.request()).split()[0])
            await served.say(proper(b"own"))

    async with serving_elsewhere(script, tls=tls) as (server, loop), transporting() as transport:
        assert await ask(transport, server, tls=tls) == (200, b"own")
        loop.run(event(lines[0]))
        assert await ask(transport, server, "POST", tls=tls, steps=steps) == (200, b"own")
        assert check_requested == ["GET", "POST"]
        assert server.connections == 2
        assert steps == [CONNECTING, SENDING]


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
async def test_a_silent_connection_is_used_again_however_busy_we_were(*, tls: bool) -> None:
    """Only a reason costs a handshake."""

    async def script(served: Served) -> None:
        while True:
            await served.answer(proper(b"own"))

    async with serving_elsewhere(script, tls=tls) as (server, loop), transporting() as transport:
        for _ in range(4):
            assert await ask(transport, server, "POST", tls=tls) == (200, b"own")
            loop.run(asyncio.sleep(0))
        assert server.connections == 1


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
@pytest.mark.parametrize("own", [b"own", b"own" * 35_000], ids=["read at once", "read in parts"])
async def test_a_second_answer_in_one_breath_is_not_kept(*, tls: bool, own: bytes) -> None:
    """Nor is the connection that it came over."""

    async def script(served: Served) -> None:
        await served.answer(proper(own), proper(b"evil"))
        await until_the_end(served)

    async with serving(script, tls=tls) as server, transporting() as transport:
        assert [await ask(transport, server, tls=tls) for _ in range(2)] == [(200, own)] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + proper(b"{}"), id="1xx"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX-Trailer: y\r\n\r\n",
            id="trailers",
        ),
        pytest.param(proper(b"{}", b"X-Long: " + b"x" * 12_000), id="a long header"),
        pytest.param(proper(b"{}", b'Set-Cookie: a b;="evil";\x01=3', b"Set-Cookie: ="), id="odd cookies"),
    ],
)
async def test_odd_but_proper_answers_are_read(error: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Their connection is used again, and nothing of them is logged."""
    caplog.set_level(logging.DEBUG)

    async def script(served: Served) -> None:
        while True:
            await served.answer(error)

    async with serving(script) as server, transporting() as transport:
        assert [await ask(transport, server) for _ in range(3)] == [(200, b"{}")] * 3
        assert server.connections == 1
    assert "evil" not in caplog.text


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
BROKEN = {
    "headers without number": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n",
    "a header of absurd length": proper(b"{}", b"X-Long: " + b"x" * 100_000),
    "trailers without number": CHUNKED + b"\r\n0\r\n" + b"X-Y: z\r\n" * 100_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "a chunk of no number": CHUNKED + b"\r\nzz\r\n{}\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("error", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_http_is_given_up(error: bytes) -> None:
    """It raises what httpx would; the next request has another connection."""

    async def script(served: Served) -> None:
        if server.connections == 1:
            await served.answer(error)
            await until_the_end(served)
        await served.answer(proper(b"{}"))

    async with serving(script) as server, transporting() as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, server)
        assert await ask(transport, server) == (200, b"{}")
        assert server.connections == 2


async def test_another_protocol_is_not_spoken() -> None:
    """A server that switches has answered; what it says from then on is nobody's answer."""

    async def script(served: Served) -> None:
        await served.answer(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", b"evil" * 10_000)
        await until_the_end(served)

    async with serving(script) as server, transporting() as transport:
        for count in (1, 2):
            assert await ask(transport, server) == (101, b"")
            await server.one_ended()
            assert server.connections == count


async def test_an_error_of_the_api_leaves_the_connection_in_order() -> None:
    """Whatever the status: the exchange itself went well."""

    async def script(served: Served) -> None:
        await served.answer(proper(b"no", status=b"503 Busy"))
        await served.answer(proper(b"yes"))

    async with serving(script) as server, transporting() as transport:
        assert [await ask(transport, server) for _ in range(2)] == [(503, b"no"), (200, b"yes")]
        assert server.connections == 1


async def test_a_connection_whose_end_is_announced_is_left() -> None:
    """Even where the server does not end it: they do not pile up."""

    async def script(served: Served) -> None:
        await served.answer(proper(b"{}", b"Connection: close"))
        await until_the_end(served)

    async with serving(script) as server, transporting() as transport:
        for _ in range(3):
            assert await ask(transport, server) == (200, b"{}")
        await server.one_ended()
        await server.one_ended()
        assert server.connections == 3


@pytest.mark.parametrize("tls", [True, False], ids=["answering", "in the handshake"])
async def test_whoever_is_cancelled_leaves_no_connection(*, tls: bool) -> None:
    """However far it was."""
    reached = asyncio.Event()

    async def script(served: Served) -> None:
        await served.reader.read(1)
        reached.set()
        await until_the_end(served)

    async with serving(script, tls=tls) as server, transporting() as transport:
        asking = asyncio.create_task(ask(transport, server))
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await transport.aclose()
        await server.one_ended()
