"""The HTTP client against real TLS servers on the loopback."""

import asyncio
import ssl
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bek_operator.http.client import HttpxClient, Limits
from bek_operator.http.errors import (
    AddressRefusedError,
    BrokenOffError,
    CABundleError,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.interface import Request, Response
from bek_operator.http.resolver import MAX_LOOKUPS, Resolver
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from support.tls import Certificate, self_signed, signed_by
from support.virtual_time import virtual_time
from unit.http.scripted_server import Script, ScriptedServer, Served, listening

SECRET = "Bearer top.secret.token"
NAME = "whatsapp-web-service"
POD = self_signed()


class Server(ScriptedServer):
    """A server that records requests and SNI names."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.requests: list[str] = []
        self.names: list[str | None] = []

    @property
    def url(self) -> Url:
        """Return its URL, with a name that only the tests resolve."""
        return Url(host="pod.test", port=self.port, path="/v1")


@asynccontextmanager
async def serving(
    script: Script | bytes, certificate: Certificate | None = POD, *, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Run a server; bytes are its response to every request. Without a certificate it speaks no TLS."""

    async def answering(served: Served) -> None:
        while True:
            server.requests.append(await served.request())
            assert isinstance(script, bytes)
            served.writer.write(script)

    server = Server(answering if isinstance(script, bytes) else script)
    context = certificate.server_context() if certificate else None
    if context:

        def remember(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            server.names.append(name)

        context.sni_callback = remember
    async with listening(server, context, host=host):
        yield server


class Client:
    """A client whose name server knows one host."""

    def __init__(self, limits: Limits, *addresses: str) -> None:
        self.addresses = list(addresses or ["127.0.0.1"])
        self.looked_up = 0
        allowed = {*self.addresses, "127.0.0.1"}
        self.http = HttpxClient(
            Resolver(lambda address, _port: str(address) in allowed, lookup=self._lookup),
            user_agent="bek-operator/1.2.3",
            limits=limits,
        )

    async def _lookup(self, host: str) -> list[str]:
        assert host == "pod.test"
        self.looked_up += 1
        return self.addresses

    async def __call__(
        self,
        server: Server,
        method: Literal["GET", "POST"] = "GET",
        *,
        ca_bundle: str | None = POD.authority,
        name: str = NAME,
        content: bytes | None = None,
    ) -> Response:
        """Send a request that carries a secret."""
        trust = ServerTrust(ca_bundle=ca_bundle, server_name=name)
        return await self.http.send(
            Request(method=method, url=server.url, trust=trust, headers={"Authorization": SECRET}, content=content)
        )


@asynccontextmanager
async def calling(limits: Limits | None = None, *addresses: str) -> AsyncIterator[Client]:
    """Make a client and close it."""
    client = Client(limits or Limits(total=5.0, connect=5.0), *addresses)
    try:
        yield client
    finally:
        await client.http.close()


def proper(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """Return a valid response."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class TestExchange:
    """A request that succeeds."""

    async def test_whole_response(self) -> None:
        """Status, headers and body are returned as they were sent."""
        async with calling() as call, serving(proper(b'{"a": 1}', "Retry-After: 7", status="418 Ünsinn ☕")) as server:
            answer = await call(server)
        assert (answer.status, answer.body) == (418, b'{"a": 1}')
        assert answer.headers["retry-after"] == "7"

    async def test_request(self) -> None:
        """The request goes to the resolved address with the host's name, and carries no extra headers."""
        async with calling() as call, serving(proper()) as server:
            await call(server, "POST", content=b"x=1")
        head, _, body = server.requests[0].partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        assert (first, body) == ("POST /v1 HTTP/1.1", "x=1")
        assert {name.lower(): value for name, value in (line.split(": ") for line in lines)} == {
            "host": f"pod.test:{server.port}",
            "user-agent": "bek-operator/1.2.3",
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": SECRET,
            "content-length": "3",
        }
        assert server.names == [NAME]

    async def test_connection_is_used_again(self) -> None:
        """Consecutive requests share a connection, and the lookup of the name."""
        async with calling() as call, serving(proper()) as server:
            for method in ("GET", "POST", "GET"):
                await call(server, method)
            assert (len(server.requests), server.connections, call.looked_up) == (3, 1, 1)

    async def test_connection_is_for_one_tls_configuration(self) -> None:
        """A connection is not reused for another CA bundle or server name."""
        async with calling() as call, serving(proper()) as server:
            await call(server)
            await call(server, name="localhost")
            await call(server, ca_bundle=POD.authority + self_signed().pem)
            with pytest.raises(CertificateRefusedError):
                await call(server, ca_bundle=self_signed().pem)
            assert len(server.requests) == 3
            assert server.connections == 3

    async def test_calls_at_once(self) -> None:
        """Concurrent requests have connections of their own."""
        async with calling() as call, serving(proper()) as server:
            answers = await asyncio.gather(*(call(server) for _ in range(30)))
        assert {answer.status for answer in answers} == {200}

    async def test_idle_connection_is_closed(self) -> None:
        """An idle connection is closed within seconds."""
        async with calling(Limits(idle_seconds=0.05)) as call, serving(proper()) as server:
            await call(server)
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_close_ends_connections(self) -> None:
        """After closing, no connection is left, and closing again does nothing."""
        async with calling() as call, serving(proper()) as server:
            await call(server)
            await call.http.close()
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_no_cookies(self) -> None:
        """A cookie that a server sets is not sent back."""
        async with calling() as call, serving(proper(b"{}", "Set-Cookie: tracked=yes; Path=/")) as server:
            await call(server)
            await call(server)
        assert "cookie" not in "".join(server.requests).lower()

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 For ever"])
    async def test_redirect_is_not_followed(self, status: str) -> None:
        """A redirect is returned like any other response."""
        async with calling() as call, serving(proper()) as elsewhere:
            location = f"Location: https://127.0.0.1:{elsewhere.port}/"
            async with serving(proper(b"", location, status=status)) as server:
                assert (await call(server)).status == int(status[:3])
            assert elsewhere.connections == 0

    async def test_environment_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Proxies and certificates that the environment names are not used."""
        for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(variable, "http://127.0.0.1:1")
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        async with calling() as call, serving(proper()) as server:
            assert (await call(server)).status == 200


class TestBounds:
    """Oversized and slow responses."""

    async def test_body(self) -> None:
        """A body may be as large as the limit, and no larger."""
        limits = Limits(total=5.0, body=1000)
        async with calling(limits) as call, serving(proper(b"x" * 1000)) as server:
            assert len((await call(server)).body) == 1000
        async with calling(limits) as call, serving(proper(b"x" * 1001)) as server:
            with pytest.raises(UnacceptableError, match="larger than 1000 bytes") as fault:
                await call(server)
            assert fault.value.sent

    async def test_endless_body(self) -> None:
        """An endless body is read to the limit; then the connection is closed."""

        async def endless(served: Served) -> None:
            await served.request()
            served.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                served.writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                await served.writer.drain()

        async with calling() as call, serving(endless) as server:
            with pytest.raises(UnacceptableError, match="larger than"):
                await call(server)
            await asyncio.wait_for(server.gone.acquire(), 5)

    @pytest.mark.parametrize("size", [1, 15_000], ids=["too many", "too large"])
    async def test_endless_headers(self, size: int) -> None:
        """Endless headers are refused by their number or their size, as one kind of error whichever comes first."""

        async def endless(served: Served) -> None:
            await served.request()
            served.writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                served.writer.write((b"X-Y: " + b"x" * size + b"\r\n") * (100 // size + 1))
                await served.writer.drain()

        async with calling() as call, serving(endless) as server:
            with pytest.raises(UnacceptableError) as fault:
                await call(server)
            assert fault.value.sent
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_overlong_header(self) -> None:
        """A header of absurd length is left out."""
        answer = proper(b"{}", f"X-Long: {'x' * 9000}", "X-Short: y")
        async with calling() as call, serving(answer) as server:
            headers = (await call(server)).headers
        assert "x-long" not in headers
        assert headers["x-short"] == "y"

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, identity"])
    async def test_compressed_body(self, encoding: str) -> None:
        """A compressed body is refused unread: it could expand to any size."""
        async with calling() as call, serving(proper(b"x", f"Content-Encoding: {encoding}")) as server:
            with pytest.raises(UnacceptableError, match="Content-Encoding"):
                await call(server)

    async def test_identity_encoding(self) -> None:
        """Content-Encoding: identity is accepted."""
        async with calling() as call, serving(proper(b"{}", "Content-Encoding: Identity")) as server:
            assert (await call(server)).body == b"{}"

    async def test_dripping_response(self) -> None:
        """A response that arrives byte by byte is bounded as a whole."""

        async def dripping(served: Served) -> None:
            await served.request()
            for byte in proper(b"x" * 1000):
                served.writer.write(bytes([byte]))
                await served.writer.drain()
                await asyncio.sleep(0.01)

        async with calling(Limits(total=0.3)) as call, serving(dripping) as server:
            with pytest.raises(TooSlowError, match=r"^no complete response within 0.3 s$") as fault:
                await call(server)
            assert fault.value.sent
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_no_response(self) -> None:
        """A silent server times out, and its connection is closed."""

        async def silent(served: Served) -> None:
            await served.request()
            await served.reader.read()

        async with calling(Limits(total=0.2)) as call, serving(silent) as server:
            with pytest.raises(TooSlowError) as fault:
                await call(server, "POST", content=b"")
            assert fault.value.sent
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_no_handshake(self) -> None:
        """Without a handshake the request was not sent."""

        async def silent(served: Served) -> None:
            await served.reader.read()

        async with calling(Limits(total=5.0, connect=0.2)) as call, serving(silent, None) as server:
            with pytest.raises(NotConnectedError, match=r"^no TLS connection within 0.2 s$") as fault:
                await call(server)
            assert not fault.value.sent

    async def test_lookup_hangs(self) -> None:
        """A lookup counts for the time limit of the request."""

        async def hanging(_host: str) -> list[str]:
            await asyncio.Event().wait()
            return []

        http = HttpxClient(Resolver(lambda _address, _port: True, lookup=hanging), limits=Limits(total=0.1))
        trust = ServerTrust(ca_bundle=POD.authority, server_name=NAME)
        with pytest.raises(TooSlowError, match=r"^the name was not resolved within 0.1 s$") as fault:
            await http.send(Request(method="POST", url=Url(host="pod.test", port=443, path=""), trust=trust))
        assert not fault.value.sent
        await http.close()

    @virtual_time
    async def test_names_of_a_tenant_hang(self) -> None:
        """However many it calls, it has a share of the lookups."""
        looked_up = list[str]()

        async def lookup(host: str) -> list[str]:
            looked_up.append(host)
            if host != "pod.test":
                await asyncio.Event().wait()
            return []

        async def call(host: str, tenant: str) -> str:
            trust = ServerTrust(ca_bundle=POD.authority, server_name=NAME, tenant=tenant)
            with pytest.raises(HttpError) as fault:
                await http.send(Request(method="GET", url=Url(host=host, port=443, path=""), trust=trust))
            return fault.value.message

        http = HttpxClient(Resolver(lambda _address, _port: True, lookup=lookup))
        calls = [asyncio.create_task(call(f"hang-{index}.test", "a")) for index in range(MAX_LOOKUPS)]
        await asyncio.sleep(1)
        assert await call("pod.test", "b") == "the name does not resolve"
        assert Counter(await asyncio.gather(*calls)) == {
            "the name was not resolved within 10 s": MAX_LOOKUPS * 3 // 4,
            "the name was not looked up, because too many lookups of other names take too long": MAX_LOOKUPS // 4,
        }
        assert len(looked_up) == MAX_LOOKUPS * 3 // 4 + 1
        await http.close()


def cut_after(sent: bytes) -> Script:
    """Return the script of a server that closes the connection after some bytes."""

    async def script(served: Served) -> None:
        await served.request()
        served.writer.write(sent)
        served.writer.write_eof() if served.writer.can_write_eof() else served.writer.close()

    return script


class TestFaults:
    """Requests that fail on the way."""

    async def test_refused(self) -> None:
        """The connection is refused, and the name is looked up again next time."""
        async with serving(proper()) as server:
            pass
        async with calling() as call:
            for _ in range(2):
                with pytest.raises(NotConnectedError, match=r"^connection refused$") as fault:
                    await call(server, "POST", content=b"")
                assert not fault.value.sent
            assert call.looked_up == 2

    async def test_next_address(self) -> None:
        """Of several addresses the first that takes a connection is used."""
        async with calling(None, "127.0.0.2", "127.0.0.1") as call, serving(proper()) as server:
            assert (await call(server, "POST", content=b"")).status == 200

    async def test_unreachable(self) -> None:
        """An unreachable address has a message of its own."""
        async with calling(None, "255.255.255.255") as call, serving(proper()) as server:
            with pytest.raises(NotConnectedError, match=r"^the address cannot be reached$"):
                await call(server)

    async def test_forbidden_address(self) -> None:
        """A host with a loopback address, among others, is not called at all."""
        async with serving(proper()) as server:
            http = HttpxClient(Resolver(lambda _address, _port: False, lookup=_both))
            trust = ServerTrust(ca_bundle=POD.authority, server_name=NAME)
            with pytest.raises(AddressRefusedError):
                await http.send(Request(method="GET", url=server.url, trust=trust))
            await http.close()
            assert server.connections == 0

    async def test_no_tls(self) -> None:
        """Without TLS the request was not sent."""

        async def plain(served: Served) -> None:
            served.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await served.reader.read()

        async with calling() as call, serving(plain, None) as server:
            with pytest.raises(NotConnectedError, match="the TLS handshake failed") as fault:
                await call(server)
            assert not fault.value.sent

    async def test_old_tls(self) -> None:
        """TLS 1.1 is not supported."""
        context = POD.server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1

        async def listening(served: Served) -> None:
            await served.request()

        server = Server(listening)
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        server.port = listener.sockets[0].getsockname()[1]
        async with calling() as call:
            with pytest.raises(NotConnectedError, match=r"must serve HTTPS with TLS 1\.3"):
                await call(server)
        listener.close()
        await listener.wait_closed()

    @pytest.mark.parametrize(
        "sent",
        [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"],
        ids=["nothing", "half a head", "half a body"],
    )
    async def test_cut_off(self, sent: bytes) -> None:
        """A request whose connection breaks counts as sent."""
        async with calling() as call, serving(cut_after(sent)) as server:
            with pytest.raises(BrokenOffError) as fault:
                await call(server, "POST", content=b"")
            assert fault.value.sent

    @pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH\r\n", b"\x00" * 9], ids=["SSH", "zeros"])
    async def test_not_http(self, sent: bytes) -> None:
        """A response that is not HTTP is a response, which the error does not quote."""
        async with calling() as call, serving(cut_after(sent)) as server:
            with pytest.raises(UnacceptableError, match=r"^the response is not HTTP, or its headers are too") as fault:
                await call(server, "POST", content=b"")
            assert fault.value.sent
            assert "SSH" not in "".join(traceback.format_exception(fault.value))

    async def test_closed_while_idle(self) -> None:
        """A connection that the server has closed is not used again."""

        async def once(served: Served) -> None:
            await served.request()
            served.writer.write(proper())
            await served.writer.drain()

        async with calling() as call, serving(once) as server:
            for _ in range(2):
                assert (await call(server, "POST", content=b"")).status == 200
                await asyncio.wait_for(server.gone.acquire(), 5)
            assert server.connections == 2

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_closed_at_the_same_moment(self, method: Literal["GET", "POST"]) -> None:
        """When an idle connection breaks during a request, a GET is repeated and a POST is not."""

        async def twice(served: Served) -> None:
            await served.request()
            served.writer.write(proper())
            await served.request()

        async with calling() as call, serving(twice) as server:
            await call(server)
            if method == "POST":
                with pytest.raises(BrokenOffError) as fault:
                    await call(server, "POST", content=b"")
                assert fault.value.sent
            else:
                assert (await call(server)).status == 200
            assert server.connections == (1 if method == "POST" else 2)

    async def test_cancelled(self) -> None:
        """A cancelled request closes its connection."""
        received = asyncio.Event()

        async def silent(served: Served) -> None:
            await served.request()
            received.set()
            await served.reader.read()

        async with calling() as call, serving(silent) as server:
            task = asyncio.create_task(call(server))
            await received.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.gone.acquire(), 5)

    async def test_errors_reveal_nothing(self) -> None:
        """No error shows the request or the response, neither as text nor in its traceback."""
        head = b"HTTP/1.1 200 OK\r\nX: echo-of-a-secret\r\nContent-Length: 1\r\n\r\nHTTP/garbage echo-of-a-secret"

        async def cutting(served: Served) -> None:
            await served.request()
            served.writer.write(head.replace(b": 1\r", b": 1000\r"))
            await served.writer.drain()

        async with calling() as call, serving(cutting) as server:
            with pytest.raises(HttpError) as fault:
                await call(server)
        shown = "".join(traceback.format_exception(fault.value))
        assert "secret" not in shown.replace("test_http.py", "")
        assert "secret" not in repr(Response(status=200, headers={"x": "secret"}, body=b"secret"))


class TestCertificates:
    """How server certificates are verified."""

    @pytest.mark.parametrize(
        ("shown", "ca_bundle", "name", "message"),
        [
            (POD, self_signed().pem, NAME, "not signed by a trusted CA"),
            (POD, None, NAME, "not signed by a trusted CA"),
            (signed_by(self_signed("ca"), NAME), POD.pem, NAME, "not signed by a trusted CA"),
            (POD, POD.pem, "pod.test", "not for the name pod.test"),
            (POD, POD.pem, "192.0.2.7", "not for the name 192.0.2.7"),
        ],
        ids=["another", "system", "another CA", "another name", "another address"],
    )
    async def test_refused(self, shown: Certificate, ca_bundle: str | None, name: str, message: str) -> None:
        """An untrusted certificate fails the request before it is sent."""
        async with calling() as call, serving(proper(), shown) as server:
            with pytest.raises(CertificateRefusedError, match=message) as fault:
                await call(server, ca_bundle=ca_bundle, name=name)
            assert not fault.value.sent
            assert not server.requests

    @pytest.mark.parametrize(
        ("start", "message"),
        [(timedelta(days=-60), "has expired"), (timedelta(days=1), "is not valid yet")],
    )
    async def test_out_of_date(self, start: timedelta, message: str) -> None:
        """An expired or future certificate is refused."""
        old = self_signed(start=datetime.now(UTC) + start)
        async with calling() as call, serving(proper(), old) as server:
            with pytest.raises(CertificateRefusedError, match=message):
                await call(server, ca_bundle=old.pem)

    async def test_accepted(self) -> None:
        """The CA bundle can hold a self-signed certificate, the CA, or the leaf without its CA."""
        authority = self_signed("ca")
        leaf = signed_by(authority, NAME)
        for shown, trusted in ((POD, POD.pem), (leaf, authority.pem), (leaf, leaf.pem), (leaf, POD.pem + leaf.pem)):
            async with calling() as call, serving(proper(), shown) as server:
                assert (await call(server, ca_bundle=trusted)).status == 200

    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
    async def test_other_names(self, name: str) -> None:
        """The server name can be any of the certificate's, an address, too."""
        async with calling() as call, serving(proper()) as server:
            assert (await call(server, name=name)).status == 200

    async def test_plain_self_signed(self) -> None:
        """A self-signed certificate without CA flag and with a common name only is accepted."""
        plain = _bare_certificate(NAME)
        async with calling() as call, serving(proper(), plain) as server:
            assert (await call(server, ca_bundle=plain.pem)).status == 200
            with pytest.raises(CertificateRefusedError):
                await call(server, ca_bundle=plain.pem, name="other")

    async def test_unreadable_ca_bundle(self) -> None:
        """An unreadable CA bundle fails the request at once."""
        async with calling() as call, serving(proper()) as server:
            with pytest.raises(CABundleError, match="holds no certificate in PEM form"):
                await call(server, ca_bundle="nonsense")
            assert server.connections == 0

    @pytest.mark.parametrize("name", ["", ".", "-", "a" * 64 + ".test", "a" * 254, "nul\x00", "*.test", "é"])
    async def test_impossible_name(self, name: str) -> None:
        """A server name that cannot be verified fails the request."""
        async with calling() as call, serving(proper()) as server:
            with pytest.raises(HttpError) as fault:
                await call(server, name=name)
            assert not fault.value.sent
            assert not server.requests


async def _both(_host: str) -> list[str]:
    return ["192.0.2.7", "127.0.0.1"]


def _bare_certificate(name: str) -> Certificate:
    """Return what `openssl req -x509` makes with a minimal configuration."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    pem = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Certificate(pem=pem, authority=pem, private=private)


def test_request_is_not_shown() -> None:
    """A request's repr shows where it goes, and nothing that can hold credentials."""
    request = Request(
        method="POST",
        url=Url(host="pod.test", port=443, path="/v1"),
        trust=ServerTrust(ca_bundle=None, server_name=NAME),
        headers={"Authorization": "hunter2"},
        query={"appsecret_proof": "hunter2"},
        content=b"hunter2",
    )
    assert "hunter2" not in repr(request)
    assert "pod.test" in repr(request)
