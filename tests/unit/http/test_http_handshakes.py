"""TLS handshakes over the loopback: what the client offers, and how their cost is limited."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from bek_operator.http.client import HttpxClient, Limits
from bek_operator.http.errors import CertificateRefusedError, HttpError, NotConnectedError, UnacceptableError
from bek_operator.http.handshakes import BACKOFF_SECONDS, CPU_SHARE, FAILURE_THRESHOLD, FLOOD_SECONDS
from bek_operator.http.interface import Request, Response
from bek_operator.http.resolver import Resolver
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from support.tls import Certificate, dhe_only, self_signed, self_signed_by_rsa
from unit.http.scripted_server import ScriptedServer, Served, listening

POD = self_signed()
RSA_POD = self_signed_by_rsa()
NAME = "whatsapp-web-service"
TENANT = "messaging"
NUMBERS = 1000
AT_ONCE = 8
NO_COMMON_CIPHER = "no TLS version and cipher in common; the server must support TLS 1.3, or TLS 1.2 with ECDHE"
THROTTLED = "uses too much CPU"


class Server(ScriptedServer):
    """A server that counts handshakes, and closes each connection after one response."""

    def __init__(self) -> None:
        super().__init__(_answer_once)
        self.handshakes = 0

    def count_in(self, context: ssl.SSLContext) -> None:
        """Count the handshakes of a context."""

        def count(_connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            self.handshakes += 1

        context.sni_callback = count


async def _answer_once(served: Served) -> None:
    await served.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[Server]:
    """Run a server."""
    server = Server()
    server.count_in(context)
    async with listening(server, context):
        yield server


class Client:
    """A client whose clock and CPU time stand still unless a test moves them."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self.now = 0.0
        self.http = HttpxClient(
            Resolver(lambda _address, _port: True, lookup=_loopback),
            limits=Limits(total=30.0, connect=30.0),
            clock=lambda: self.now,
            cpu=cpu,
        )

    async def __call__(
        self, server: ScriptedServer, certificate: Certificate = POD, *, host: str = "pod.test", tenant: str = TENANT
    ) -> Response:
        """Send a request."""
        trust = ServerTrust(ca_bundle=certificate.authority, server_name=NAME, tenant=tenant)
        return await self.http.send(Request(method="GET", url=Url(host=host, port=server.port, path=""), trust=trust))


async def _loopback(_host: str) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def calling(cpu: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Client]:
    """Make a client and close it."""
    client = Client(cpu)
    try:
        yield client
    finally:
        await client.http.close()


@asynccontextmanager
async def serving_dhe() -> AsyncIterator[ScriptedServer]:
    """Run a server whose handshake would take 0.6 s of a client's CPU, and none of its own."""
    context = dhe_only(RSA_POD, 10_000)

    async def script(served: Served) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await served.reader.read(0x4000))
        # By hand, because asyncio's own servers send no TLS alerts.
        with suppress(ssl.SSLError):
            ours.do_handshake()
        await served.say(outgoing.read())
        await served.reader.read(0x4000)

    async with listening(ScriptedServer(script), None) as server:
        yield server


async def fault(
    call: Client, server: ScriptedServer, certificate: Certificate = POD, *, host: str = "pod.test"
) -> HttpError:
    """Send a request that must fail; return its error."""
    with pytest.raises(HttpError) as raised:
        await call(server, certificate, host=host)
    assert not raised.value.sent
    return raised.value


class TestOffered:
    """What a server can choose from."""

    async def test_dhe_is_not_offered(self) -> None:
        """A server that supports nothing else gets a message of its own."""
        async with calling() as call, serving_dhe() as server:
            found = await fault(call, server, RSA_POD)
            assert isinstance(found, NotConnectedError)
            assert NO_COMMON_CIPHER in found.message

    @pytest.mark.parametrize(
        ("version", "ciphers", "curve"),
        [
            (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256", None),
            (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-SHA384", None),
            (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA256", "prime256v1"),
            (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-CHACHA20-POLY1305", None),
            (ssl.TLSVersion.TLSv1_2, "ECDHE:DHE", "secp384r1"),
            (ssl.TLSVersion.TLSv1_3, None, None),
            (ssl.TLSVersion.TLSv1_3, None, "secp384r1"),
        ],
    )
    async def test_common_servers_are_supported(
        self, version: ssl.TLSVersion, ciphers: str | None, curve: str | None
    ) -> None:
        """The pods of the On-Premises API among them."""
        context = RSA_POD.server_context()
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        if curve:
            context.set_ecdh_curve(curve)
        async with calling() as call, serving(context) as server:
            assert (await call(server, RSA_POD)).status == 200

    async def test_an_endless_chain_is_refused(self) -> None:
        """Parsing and verifying it would take CPU."""
        other = self_signed("other").pem
        long = Certificate(pem=POD.pem + other * 90, authority=POD.authority, private=POD.private)
        async with calling() as call, serving(long.server_context()) as server:
            assert "larger than 32 KiB" in (await fault(call, server)).message

    async def test_a_long_chain_is_read(self) -> None:
        """Some servers send every certificate that they have."""
        other = self_signed("other").pem
        long = Certificate(pem=POD.pem + other * 40, authority=POD.authority, private=POD.private)
        async with calling() as call, serving(long.server_context()) as server:
            assert (await call(server)).status == 200


class TestFailing:
    """A server whose handshakes fail."""

    async def test_a_thousand_numbers_of_one_server(self) -> None:
        """There are few handshakes within a minute, and every request gets the error."""
        async with calling() as call, serving_dhe() as server:
            for turn in range(0, NUMBERS, AT_ONCE):
                found = await asyncio.gather(*(fault(call, server, RSA_POD) for _ in range(AT_ONCE)))
                assert all(NO_COMMON_CIPHER in one.message for one in found)
                call.now = 60.0 * turn / NUMBERS
            assert server.connections <= AT_ONCE + 60 / BACKOFF_SECONDS

    async def test_another_ca_bundle_has_a_history_of_its_own(self) -> None:
        """The CA bundle may set all that is wrong."""
        async with calling() as call, serving(POD.server_context()) as server:
            for _ in range(FAILURE_THRESHOLD + 1):
                assert isinstance(await fault(call, server, self_signed()), CertificateRefusedError)
            assert (await call(server)).status == 200

    async def test_the_server_recovers_after_the_back_off(self) -> None:
        """Then all requests succeed at once."""
        context = POD.server_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("PSK")
        async with calling() as call, serving(context) as server:
            for _ in range(FAILURE_THRESHOLD + 1):
                assert "the TLS handshake failed" in (await fault(call, server)).message
            assert server.handshakes == FAILURE_THRESHOLD
            context.set_ciphers("ECDHE")
            assert "the TLS handshake failed" in (await fault(call, server)).message
            call.now += BACKOFF_SECONDS
            for _ in range(3):
                assert (await call(server)).status == 200

    async def test_refused_connections_do_not_back_off(self) -> None:
        """There was no handshake."""
        async with serving(POD.server_context()) as server:
            pass
        async with calling() as call:
            for _ in range(FAILURE_THRESHOLD + 1):
                assert (await fault(call, server)).message == "connection refused"
            async with listening(server, POD.server_context()) as again:
                assert (await call(again)).status == 200


async def _flood(served: Served, head: bytes, piece: bytes) -> None:
    await served.request()
    await served.say(head)
    while not served.writer.transport.is_closing():
        await served.say(piece)
        # Otherwise nothing else would run while the socket takes writes.
        await asyncio.sleep(0)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50),
    "tiny chunks": (CHUNKED, b"1\r\nx\r\n" * 200),
    "a chunk's extension": (CHUNKED + b"1;", b"x" * 1000),
    "empty lines": (b"", b"\r\n" * 500),
}


class TestFlood:
    """A server with endless responses."""

    @pytest.mark.parametrize(("head", "piece"), FLOODS.values(), ids=FLOODS.keys())
    async def test_the_connection_is_ended(self, head: bytes, piece: bytes) -> None:
        """Long before the time limit; and the tenant is charged, whatever name it uses for the server."""

        async def script(served: Served) -> None:
            await _flood(served, head, piece)

        async with calling() as call, listening(ScriptedServer(script), POD.server_context()) as server:
            for host in ("pod.test", "other.test"):
                with pytest.raises(UnacceptableError, match="larger than 320 KiB") as raised:
                    await call(server, host=host)
                assert raised.value.sent
                for again in ("pod.test", "other.test"):
                    assert THROTTLED in (await fault(call, server, host=again)).message
                call.now += FLOOD_SECONDS / CPU_SHARE
            assert server.connections == 2

    async def test_a_large_page_does_not_throttle(self) -> None:
        """Its body is refused, but it is not charged."""
        body = b"x" * 250_000

        async def script(served: Served) -> None:
            await served.answer(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\n\r\n" % len(body), body)

        async with calling() as call, listening(ScriptedServer(script), POD.server_context()) as server:
            for _ in range(2):
                with pytest.raises(UnacceptableError, match="larger than 65536 bytes"):
                    await call(server)
            assert server.connections == 2

    async def test_flood_on_a_reused_connection(self) -> None:
        """A server that proved cheap is charged all the same."""

        async def script(served: Served) -> None:
            await served.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await _flood(served, *FLOODS["tiny chunks"])

        async with calling() as call, listening(ScriptedServer(script), POD.server_context()) as server:
            assert (await call(server)).status == 200
            with pytest.raises(UnacceptableError, match="larger than 320 KiB"):
                await call(server)
            assert THROTTLED in (await fault(call, server)).message
            assert server.connections == 1

    async def test_many_responses_on_one_connection_are_fine(self) -> None:
        """The limit is for each request."""
        body = b"x" * 60_000  # five are below the limit, and twenty above it

        async def script(served: Served) -> None:
            while True:
                await served.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

        async with calling() as call, listening(ScriptedServer(script), POD.server_context()) as server:
            for _ in range(20):
                assert len((await call(server)).body) == len(body)
            assert server.connections == 1


class Cpu:
    """CPU time that a test advances with each part of a handshake."""

    def __init__(self, *, each: float, cheap_parts: int = 0) -> None:
        self._each = each
        self._cheap_calls = 2 * cheap_parts
        self._calls = 0
        self._passed = 0.0

    def __call__(self) -> float:
        """Return the seconds so far; it is called at the start and at the end of each part."""
        self._calls += 1
        if self._calls > self._cheap_calls and self._calls % 2 == 0:
            self._passed += self._each
        return self._passed

    def set(self, *, each: float) -> None:
        """Set what a part takes from now on."""
        self._each = each


class TestCostly:
    """Servers whose handshakes exceed the free CPU."""

    async def test_usual_handshakes_are_never_throttled(self) -> None:
        """However many there are."""
        async with calling(Cpu(each=0.002)) as call, serving(POD.server_context()) as server:
            for turn in range(50):
                assert (await call(server, host=f"pod-{turn % 10}.test")).status == 200

    async def test_the_next_handshake_has_to_wait(self) -> None:
        """The request that was charged gets its response."""
        async with calling(Cpu(each=0.1)) as call:
            async with serving(POD.server_context()) as server:
                assert (await call(server)).status == 200
                assert THROTTLED in (await fault(call, server)).message
                call.now += 0.5 / CPU_SHARE
                assert (await call(server)).status == 200
                assert server.connections == server.handshakes == 2
            # The server is gone, which only a connection would show.
            assert THROTTLED in (await fault(call, server, host="other.test")).message

    async def test_many_names_for_one_server(self) -> None:
        """They share the tenant's limit; other tenants are not affected."""
        cpu = Cpu(each=0.0)
        async with calling(cpu) as call, serving(POD.server_context()) as server:
            assert (await call(server, host="good.test")).status == 200
            cpu.set(each=0.1)
            found = await asyncio.gather(
                *(call(server, host=f"bad-{count}.test") for count in range(NUMBERS)), return_exceptions=True
            )
            assert [one for one in found if not isinstance(one, HttpError)] == found[:1]
            assert all(THROTTLED in str(one) for one in found[1:])
            assert server.handshakes == 2
            cpu.set(each=0.0)
            assert (await call(server, host="good.test")).status == 200
            assert (await call(server, host="bad-1.test", tenant="another")).status == 200

    async def test_handshakes_under_way_stop_before_they_cost_anything(self) -> None:
        """They started before the cost was known."""
        async with (
            calling(Cpu(each=0.1, cheap_parts=AT_ONCE)) as call,
            serving(POD.server_context()) as server,
        ):
            found = await asyncio.gather(
                *(call(server, host=f"bad-{count}.test") for count in range(AT_ONCE)), return_exceptions=True
            )
            assert server.handshakes == AT_ONCE
            assert len([one for one in found if isinstance(one, Response)]) == 1
            assert len([one for one in found if THROTTLED in str(one)]) == AT_ONCE - 1


class ThreadOfCpu:
    """Counts the parts of handshakes on the event loop's thread and on others; the first one there takes its time."""

    def __init__(self) -> None:
        self._loop, self._own = asyncio.get_running_loop(), threading.get_ident()
        self._released = threading.Event()
        self.begun = asyncio.Event()
        self.here = self.elsewhere = 0
        self.passed = 0.0

    def __call__(self) -> float:
        """Return the seconds so far; the part that waited took one."""
        if threading.get_ident() == self._own:
            self.here += 1
            return self.passed
        self.elsewhere += 1
        if self.elsewhere == 2:
            self._loop.call_soon_threadsafe(self.begun.set)
            assert self._released.wait(10)
            self.passed += 1.0
        return self.passed

    def release(self) -> None:
        """Let the first part end."""
        self._released.set()


class TestThreads:
    """The server's messages are processed in threads."""

    async def test_other_tenants_are_called_meanwhile(self) -> None:
        """The event loop is free, and each tenant has one thread at most."""
        cpu = ThreadOfCpu()
        async with calling(cpu) as call, serving(POD.server_context()) as server:
            costly = asyncio.create_task(call(server, host="costly.test"))
            await cpu.begun.wait()
            waiting = asyncio.create_task(call(server, host="waiting.test"))
            assert (await call(server, tenant="another")).status == 200
            assert not waiting.done()
            cpu.release()
            assert (await costly).status == 200
            with pytest.raises(NotConnectedError, match=THROTTLED):
                await waiting
            # On the loop only our own first messages, for which no server can set the price.
            assert cpu.here == 2 * 3

    async def test_a_handshake_that_is_given_up_is_charged(self) -> None:
        """Otherwise a server could be expensive, but slow, for free."""
        cpu = ThreadOfCpu()
        async with calling(cpu) as call, serving(POD.server_context()) as server:
            costly = asyncio.create_task(call(server))
            await cpu.begun.wait()
            costly.cancel()
            with suppress(asyncio.CancelledError):
                await costly
            waiting = asyncio.create_task(call(server, host="other.test"))
            assert (await call(server, tenant="another")).status == 200
            cpu.release()
            with pytest.raises(NotConnectedError, match=THROTTLED):
                await waiting
