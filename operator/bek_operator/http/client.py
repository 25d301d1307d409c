"""HTTP: the one place where something goes over the wire; with its faults the only one that knows the library.

Knows nothing of what is said. It uses httpx below its client, at the transport, where there are no cookies, no
redirects, no `.netrc` and no proxy variables that would have to be switched off. Each transport carries one connection:
what waits for its next use, and for how long, is decided here.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, cast

import httpx

from bek_operator.http.errors import Progress
from bek_operator.http.exchange import (
    BrokenOffError,
    CABundleError,
    CertificateFault,
    CertificateRefusedError,
    NotConnectedError,
    Response,
    UnacceptableError,
)
from bek_operator.http.metered_tls import RolloutGate
from bek_operator.http.pool import IdlePool
from bek_operator.http.resolver import Addresses, is_literal
from bek_operator.http.tls_contexts import TLSContexts
from bek_operator.http.transport import Transport
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.proxy import Proxy
from bek_operator.net.url import Url

_LONGEST_HEADER = 8192
_ADDRESSES_TRIED = 4

_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_SERVER_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may take.

    Attributes:
        total: Seconds for the whole call: looking up the name, connecting, sending, and all of the answer.
        connect: Seconds for connecting to one of a host's addresses, and again for the TLS handshake.
        body: Bytes of an answer.
        idle_seconds: How long a connection waits for its next use; many servers close theirs after five seconds,
            and a request that meets that moment is lost.
        idle_connections: How many may wait in all.
    """

    total: float = 10.0
    connect: float = 4.0
    body: int = 64 * 1024
    idle_seconds: float = 4.0
    idle_connections: int = 100


class _ConnectionKey(NamedTuple):
    """What a connection may be used for."""

    host: str
    port: int
    address: str
    trust: Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request; how far it came is the only thing about it that changes."""

    method: str
    url: Url
    trust: Trust
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] | None = field(repr=False)
    content: bytes | None = field(repr=False)
    progress: Progress


class HttpxClient:
    """Carry exchanges over HTTPS: no redirects, no cookies; bounded in time and size.

    With a proxy everything goes through that, and it is the proxy that looks up names: where they lead cannot be
    judged here. Without one, none is used, whatever the environment says.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        user_agent: str = "bek-operator",
        limits: Limits | None = None,
        proxy: Proxy | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._addresses = addresses
        self._limits = limits or Limits()
        self._user_agent = user_agent
        self._contexts = TLSContexts()
        self._gate: RolloutGate[_ConnectionKey] = RolloutGate(clock, cpu)
        self._proxy = self._prepared_proxy(proxy) if proxy else None
        self._idle: IdlePool[_ConnectionKey, httpx.AsyncBaseTransport] = IdlePool(
            _close, seconds=self._limits.idle_seconds, size=self._limits.idle_connections
        )

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        trust: Trust,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Send one request and return the whole answer; see `Caller`."""
        call = _Call(
            method=method,
            url=url,
            trust=trust,
            headers=headers,
            query=query,
            content=content,
            progress=Progress(proxied=self._proxy is not None),
        )
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._request(call)
        except TimeoutError:
            too_slow = call.progress.too_slow(self._limits.total)
        raise too_slow

    async def close(self) -> None:
        """End every connection; a second time does nothing."""
        await self._idle.close()
        await self._addresses.close()

    async def _request(self, call: _Call) -> Response:
        if not _SERVER_NAME.fullmatch(call.trust.server_name):
            # Without a name httpx would check the certificate for the address.
            raise CertificateRefusedError(
                "there is no proper name to check the server's certificate for", CertificateFault.NAME
            )
        if self._proxy and call.trust.server_name != call.url.host:
            raise CertificateRefusedError(
                "through a proxy a certificate can be checked for the host's own name only", CertificateFault.NAME
            )
        try:
            context = self._contexts.of(call.trust)
        except ValueError as fault:
            raise CABundleError(f"the entry with the certificates to trust {fault}") from None
        failed = NotConnectedError("the name does not resolve")
        for address in (await self._destinations(call.url))[:_ADDRESSES_TRIED]:
            limiter_key = _ConnectionKey(call.url.host, call.url.port, address, call.trust)
            try:
                return await self._exchange(limiter_key, context, call)
            except NotConnectedError as fault:
                failed = fault
        self._addresses.forget(call.url.host, call.url.port)
        raise failed

    async def _destinations(self, url: Url) -> tuple[str, ...]:
        """Return what to connect to: addresses that were judged, or a name for the proxy to look up."""
        if self._proxy and not is_literal(url.host):
            return (url.host,)
        return await self._addresses.of(url.host, url.port)

    async def _exchange(self, limiter_key: _ConnectionKey, context: ssl.SSLContext, call: _Call) -> Response:
        used = self._idle.take(limiter_key)
        if used and call.method == "GET":
            # The server may have closed the connection at this very moment; asking once more changes nothing there.
            with suppress(BrokenOffError):
                return await self._carry(limiter_key, used, call)
            used = None
        return await self._carry(limiter_key, used or self._connection(limiter_key, context), call)

    def _connection(self, limiter_key: _ConnectionKey, context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        """Return what opens a connection; where a handshake would be one too many there is none."""
        self._gate.check(limiter_key, limiter_key.trust.tenant)
        seconds = self._limits.idle_seconds
        if not self._proxy:
            return Transport(context, idle_seconds=seconds)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=seconds)
        return httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=self._proxy)

    async def _carry(self, limiter_key: _ConnectionKey, transport: httpx.AsyncBaseTransport, call: _Call) -> Response:
        good = False
        try:
            with (
                self._gate.watching(limiter_key, limiter_key.trust.tenant),
                call.progress.own_errors(call.trust.server_name, self._limits.connect),
            ):
                response = await transport.handle_async_request(self._prepared(call, limiter_key.address))
                answer = await self._receive(response)
            good = True
        finally:
            if not good:
                await _close(transport)
        await self._idle.keep(limiter_key, transport)
        return answer

    def _prepared(self, call: _Call, address: str) -> httpx.Request:
        """Return the request as it is sent: to the address that was judged, in the name that was asked for."""
        url = _url(address, call.url.port, call.url.path)
        # Through a proxy the name would be asked of the proxy, too, and there it is the one of the URL anyway.
        name = {} if self._proxy else {"sni_hostname": call.trust.server_name}
        return httpx.Request(
            call.method,
            url.copy_with(params=call.query) if call.query else url,
            headers={
                "Host": call.url.authority,
                "User-Agent": self._user_agent,
                "Accept": "application/json",
                # What is packed cannot be bounded before it is unpacked.
                "Accept-Encoding": "identity",
                **call.headers,
            },
            content=call.content,
            extensions={
                **name,
                # Whatever comes later is bounded by the limit on the whole call.
                "timeout": {"connect": self._limits.connect},
                "trace": call.progress,
            },
        )

    async def _receive(self, response: httpx.Response) -> Response:
        try:
            if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise UnacceptableError("the answer has a Content-Encoding, which was not asked for", sent=True)
            body = bytearray()
            # Not `aiter_raw()`, which costs as much as parsing the answer does.
            async for chunk in cast("httpx.AsyncByteStream", response.stream):
                body += chunk
                if len(body) > self._limits.body:
                    raise UnacceptableError(f"the answer is larger than {self._limits.body} bytes", sent=True)
        finally:
            await response.aclose()
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers.raw
            if len(value) <= _LONGEST_HEADER
        }
        return Response(status=response.status_code, headers=headers, body=bytes(body))

    def _prepared_proxy(self, proxy: Proxy) -> httpx.Proxy:
        # Its certificate is an affair of the system that the operator runs on.
        trust = Trust(ca_bundle=None, server_name=proxy.host)
        return httpx.Proxy(
            httpx.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port),
            ssl_context=self._contexts.of(trust) if proxy.scheme == "https" else None,
            auth=None if proxy.username is None else (proxy.username, proxy.password.reveal()),
        )


@lru_cache(4096)
def _url(address: str, port: int, path: str) -> httpx.URL:
    """Return where a request goes, which is the same again and again; to parse it costs as much as to send it."""
    return httpx.URL(scheme="https", host=address, port=port, path=path or "/")


async def _close(transport: httpx.AsyncBaseTransport) -> None:
    with suppress(httpx.HTTPError, OSError):
        await transport.aclose()
