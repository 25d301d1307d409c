"""Run as a program: one process of the simulator, which shares its port with the others.

A loop over epoll and nothing more, because the simulator must not limit what is measured. Every answer comes after the
same delay.
"""

import argparse
import heapq
import itertools
import json
import select
import socket
import ssl
import time
from pathlib import Path

from bench import names
from bench.contracts import Asked, Contracts, Kind, Request
from bench.ledger import CROWDS, SECONDS, Common, Count, Ledger, Mode
from bench.processes import allow_many_connections

_BACKLOG = 1024
_CHUNK = 65_536
_LONGEST_HEAD = 16_384
_LONGEST_WAIT = 0.5
_AGAIN = 0.001


class Numbers:
    """Answers requests for the numbers; counts in the block of this process."""

    def __init__(self, ledger: Ledger, process: int, contracts: Contracts) -> None:
        self._ledger = ledger
        self._contracts = contracts
        self._counts = [ledger.counts(process, count) for count in Count]
        self._reads = [ledger.reads_by_second(process, crowd) for crowd in range(CROWDS)]

    def answer(self, request: Request, now: float) -> tuple[float, bytes | None]:
        """Return when to answer and what; `None` for no answer."""
        ledger, call = self._ledger, self._contracts.understand(request)
        at = now + ledger.common[Common.DELAY]
        if call.kind is Kind.WRONG:
            return at, call.refusal
        mode = Mode(ledger.modes[call.index])
        self._count(call, now, at, mode)
        if mode is Mode.HANGS:
            return at, None
        if mode is Mode.FINE and call.kind is Kind.PUBLISH:
            ledger.keys[call.index] = call.key
        return at, self._contracts.answer(call, ledger.keys[call.index], mode)

    def _count(self, call: Asked, now: float, at: float, mode: Mode) -> None:
        index = call.index
        if not self._counts[Count.FIRST_CALL][index]:
            self._counts[Count.FIRST_CALL][index] = now
        if call.kind is Kind.READ:
            self._counts[Count.READS][index] += 1
            second = int(now - self._ledger.common[Common.BEGINNING])
            if 0 <= second < SECONDS:
                self._reads[self._ledger.crowds[index]][second] += 1
        elif call.kind is Kind.LOGIN:
            self._counts[Count.LOGINS][index] += 1
        else:
            self._counts[Count.PUBLISHES][index] += 1
            if mode is Mode.FINE:
                if not self._counts[Count.FIRST_PUBLISHED][index]:
                    self._counts[Count.FIRST_PUBLISHED][index] = at
                self._counts[Count.PUBLISHED][index] = at


class Connection:
    """One TLS connection: bytes in, whole requests out."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.shaken = False
        self._buffer = bytearray()

    def shake_hands(self) -> int:
        """Continue the handshake; return the event that it waits for, 0 when it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        self.shaken = True
        return 0

    def receive(self) -> list[Request]:
        """Return the requests that are complete by now.

        Raises:
            OSError: the connection has ended, or what came is no HTTP.
        """
        try:
            while True:
                chunk = self.tls.recv(_CHUNK)
                if not chunk:
                    raise ConnectionResetError
                self._buffer += chunk
        except ssl.SSLWantReadError:
            pass
        found = []
        while request := self._next():
            found.append(request)
        return found

    def _next(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise ConnectionAbortedError
            return None
        line, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        headers = {}
        for one in lines:
            name, _, value = one.partition(b":")
            headers[name.lower()] = value.strip()
        method, _, rest = line.partition(b" ")
        length = headers.get(b"content-length", b"0")
        if not (length.isdigit() and rest.endswith(b" HTTP/1.1")):
            raise ConnectionAbortedError
        start = end + 4
        if len(self._buffer) < start + int(length):
            return None
        body = bytes(self._buffer[start : start + int(length)])
        del self._buffer[: start + int(length)]
        return Request(method=method, target=rest[: -len(b" HTTP/1.1")], headers=headers, body=body)


class Server:
    """Serves until it is killed."""

    def __init__(self, listeners: list[socket.socket], context: ssl.SSLContext, numbers: Numbers) -> None:
        self._listeners = {one.fileno(): one for one in listeners}
        self._context = context
        self._numbers = numbers
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection, bytes]] = []
        self._serial = itertools.count()
        self._poll = select.epoll()
        for one in self._listeners:
            self._poll.register(one, select.EPOLLIN)

    def serve(self) -> None:
        """Serve for ever."""
        while True:
            wait = max(self._due[0][0] - time.monotonic(), 0.0) if self._due else _LONGEST_WAIT
            for descriptor, _ in self._poll.poll(wait):
                if descriptor in self._listeners:
                    self._accept(self._listeners[descriptor])
                elif connection := self._connections.get(descriptor):
                    self._go_on(descriptor, connection)
            self._send_what_is_due()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except BlockingIOError:
                return
            plain.settimeout(0)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            self._connections[tls.fileno()] = Connection(tls)
            self._poll.register(tls.fileno(), select.EPOLLIN)

    def _go_on(self, descriptor: int, connection: Connection) -> None:
        try:
            if not connection.shaken:
                wanted = connection.shake_hands()
                self._poll.modify(descriptor, wanted or select.EPOLLIN)
                if wanted:
                    return
            for request in connection.receive():
                at, answer = self._numbers.answer(request, time.monotonic())
                if answer is not None:
                    heapq.heappush(self._due, (at, next(self._serial), connection, answer))
        except OSError:
            self._drop(descriptor, connection)

    def _send_what_is_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, serial, connection, answer = heapq.heappop(self._due)
            descriptor = connection.tls.fileno()
            if descriptor < 0:
                continue
            try:
                connection.tls.send(answer)
            except ssl.SSLWantWriteError:
                heapq.heappush(self._due, (now + _AGAIN, serial, connection, answer))
            except OSError:
                self._drop(descriptor, connection)

    def _drop(self, descriptor: int, connection: Connection) -> None:
        if descriptor >= 0 and self._connections.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
            connection.tls.close()


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((address, port))
    listener.listen(_BACKLOG)
    listener.settimeout(0)
    return listener


def main() -> None:
    """Serve on one port of several loopback addresses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--process", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    given = parser.parse_args()
    allow_many_connections()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.folder / "simulator.pem")
    public_keys = json.loads((given.folder / "public-keys.json").read_text(encoding="ascii"))
    ledger = Ledger(given.folder / "ledger", given.processes)
    listeners = [_listen(address, given.port) for address in ("127.0.0.1", *names.ADDRESSES)]
    numbers = Numbers(ledger, given.process, Contracts(public_keys))
    (given.folder / f"simulator-{given.process}.up").touch()
    Server(listeners, context, numbers).serve()


if __name__ == "__main__":
    main()
