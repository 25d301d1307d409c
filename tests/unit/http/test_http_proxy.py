"""Requests through a proxy, as the proxy and the server behind it see them."""

import asyncio
import base64
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from bek_operator.http.client import HttpxClient, Limits
from bek_operator.http.errors import (
    AddressRefusedError,
    BrokenOffError,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.handshakes import FAILURE_THRESHOLD
from bek_operator.http.interface import Request, Response
from bek_operator.http.resolver import Resolver
from bek_operator.http.routes import ProxyRoutes
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.proxy import parse_proxy
from bek_operator.net.url import Url
from support.simulators import faults
from support.simulators.cloud import Cloud
from support.simulators.cloud_number import CloudNumber
from support.tls import self_signed
from unit.http.scripted_server import ScriptedServer, Served, listening
from unit.http.tunnel import tunnel

HOST = "graph.facebook.com"
SECRET = "Bearer top.secret.token"
OTHER_AUTHORITY = self_signed().authority


@pytest.fixture(name="cloud", scope="module")
def cloud_fixture() -> Iterator[Cloud]:
    """Provide an API that only the proxy can resolve."""
    with Cloud(["+15550001111"]) as cloud:
        yield cloud


@pytest.fixture(name="number")
def number_fixture(cloud: Cloud) -> CloudNumber:
    """Provide its number, without recorded requests."""
    cloud.heal()
    cloud.forget_requests()
    return cloud["+15550001111"]


async def nowhere(host: str) -> list[str]:
    """Fail: the proxy resolves names."""
    raise AssertionError(host)


@asynccontextmanager
async def calling(url: str, limits: Limits | None = None) -> AsyncIterator[HttpxClient]:
    """Make a client that goes through a proxy."""
    addresses = Resolver(lambda _address, _port: False, lookup=nowhere)
    http = HttpxClient(addresses, limits=limits or Limits(total=5.0, connect=5.0), proxy=parse_proxy(url))
    try:
        yield http
    finally:
        await http.close()


async def call(
    http: HttpxClient,
    cloud: Cloud,
    method: Literal["GET", "POST"] = "GET",
    *,
    host: str = HOST,
    server_name: str = HOST,
    authority: str | None = None,
) -> Response:
    """Send a request that carries secrets."""
    request = Request(
        method=method,
        url=Url(host=host, port=cloud.port, path=cloud.path("+15550001111")),
        trust=ServerTrust(ca_bundle=authority or cloud.certificate.authority, server_name=server_name),
        headers={"Authorization": SECRET},
        query={"appsecret_proof": "top secret & proof"},
        content=b"" if method == "POST" else None,
    )
    return await http.send(request)


async def test_tunnel(cloud: Cloud, number: CloudNumber) -> None:
    """The proxy opens a tunnel to the name, and does not see the request; requests share the tunnel."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        for method in ("GET", "POST", "GET"):
            assert (await call(http, cloud, method)).status == 401
        assert proxy.targets == [f"{HOST}:{cloud.port}"]
        assert "secret" not in "".join(proxy.heads)
        assert "proxy-authorization" not in proxy.heads[0].lower()
    assert [(one.method, one.host, one.server_name) for one in number.requests] == [
        (method, f"{HOST}:{cloud.port}", HOST) for method in ("GET", "POST", "GET")
    ]
    assert {one.parameters for one in number.requests} == {("appsecret_proof",)}


async def test_query(cloud: Cloud, number: CloudNumber, caplog: pytest.LogCaptureFixture) -> None:
    """Query parameters arrive, and are not logged."""
    caplog.set_level(logging.DEBUG)
    token = cloud.token()
    async with tunnel() as proxy, calling(proxy.url) as http:
        request = Request(
            method="GET",
            url=Url(host=HOST, port=cloud.port, path=cloud.path(number.number)),
            trust=ServerTrust(ca_bundle=cloud.certificate.authority, server_name=HOST),
            headers={"Authorization": f"Bearer {token.text}"},
            query={"appsecret_proof": token.proof, "fields": "business_public_key, business_public_key"},
        )
        answer = await http.send(request)
    assert answer.status == 200
    assert token.proof not in caplog.text
    assert token.text not in caplog.text


async def test_login(cloud: Cloud) -> None:
    """The proxy gets the credentials of its URL."""
    async with tunnel() as proxy, calling(proxy.url.replace("//", "//user:p%40ss@")) as http:
        await call(http, cloud)
        assert f"proxy-authorization: basic {base64.b64encode(b'user:p@ss').decode()}".lower() in proxy.heads[0].lower()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 secret\r\nContent-Length: 0\r\n\r\n", "the proxy refused the tunnel (HTTP 407)"),
        (b"HTTP/1.1 503 secret\r\nContent-Length: 0\r\n\r\n", "the proxy refused the tunnel (HTTP 503)"),
        (b"", "the proxy: the connection broke, or the response was not HTTP"),
        (b"SSH-2.0-secret\r\n\r\n", "the proxy: the connection broke, or the response was not HTTP"),
    ],
)
async def test_no_tunnel(cloud: Cloud, method: Literal["GET", "POST"], answer: bytes, message: str) -> None:
    """The message names the proxy and does not quote it; the request was not sent."""
    async with tunnel() as proxy, calling(proxy.url.replace("//", "//user:top-secret@")) as http:
        proxy.answer = answer
        with pytest.raises(NotConnectedError) as fault:
            await call(http, cloud, method)
        assert (str(fault.value), fault.value.sent) == (message, False)
        shown = "".join(traceback.format_exception(fault.value))
        assert "secret" not in shown
        await asyncio.wait_for(proxy.gone.acquire(), 5)


async def test_silent_proxy(cloud: Cloud) -> None:
    """A silent proxy times out; the request was not sent."""
    async with tunnel() as proxy, calling(proxy.url, Limits(total=0.2)) as http:
        proxy.silent = True
        with pytest.raises(TooSlowError, match=r"^no tunnel through the proxy within 0.2 s$") as fault:
            await call(http, cloud, "POST")
        assert not fault.value.sent
        await asyncio.wait_for(proxy.gone.acquire(), 5)


async def test_no_proxy(cloud: Cloud) -> None:
    """The message says that the proxy refused the connection."""
    async with tunnel() as proxy:
        pass
    async with calling(proxy.url) as http:
        with pytest.raises(NotConnectedError, match=r"^the proxy: connection refused$") as fault:
            await call(http, cloud, "POST")
        assert not fault.value.sent


async def test_server_behind(cloud: Cloud, number: CloudNumber) -> None:
    """Faults of the server behind the proxy are reported as without one."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        number.fail("publish", faults.CutOff())
        with pytest.raises(BrokenOffError) as fault:
            await call(http, cloud, "POST")
        assert fault.value.sent
        await asyncio.wait_for(proxy.gone.acquire(), 5)
    async with tunnel() as proxy, calling(proxy.url, Limits(total=0.5)) as http:
        number.fail("publish", faults.Hang())
        with pytest.raises(TooSlowError) as slow:
            await call(http, cloud, "POST")
        assert slow.value.sent


async def test_certificate_behind(cloud: Cloud, number: CloudNumber) -> None:
    """The certificate of the server behind the proxy is verified, for the host of the URL only."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        with pytest.raises(CertificateRefusedError, match="not signed by a trusted CA"):
            await call(http, cloud, authority=self_signed().authority)
        with pytest.raises(CertificateRefusedError, match=f"is not for the name other\\.{HOST}"):
            await call(http, cloud, host=f"other.{HOST}", server_name=f"other.{HOST}")
        with pytest.raises(CertificateRefusedError, match="for the host's own name only"):
            await call(http, cloud, server_name="localhost")
    assert number.requests == []


async def test_handshakes_behind(cloud: Cloud) -> None:
    """A server that is backed off is not called through a proxy, either."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        for _ in range(FAILURE_THRESHOLD + 2):
            with pytest.raises(CertificateRefusedError, match="not signed by a trusted CA"):
                await call(http, cloud, authority=OTHER_AUTHORITY)
        assert len(proxy.targets) == FAILURE_THRESHOLD


@pytest.mark.parametrize(
    ("head", "piece", "message"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", "larger than 320 KiB"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", "its headers are too many"),
    ],
    ids=["responses", "headers"],
)
async def test_flood_behind(head: bytes, piece: bytes, message: str) -> None:
    """An endless response is ended there as well."""

    async def script(served: Served) -> None:
        await served.answer(head)
        while not served.writer.transport.is_closing():
            await served.say(piece * 50)
            await asyncio.sleep(0)

    certificate = self_signed(HOST)
    async with (
        listening(ScriptedServer(script), certificate.server_context()) as server,
        tunnel() as proxy,
        calling(proxy.url) as http,
    ):
        url = Url(host=HOST, port=server.port, path="")
        trust = ServerTrust(ca_bundle=certificate.authority, server_name=HOST)
        with pytest.raises(UnacceptableError, match=message) as fault:
            await http.send(Request(method="GET", url=url, trust=trust))
        assert fault.value.sent


async def test_literal_address(cloud: Cloud) -> None:
    """A literal address is checked before the proxy is called."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        with pytest.raises(AddressRefusedError, match="loopback"):
            await call(http, cloud, host="127.0.0.1", server_name="127.0.0.1")
        assert proxy.targets == []


async def test_tls_to_the_proxy(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of a proxy with TLS is verified with the system's CAs, for the proxy's name."""
    certificate = self_signed("localhost")
    authority = tmp_path / "ca.pem"
    authority.write_text(certificate.authority)
    context = certificate.server_context()
    async with tunnel(context) as proxy:
        async with calling(proxy.url) as http:
            with pytest.raises(NotConnectedError, match=r"^the proxy: its certificate is not trusted$") as fault:
                await call(http, cloud, "POST")
            assert not fault.value.sent
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        async with calling(proxy.url) as http:
            for _ in range(2):
                assert (await call(http, cloud)).status == 401
            assert len(proxy.targets) == 1


class FakeClient:
    """A fake client with a status of its own."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.closed = False
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        """Answer."""
        self.requests.append(request)
        return Response(status=self.status)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        (HOST, False),
        ("waba-v2.360dialog.io", False),
        ("gateway.messaging.svc", True),
        ("gateway.messaging.svc.cluster.local", True),
        ("svc.example", False),
        ("192.0.2.7", False),
    ],
)
async def test_routes(host: str, direct: bool) -> None:  # noqa: FBT001 - an expectation
    """Services of the cluster are called directly; no proxy can resolve them."""
    here, there = FakeClient(1), FakeClient(2)
    routes = ProxyRoutes(here, there)
    url = Url(host=host, port=443, path="")
    request = Request(method="GET", url=url, trust=ServerTrust(ca_bundle=None, server_name=host), query={"a": "b"})
    assert (await routes.send(request)).status == (1 if direct else 2)
    assert (here if direct else there).requests == [request]
    await routes.close()
    assert here.closed
    assert there.closed


def test_proxy_is_not_shown() -> None:
    """The client's repr does not show the proxy's password."""
    http = HttpxClient(Resolver(lambda _address, _port: False), proxy=parse_proxy("http://user:hunter2@proxy.test"))
    assert "hunter2" not in repr(vars(http))
    assert issubclass(NotConnectedError, HttpError)
