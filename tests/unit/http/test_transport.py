"""The transport against hostile servers; ordinary requests are in test_http_client.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from bek_operator.http.tls_contexts import make_context
from bek_operator.http.transport import CONNECTING, SENDING, Transport
from support.programs.background import BackgroundLoop
from support.tls import self_signed
from unit.http.scripted_server import Script, ScriptedServer, Served, listening

POD = self_signed()
NAME = "whatsapp-web-service"
SECONDS = 5.0


class Server(ScriptedServer):
    """A server whose connections are waited for."""

    async def one_ended(self) -> None:
        """Wait until one more connection has ended."""
        await asyncio.wait_for(self.gone.acquire(), SECONDS)


def serving(script: Script, *, tls: bool = True) -> AbstractAsyncContextManager[Server]:
    """Run a server; one without TLS does no handshake."""
    return listening(Server(script), POD.server_context() if tls else None)


@asynccontextmanager
async def serving_elsewhere(script: Script) -> AsyncIterator[tuple[Server, BackgroundLoop]]:
    """Run a server on an event loop in another thread, so that it runs while ours is blocked."""
    loop = BackgroundLoop("scripted-server")
    stack = AsyncExitStack()
    try:
        yield loop.run(stack.enter_async_context(serving(script))), loop
    finally:
        loop.run(stack.aclose())
        # Closing runs a loop to its end, and a thread cannot run two.
        await asyncio.to_thread(loop.close)


@asynccontextmanager
async def transporting() -> AsyncIterator[Transport]:
    """Make a transport and close it."""
    transport = Transport(make_context(POD.authority), idle_seconds=60.0)
    try:
        yield transport
    finally:
        await transport.aclose()


async def ask(
    transport: Transport, server: Server, method: str = "GET", *, steps: list[str] | None = None
) -> tuple[int, bytes]:
    """Send a request; return the status and the body of its response, and append its trace events to `steps`."""

    async def trace(step: str, _details: dict[str, Any]) -> None:
        if steps is not None:
            steps.append(step)

    url = httpx.URL(scheme="https", host="127.0.0.1", port=server.port, path="/")
    extensions = {"sni_hostname": NAME, "timeout": {"connect": SECONDS}, "trace": trace}
    request = httpx.Request(method, url, extensions=extensions)
    async with asyncio.timeout(SECONDS):
        response = await transport.handle_async_request(request)
        try:
            return response.status_code, await response.aread()
        finally:
            await response.aclose()


def proper(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a valid response."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body])


async def until_the_end(served: Served) -> None:
    """Read until the connection ends."""
    while await served.reader.read(1024):
        pass


UNSOLICITED = {
    "an answer": proper(b"evil"),
    "a refusal": proper(b"", status=b"408 Request Timeout"),
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\x00garbage",
    "a flood": proper(b"x" * 1_000_000),
}


@pytest.mark.parametrize("data", UNSOLICITED.values(), ids=UNSOLICITED.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unsolicited_input_closes_an_idle_connection(method: str, data: bytes) -> None:
    """It would be taken for the response to the next request, to a publish, say."""
    talking = asyncio.Event()

    async def script(served: Served) -> None:
        if server.connections == 1:
            await served.answer(proper(b"first"))
            await talking.wait()
            await served.say(data)
            await until_the_end(served)
        await served.answer(proper(b"own"))

    async with serving(script) as server, transporting() as transport:
        assert await ask(transport, server) == (200, b"first")
        talking.set()
        await server.one_ended()
        assert await ask(transport, server, method) == (200, b"own")
        assert server.connections == 2


async def send_unsolicited(served: Served) -> None:
    """Send what would be taken for the next response."""
    await served.say(proper(b"evil"))


async def hang_up(served: Served) -> None:
    """Reset the connection, without close_notify."""
    served.writer.transport.abort()
    await served.writer.wait_closed()


async def close_properly(served: Served) -> None:
    """Close with close_notify."""
    served.writer.close()


@pytest.mark.parametrize("event", [send_unsolicited, hang_up, close_properly])
async def test_input_while_the_event_loop_was_busy_closes_a_connection(
    event: Callable[[Served], Coroutine[Any, Any, None]],
) -> None:
    """The next request is sent once, on a new connection."""
    lines: list[Served] = []
    methods: list[str] = []
    steps: list[str] = []

    async def script(served: Served) -> None:
        lines.append(served)
        while True:
            methods.append((await served.request()).split()[0])
            await served.say(proper(b"own"))

    async with serving_elsewhere(script) as (server, loop), transporting() as transport:
        assert await ask(transport, server) == (200, b"own")
        loop.run(event(lines[0]))
        assert await ask(transport, server, "POST", steps=steps) == (200, b"own")
        assert methods == ["GET", "POST"]
        assert server.connections == 2
        assert steps == [CONNECTING, SENDING]


async def test_a_silent_connection_is_reused_after_a_busy_event_loop() -> None:
    """There is no second handshake."""

    async def script(served: Served) -> None:
        while True:
            await served.answer(proper(b"own"))

    async with serving_elsewhere(script) as (server, loop), transporting() as transport:
        for _ in range(4):
            assert await ask(transport, server, "POST") == (200, b"own")
            loop.run(asyncio.sleep(0))
        assert server.connections == 1


@pytest.mark.parametrize("own", [b"own", b"own" * 35_000], ids=["read at once", "read in parts"])
async def test_a_second_response_in_the_same_read_is_dropped(own: bytes) -> None:
    """And the connection is not reused."""

    async def script(served: Served) -> None:
        await served.answer(proper(own), proper(b"evil"))
        await until_the_end(served)

    async with serving(script) as server, transporting() as transport:
        assert [await ask(transport, server) for _ in range(2)] == [(200, own)] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    "data",
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
async def test_unusual_valid_responses_are_read(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Their connection is used again, and nothing of them is logged."""
    caplog.set_level(logging.DEBUG)

    async def script(served: Served) -> None:
        while True:
            await served.answer(data)

    async with serving(script) as server, transporting() as transport:
        assert [await ask(transport, server) for _ in range(3)] == [(200, b"{}")] * 3
        assert server.connections == 1
    assert "evil" not in caplog.text


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
BROKEN = {
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n",
    "a header of absurd length": proper(b"{}", b"X-Long: " + b"x" * 100_000),
    "endless trailers": CHUNKED + b"\r\n0\r\n" + b"X-Y: z\r\n" * 100_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "a chunk of no number": CHUNKED + b"\r\nzz\r\n{}\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_a_response_that_is_not_http_is_an_error(data: bytes) -> None:
    """It is httpx's RemoteProtocolError; the next request has another connection."""

    async def script(served: Served) -> None:
        if server.connections == 1:
            await served.answer(data)
            await until_the_end(served)
        await served.answer(proper(b"{}"))

    async with serving(script) as server, transporting() as transport:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, server)
        assert await ask(transport, server) == (200, b"{}")
        assert server.connections == 2


async def test_switching_protocols_closes_the_connection() -> None:
    """The input after status 101 is no response."""

    async def script(served: Served) -> None:
        await served.answer(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", b"evil" * 10_000)
        await until_the_end(served)

    async with serving(script) as server, transporting() as transport:
        for count in (1, 2):
            assert await ask(transport, server) == (101, b"")
            await server.one_ended()
            assert server.connections == count


async def test_an_error_status_keeps_the_connection() -> None:
    """The exchange itself succeeded."""

    async def script(served: Served) -> None:
        await served.answer(proper(b"no", status=b"503 Busy"))
        await served.answer(proper(b"yes"))

    async with serving(script) as server, transporting() as transport:
        assert [await ask(transport, server) for _ in range(2)] == [(503, b"no"), (200, b"yes")]
        assert server.connections == 1


async def test_connection_close_is_obeyed() -> None:
    """Even if the server does not close it."""

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
async def test_a_cancelled_request_closes_its_connection(*, tls: bool) -> None:
    """At any stage."""
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


async def test_a_request_cancelled_at_any_step_does_not_break_the_next_one() -> None:
    """The next connection gets the file descriptor of the cancelled one."""

    async def script(served: Served) -> None:
        await served.answer(proper(b"{}"))
        await until_the_end(served)

    async with serving(script) as server:
        answered, steps = False, 0
        while not answered:
            async with transporting() as transport:
                asking = asyncio.create_task(ask(transport, server))
                for _ in range(steps):
                    await asyncio.sleep(0)
                answered = asking.done()
                # Like a time limit that expires: behind what the event loop has found to do.
                asyncio.get_running_loop().call_later(0, asking.cancel)
                await asyncio.gather(asking, return_exceptions=True)
            async with transporting() as transport:
                assert await ask(transport, server) == (200, b"{}")
            steps += 1
        assert steps > 1
