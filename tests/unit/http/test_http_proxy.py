"""Calls through a proxy, as it and the server behind it see them."""

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
from bek_operator.http.exchange import (
    AddressRefusedError,
    BrokenOffError,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    Response,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.handshakes import FAILURES
from bek_operator.http.resolver import Addresses
from bek_operator.http.routes import Routes
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.proxy import parse_proxy
from bek_operator.net.url import Url
from support import faults
from support.cloud import Cloud
from support.cloud_number import CloudNumber
from support.scripted import ScriptedServer, Served, listening
from support.tls import self_signed
from support.tunnel import tunnel

HOST = "graph.facebook.com"
SECRET = "Bearer top.secret.token"
OTHER_AUTHORITY = self_signed().authority


@pytest.fixture(name="cloud", scope="module")
def cloud_fixture() -> Iterator[Cloud]:
    """An API that only the proxy finds."""
    with Cloud(["+15550001111"]) as cloud:
        yield cloud


@pytest.fixture(name="number")
def number_fixture(cloud: Cloud) -> CloudNumber:
    """Its number, without records."""
    cloud.heal()
    cloud.forget_requests()
    return cloud["+15550001111"]


async def nowhere(host: str) -> list[str]:
    """Look up no name: that is the proxy's part."""
    raise AssertionError(host)


@asynccontextmanager
async def calling(url: str, limits: Limits | None = None) -> AsyncIterator[HttpxClient]:
    """Make a client that goes through a proxy."""
    addresses = Addresses(lambda _address, _port: False, lookup=nowhere)
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
    return await http.request(
        method,
        Url(host=host, port=cloud.port, path=cloud.path("+15550001111")),
        Trust(ca_bundle=authority or cloud.certificate.authority, server_name=server_name),
        headers={"Authorization": SECRET},
        query={"appsecret_proof": "top secret & proof"},
        content=b"" if method == "POST" else None,
    )


async def test_tunnel(cloud: Cloud, number: CloudNumber) -> None:
    """The proxy is asked for a tunnel to the name, and sees nothing of what goes through; calls share it."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        for method in ("GET", "POST", "GET"):
            assert (await call(http, cloud, method)).status == 401
        assert proxy.check_requested == [f"{HOST}:{cloud.port}"]
        assert "secret" not in "".join(proxy.heads)
        assert "proxy-authorization" not in proxy.heads[0].lower()
    assert [(one.method, one.host, one.server_name) for one in number.requests] == [
        (method, f"{HOST}:{cloud.port}", HOST) for method in ("GET", "POST", "GET")
    ]
    assert {one.parameters for one in number.requests} == {("appsecret_proof",)}


async def test_query(cloud: Cloud, number: CloudNumber, caplog: pytest.LogCaptureFixture) -> None:
    """Parameters arrive as they are meant, and are in no log."""
    caplog.set_level(logging.DEBUG)
    token = cloud.token()
    async with tunnel() as proxy, calling(proxy.url) as http:
        answer = await http.request(
            "GET",
            Url(host=HOST, port=cloud.port, path=cloud.path(number.number)),
            Trust(ca_bundle=cloud.certificate.authority, server_name=HOST),
            headers={"Authorization": f"Bearer {token.text}"},
            query={"appsecret_proof": token.proof, "fields": "business_public_key, business_public_key"},
        )
    assert answer.status == 200
    assert token.proof not in caplog.text
    assert token.text not in caplog.text


async def test_login(cloud: Cloud) -> None:
    """The proxy is told who asks."""
    async with tunnel() as proxy, calling(proxy.url.replace("//", "//user:p%40ss@")) as http:
        await call(http, cloud)
        assert f"proxy-authorization: basic {base64.b64encode(b'user:p@ss').decode()}".lower() in proxy.heads[0].lower()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 secret\r\nContent-Length: 0\r\n\r\n", "the proxy refuses the way there (HTTP 407)"),
        (b"HTTP/1.1 503 secret\r\nContent-Length: 0\r\n\r\n", "the proxy refuses the way there (HTTP 503)"),
        (b"", "the proxy: the connection broke off, or what came over it was not HTTP"),
        (b"SSH-2.0-secret\r\n\r\n", "the proxy: the connection broke off, or what came over it was not HTTP"),
    ],
)
async def test_no_tunnel(cloud: Cloud, method: Literal["GET", "POST"], answer: bytes, message: str) -> None:
    """A proxy that does not open a tunnel is named, and surely nothing was sent; what it wrote is not repeated."""
    async with tunnel() as proxy, calling(proxy.url.replace("//", "//user:top-secret@")) as http:
        proxy.answer = answer
        with pytest.raises(NotConnectedError) as fault:
            await call(http, cloud, method)
        assert (str(fault.value), fault.value.sent) == (message, False)
        shown = "".join(traceback.format_exception(fault.value))
        assert "secret" not in shown
        await asyncio.wait_for(proxy.gone.acquire(), 5)


async def test_silent_proxy(cloud: Cloud) -> None:
    """A proxy that says nothing is given up, and surely nothing was sent."""
    async with tunnel() as proxy, calling(proxy.url, Limits(total=0.2)) as http:
        proxy.silent = True
        with pytest.raises(TooSlowError, match=r"^no way through the proxy within 0.2 s$") as fault:
            await call(http, cloud, "POST")
        assert not fault.value.sent
        await asyncio.wait_for(proxy.gone.acquire(), 5)


async def test_no_proxy(cloud: Cloud) -> None:
    """A proxy that is not there is told from a server that is not."""
    async with tunnel() as proxy:
        pass
    async with calling(proxy.url) as http:
        with pytest.raises(NotConnectedError, match=r"^the proxy: connection refused$") as fault:
            await call(http, cloud, "POST")
        assert not fault.value.sent


async def test_server_behind(cloud: Cloud, number: CloudNumber) -> None:
    """What the server behind the proxy does counts as ever."""
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
    """The server behind the proxy must prove who it is, for the name that it is called by and no other."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        with pytest.raises(CertificateRefusedError, match="not from an authority that is trusted"):
            await call(http, cloud, authority=self_signed().authority)
        with pytest.raises(CertificateRefusedError, match=f"is not for the name other\\.{HOST}"):
            await call(http, cloud, host=f"other.{HOST}", server_name=f"other.{HOST}")
        with pytest.raises(CertificateRefusedError, match="for the host's own name only"):
            await call(http, cloud, server_name="localhost")
    assert number.requests == []


async def test_handshakes_behind(cloud: Cloud) -> None:
    """Handshakes that fail again and again are limited through a proxy, too: it is not asked for the next tunnel."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        for _ in range(FAILURES + 2):
            with pytest.raises(CertificateRefusedError, match="not from an authority that is trusted"):
                await call(http, cloud, authority=OTHER_AUTHORITY)
        assert len(proxy.check_requested) == FAILURES


async def test_flood_behind() -> None:
    """An answer without end is given up there as well."""

    async def script(served: Served) -> None:
        await served.request()
        while not served.writer.transport.is_closing():
            await served.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)
            await asyncio.sleep(0)

    certificate = self_signed(HOST)
    async with (
        listening(ScriptedServer(script), certificate.server_context()) as server,
        tunnel() as proxy,
        calling(proxy.url) as http,
    ):
        url = Url(host=HOST, port=server.port, path="")
        trust = Trust(ca_bundle=certificate.authority, server_name=HOST)
        with pytest.raises(UnacceptableError, match="larger than 320 KiB") as fault:
            await http.request("GET", url, trust, headers={})
        assert fault.value.sent


async def test_literal_address(cloud: Cloud) -> None:
    """Where no name hides it, an address is judged before the proxy is asked."""
    async with tunnel() as proxy, calling(proxy.url) as http:
        with pytest.raises(AddressRefusedError, match="loopback"):
            await call(http, cloud, host="127.0.0.1", server_name="127.0.0.1")
        assert proxy.check_requested == []


async def test_tls_to_the_proxy(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy may be spoken to by TLS; its certificate must be one that the system trusts, for its own name."""
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
            assert len(proxy.check_requested) == 1


class Named:
    """A caller that answers with a status of its own."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.closed = False
        self.query: object = None

    async def request(self, *_: object, query: object = None, **__: object) -> Response:
        """Answer."""
        self.query = query
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
    """Services of the cluster are called directly; no proxy knows them."""
    here, there = Named(1), Named(2)
    routes = Routes(here, there)
    url = Url(host=host, port=443, path="")
    answer = await routes.request("GET", url, Trust(ca_bundle=None, server_name=host), headers={}, query={"a": "b"})
    assert answer.status == (1 if direct else 2)
    assert (here if direct else there).query == {"a": "b"}
    await routes.close()
    assert here.closed
    assert there.closed


def test_proxy_is_not_shown() -> None:
    """Whoever looks at the client does not see the proxy's password."""
    http = HttpxClient(Addresses(lambda _address, _port: False), proxy=parse_proxy("http://user:hunter2@proxy.test"))
    assert "hunter2" not in repr(vars(http))
    assert issubclass(NotConnectedError, HttpError)
