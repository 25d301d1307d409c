"""The network that tests break, and the clocks that they move."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cluster.tcp_proxy import TcpProxy
from support.programs.faketime import MovedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.programs.faketime import Clocks


@pytest.fixture
def network() -> Iterator[TcpProxy]:
    """Provide a way to a server that sends back what it is sent."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with TcpProxy(server.getsockname) as network:
            yield network


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo_all, args=(connection,), daemon=True).start()


def _echo_all(connection: socket.socket) -> None:
    with closing(connection):
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except OSError:
            return


def connect(network: TcpProxy) -> socket.socket:
    """Open a connection through a network."""
    host, port = network.url.removeprefix("https://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ask(client: socket.socket, text: bytes = b"hello") -> bytes:
    """Send something; return what comes back, nothing if the connection is reset."""
    try:
        client.sendall(text)
        return client.recv(1024)
    except ConnectionError:
        return b""


def is_silent(client: socket.socket) -> bool:
    """Return whether nothing has come back on a connection which is open."""
    client.settimeout(0.2)
    try:
        client.recv(1024)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_it_passes_on_what_it_gets(network: TcpProxy) -> None:
    """On every connection, late if that is asked for."""
    with connect(network) as first, connect(network) as second:
        network.delay = 0.1
        assert (ask(first), ask(second, b"2")) == (b"hello", b"2")
    assert network.connections == 2


def test_connections_are_cut_and_refused_until_it_is_mended(network: TcpProxy) -> None:
    """Those that are there, and then new ones."""
    with connect(network) as client:
        assert ask(client) == b"hello"
        network.cut()
        assert ask(client) == b""
    network.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(network)
    network.mend()
    with connect(network) as client:
        assert ask(client) == b"hello"


@pytest.mark.parametrize(("limits", "answer"), [({"answers": 3}, b"hel"), ({"requests": 2}, b"he")])
def test_a_connection_is_cut_half_way(network: TcpProxy, limits: dict[str, int], answer: bytes) -> None:
    """After so many bytes; what was under way before them arrives, or does not."""
    network.cut_after(limits)  # type: ignore[arg-type] # the keys are directions
    with connect(network) as client:
        assert ask(client) in {answer, b""}
        assert ask(client) == b""
    assert network.resets == 1


def test_what_is_frozen_goes_on_when_it_is_mended(network: TcpProxy) -> None:
    """New connections are accepted meanwhile; those that are stranded stay so."""
    with connect(network) as stranded, connect(network) as frozen:
        assert (ask(stranded), ask(frozen)) == (b"hello", b"hello")
        network.freeze()
        with connect(network) as new:
            for client in (frozen, new):
                client.sendall(b"later")
                assert is_silent(client)
            network.mend()
            assert (frozen.recv(1024), new.recv(1024)) == (b"later", b"later")
        network.strand()
        frozen.sendall(b"never")
        network.mend()
        assert is_silent(frozen)
        with connect(network) as client:
            assert ask(client) == b"hello"


CLOCKS = """\
import sys, time
while sys.stdin.readline():
    print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic(), flush=True)
"""


@pytest.mark.parametrize(("clocks", "moved"), [("wall clock", (1, 0, 0)), ("all clocks", (1, 1, 1))])
def test_the_clocks_of_a_process_are_moved_while_it_runs(
    clocks: Clocks, moved: tuple[int, int, int], tmp_path: Path
) -> None:
    """By an hour, and back."""
    clock = MovedClock(tmp_path / "clock", clocks)
    with subprocess.Popen(
        [sys.executable, "-c", CLOCKS], env=clock.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout

        def times() -> list[float]:
            assert process.stdin
            assert process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            return [float(one) for one in process.stdout.readline().split()]

        for hours in (1, -1):
            before = times()
            clock.move(3600 * hours)
            after = times()
            assert [round((later - sooner) / 3600) * hours for sooner, later in zip(before, after, strict=True)] == [
                *moved
            ]
        process.stdin.close()
