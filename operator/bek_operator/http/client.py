"""The HTTPS client.

It uses httpx's transports rather than its client, so that there are no cookies, redirects, `.netrc` or proxy variables
to switch off. Each transport carries one connection; idle ones are pooled here.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, cast

import httpx

from bek_operator.http.errors import (
    BrokenOffError,
    CABundleError,
    CertificateFault,
    CertificateRefusedError,
    NotConnectedError,
    UnacceptableError,
)
from bek_operator.http.httpx_errors import Progress
from bek_operator.http.interface import Request, Response
from bek_operator.http.metered_tls import HandshakeLimiter, MeteredContext
from bek_operator.http.pool import IdlePool
from bek_operator.http.resolver import Resolver, is_literal
from bek_operator.http.tls_contexts import TLSContexts, make_context
from bek_operator.http.transport import Transport
from bek_operator.http.turns import Turns
from bek_operator.net.proxy import Proxy
from bek_operator.net.url import Url

_MAX_HEADER_BYTES = 8192
_MAX_ADDRESSES_TRIED = 4

_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_SERVER_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a request.

    Attributes:
        total: Seconds for the whole request: DNS lookup, connecting, sending, and reading all of the response.
        connect: Seconds for connecting to one of a host's addresses, and again for the TLS handshake.
        body: Bytes of a response body.
        idle_seconds: How long an idle connection is kept; many servers close theirs after five seconds, and a request
            sent at that moment is lost.
        idle_connections: How many idle connections are kept in all.
    """

    total: float = 10.0
    connect: float = 4.0
    body: int = 64 * 1024
    idle_seconds: float = 4.0
    idle_connections: int = 100


class _ConnectionKey(NamedTuple):
    """Connections are reused for requests with the same key only; what is trusted must be the same, too."""

    host: str
    port: int
    address: str
    server_name: str
    ca_digest: bytes | None
    tenant: str


class HttpxClient:
    """Sends requests over HTTPS: no redirects, no cookies; bounded in time and size.

    With a proxy every request goes through it, and it is the proxy that resolves names: their addresses cannot be
    checked here. Without one, none is used, whatever the environment says. `may_send` is asked at the last moment,
    when there is a connection.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        user_agent: str = "bek-operator",
        limits: Limits | None = None,
        proxy: Proxy | None = None,
        may_send: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._resolver = resolver
        self._limits = limits or Limits()
        self._user_agent = user_agent
        self._may_send = may_send
        self._turns = Turns()
        self._contexts = TLSContexts(self._turns)
        self._handshakes: HandshakeLimiter[_ConnectionKey] = HandshakeLimiter(self._turns, clock, cpu)
        self._proxy = self._proxy_for(proxy) if proxy else None
        self._idle: IdlePool[_ConnectionKey, httpx.AsyncBaseTransport] = IdlePool(
            _close, seconds=self._limits.idle_seconds, size=self._limits.idle_connections
        )

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response; see `HttpClient`."""
        progress = Progress(proxied=self._proxy is not None, may_send=self._may_send)
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._send_to_any(request, progress)
        except TimeoutError:
            timed_out = progress.timeout_error(self._limits.total)
        raise timed_out

    async def close(self) -> None:
        """Close every connection; a second call does nothing."""
        await self._idle.close()
        await self._resolver.close()
        await self._contexts.close()
        self._turns.close()

    async def _send_to_any(self, request: Request, progress: Progress) -> Response:
        """Send a request to the first of the host's addresses that takes a connection."""
        if not _SERVER_NAME.fullmatch(request.trust.server_name):
            # Without a name httpx would verify the certificate for the address.
            raise CertificateRefusedError("the server name for TLS is not a valid host name", CertificateFault.NAME)
        if self._proxy and request.trust.server_name != request.url.host:
            raise CertificateRefusedError(
                "through a proxy the certificate can be verified for the host's own name only; remove the server name",
                CertificateFault.NAME,
            )
        try:
            context = await self._contexts.of(request.trust)
        except ValueError as fault:
            raise CABundleError(f"the CA bundle {fault}") from None
        failed = NotConnectedError("the name does not resolve")
        trust = request.trust
        for address in (await self._destinations(request.url, trust.tenant))[:_MAX_ADDRESSES_TRIED]:
            key = _ConnectionKey(
                request.url.host, request.url.port, address, trust.server_name, trust.ca_digest, trust.tenant
            )
            try:
                return await self._send_to(key, context, request, progress)
            except NotConnectedError as fault:
                failed = fault
        self._resolver.forget(request.url.host, request.url.port)
        raise failed

    async def _destinations(self, url: Url, tenant: str) -> tuple[str, ...]:
        """Return what to connect to: addresses that passed the checks, or a name for the proxy to resolve."""
        if self._proxy and not is_literal(url.host):
            return (url.host,)
        return await self._resolver.resolve(url.host, url.port, tenant)

    async def _send_to(
        self, key: _ConnectionKey, context: MeteredContext, request: Request, progress: Progress
    ) -> Response:
        used = self._idle.take(key)
        if used and request.method == "GET":
            # The server may have closed the connection at this very moment; a GET can be repeated.
            with suppress(BrokenOffError):
                return await self._send_over(used, key, request, progress)
            used = None
        return await self._send_over(used or self._connection(key, context), key, request, progress)

    def _connection(self, key: _ConnectionKey, context: MeteredContext) -> httpx.AsyncBaseTransport:
        """Return the transport for a new connection.

        Raises:
            HttpError: No handshake with this server can start now.
        """
        self._handshakes.check(key, key.tenant)
        seconds = self._limits.idle_seconds
        if not self._proxy:
            return Transport(context, idle_seconds=seconds)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=seconds)
        return httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=self._proxy)

    async def _send_over(
        self, transport: httpx.AsyncBaseTransport, key: _ConnectionKey, request: Request, progress: Progress
    ) -> Response:
        good = False
        try:
            with (
                self._handshakes.metered(key, key.tenant),
                progress.translate_errors(request.trust.server_name, self._limits.connect),
            ):
                response = await transport.handle_async_request(self._build_request(request, key.address, progress))
                received = await self._receive(response)
            good = True
        finally:
            if not good:
                await _close(transport)
        await self._idle.keep(key, transport)
        return received

    def _build_request(self, request: Request, address: str, progress: Progress) -> httpx.Request:
        """Return the request for an address that passed the checks, with the host name of the URL."""
        url = _url(address, request.url.port, request.url.target)
        # Through a proxy httpx would use the name for the proxy's own certificate, too; there it equals the URL's host.
        name = {} if self._proxy else {"sni_hostname": request.trust.server_name}
        return httpx.Request(
            request.method,
            url.copy_with(params=request.query) if request.query else url,
            headers={
                "Host": request.url.authority,
                "User-Agent": self._user_agent,
                "Accept": "application/json",
                # The size of a compressed body is unknown before it is decompressed.
                "Accept-Encoding": "identity",
                **request.headers,
            },
            content=request.content,
            extensions={
                **name,
                # All later stages are bounded by the limit on the whole request.
                "timeout": {"connect": self._limits.connect},
                "trace": progress,
            },
        )

    async def _receive(self, response: httpx.Response) -> Response:
        # Not `Headers.get()`, which takes a twentieth of the CPU of a request.
        fields = [(name.decode("latin-1").lower(), value) for name, value in response.headers.raw]
        try:
            if any(name == "content-encoding" and value.strip().lower() != b"identity" for name, value in fields):
                raise UnacceptableError("the response has a Content-Encoding, which was not requested", sent=True)
            body = bytearray()
            # Not `aiter_raw()`, which takes as much CPU as parsing the response.
            async for chunk in cast("httpx.AsyncByteStream", response.stream):
                body += chunk
                if len(body) > self._limits.body:
                    raise UnacceptableError(f"the response is larger than {self._limits.body} bytes", sent=True)
        finally:
            await response.aclose()
        headers = {name: value.decode("latin-1") for name, value in fields if len(value) <= _MAX_HEADER_BYTES}
        return Response(status=response.status_code, headers=headers, body=bytes(body))

    @staticmethod
    def _proxy_for(proxy: Proxy) -> httpx.Proxy:
        # The proxy's certificate is verified with the system's CAs.
        return httpx.Proxy(
            httpx.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port),
            ssl_context=make_context(None) if proxy.scheme == "https" else None,
            auth=None if proxy.username is None else (proxy.username, proxy.password.reveal()),
        )


@lru_cache(4096)
def _url(address: str, port: int, target: str) -> httpx.URL:
    """Return the URL of a request; cached, because httpx takes as long to parse it as to send the request."""
    return httpx.URL(scheme="https", host=address, port=port, raw_path=target.encode())


async def _close(transport: httpx.AsyncBaseTransport) -> None:
    with suppress(httpx.HTTPError, OSError):
        await transport.aclose()
