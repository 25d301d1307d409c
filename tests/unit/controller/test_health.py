"""Probes: what the kubelet is told; and the web server that tells it, whoever else calls."""

import asyncio
import contextlib
import logging
import socket
from asyncio import StreamReader, StreamWriter

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from bek_operator.controller import web_server
from bek_operator.controller.health import probes
from bek_operator.controller.web_server import WebServer
from bek_operator.settings import Address
from bek_operator.times import steady_clock

HALF_A_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: pod\r\n"


def serving(port: int, unready: str = "", unhealthy: str = "") -> WebServer:
    """Return a server of the probes."""
    return WebServer("health-address", Address(host="127.0.0.1", port=port), probes(lambda: unhealthy, lambda: unready))


async def ask(unready: str, path: str, method: str = "GET", *, unhealthy: str = "") -> tuple[int, str]:
    """Return status and text of a probe."""
    port = unused_port()
    async with (
        serving(port, unready, unhealthy),
        ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_a_process_that_answers_is_alive() -> None:
    """Whether it is ready or not, unless something is said against it."""
    assert await ask("not yet", "/healthz") == (200, "ok\n")
    assert await ask("", "/healthz", unhealthy="a watch is lost") == (503, "a watch is lost\n")
    assert await ask("", "/readyz", unhealthy="a watch is lost") == (200, "ok\n")


async def test_a_process_is_ready_when_nothing_is_said_against_it() -> None:
    """Otherwise the probe says what is."""
    assert await ask("not yet", "/readyz") == (503, "not yet\n")
    assert await ask("", "/readyz") == (200, "ok\n")


async def test_nothing_else_is_served() -> None:
    """A probe that is misspelt is told so, and nothing is taken in."""
    assert (await ask("", "/"))[0] == 404
    assert await ask("", "/healthz", "HEAD") == (200, "")
    assert (await ask("", "/healthz", "POST"))[0] == 405


async def test_an_address_in_use_is_an_error_that_names_the_flag() -> None:
    """Also one that this machine does not have."""
    port = unused_port()
    async with serving(port):
        with pytest.raises(
            OSError, match=rf"--health-address: cannot listen on 127.0.0.1:{port}: Address already in use"
        ):
            await serving(port).__aenter__()
    with pytest.raises(OSError, match=r"--health-address: cannot listen on nowhere\.invalid:80: "):
        await WebServer("health-address", Address(host="nowhere.invalid", port=80), {}).__aenter__()


async def test_half_sent_requests_take_no_descriptors_and_no_probe_hears_of_them() -> None:
    """The oldest connections are closed."""
    port, clients = unused_port(), list[tuple[StreamReader, StreamWriter]]()
    async with serving(port), ClientSession() as session:
        for _ in range(web_server.MOST_CONNECTIONS * 5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HALF_A_REQUEST)
            clients.append((reader, writer))
        async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
            assert response.status == 200
        for reader, _ in clients[: -web_server.MOST_CONNECTIONS]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        held = clients[-web_server.MOST_CONNECTIONS + 1 :]
        _, waiting = await asyncio.wait([asyncio.ensure_future(reader.read(1)) for reader, _ in held], timeout=0)
        assert len(waiting) == len(held)
        for one in waiting:
            one.cancel()
    for _, writer in clients:
        writer.close()


async def test_a_probe_is_answered_among_very_many_connections_at_once() -> None:
    """As they wait for a busy process: more of them come before and after it than are open at a time."""
    port, most = unused_port(), web_server.MOST_CONNECTIONS
    async with serving(port):
        with contextlib.ExitStack() as clients:
            # The event loop does nothing else before the first `await`.
            before, (probe,), _ = (
                [clients.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(count)]
                for count in (most * 3, 1, most * 5)
            )
            for one in before:
                one.sendall(HALF_A_REQUEST)
            probe.sendall(HALF_A_REQUEST + b"\r\n")
            probe.settimeout(0)
            answer = await asyncio.get_running_loop().sock_recv(probe, 100)
            assert answer.startswith(b"HTTP/1.1 200")


async def test_a_connection_ends_whatever_the_client_does() -> None:
    """It has sent half a request, or nothing at all."""
    port = unused_port()
    address = Address(host="127.0.0.1", port=port)
    async with WebServer("health-address", address, probes(lambda: "", lambda: ""), seconds=0.05):
        for sent in (HALF_A_REQUEST, b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()


async def test_a_connection_is_for_one_request(caplog: pytest.LogCaptureFixture) -> None:
    """What is no request is answered with an error, and is no line in the log."""
    port = unused_port()
    async with serving(port):
        for sent, answered in (
            (HALF_A_REQUEST + b"\r\n", b"HTTP/1.1 200"),
            (b"\x16\x03\x01\x00\r\n\r\n", b"HTTP/1.0 400"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            answer = await reader.read()
            assert answer.startswith(answered)
            writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_clock_tells_the_time_and_never_goes_back() -> None:
    """Seconds since the epoch."""
    clock = steady_clock()
    first, second = clock(), clock()
    assert first > 1_700_000_000
    assert second >= first
