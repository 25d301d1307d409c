"""HTTP: the one place where something goes over the wire, and the only one that knows the library.

Knows nothing of what is said. It uses httpx below its client, at the transport, where there are no cookies, no
redirects, no `.netrc` and no proxy variables that would have to be switched off. Each transport carries one connection,
because httpx searches its whole pool for every request: with more than some twenty connections that is all it does.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

import httpx

from bek_operator.model.endpoint import Trust, Url
from bek_operator.whatsapp.address import Addresses
from bek_operator.whatsapp.exchange import (
    Answer,
    AuthoritiesError,
    BrokenOffError,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.whatsapp.idle import Idle
from bek_operator.whatsapp.trust import Contexts

_LONGEST_HEADER = 4096
_LONGEST_SHOWN_NAME = 60

_SERVER_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")


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


class _Lane(NamedTuple):
    """What a connection may be used for."""

    host: str
    port: int
    address: str
    trust: Trust


class _Stage(Enum):
    """How far a request has come."""

    LOOKUP = "the name was not looked up"
    CONNECT = "no connection"
    HANDSHAKE = "no TLS handshake"
    SENT = "no whole answer"


_STAGES: Final = {
    "connection.connect_tcp.started": _Stage.CONNECT,
    "connection.start_tls.started": _Stage.HANDSHAKE,
    "http11.send_request_headers.started": _Stage.SENT,
}


class _Progress:
    """Watch how far a request comes, by the library's own account."""

    def __init__(self) -> None:
        self.stage = _Stage.LOOKUP

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        self.stage = _STAGES.get(event, self.stage)

    @property
    def sent(self) -> bool:
        return self.stage is _Stage.SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request; how far it came is the only thing about it that changes."""

    method: str
    url: Url
    trust: Trust
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    progress: _Progress


class Http:
    """Carry exchanges over HTTPS: no redirects, no cookies, no proxies; bounded in time and size."""

    def __init__(self, addresses: Addresses, *, user_agent: str = "bek-operator", limits: Limits | None = None) -> None:
        self._addresses = addresses
        self._limits = limits or Limits()
        self._user_agent = user_agent
        self._contexts = Contexts()
        self._idle: Idle[_Lane, httpx.AsyncHTTPTransport] = Idle(
            _close, seconds=self._limits.idle_seconds, size=self._limits.idle_connections
        )

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        trust: Trust,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> Answer:
        """Send one request and return the whole answer; see `Caller`."""
        call = _Call(method=method, url=url, trust=trust, headers=headers, content=content, progress=_Progress())
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._request(call)
        except TimeoutError:
            stage = call.progress.stage
        raise TooSlowError(f"{stage.value} within {self._limits.total:g} s", sent=stage is _Stage.SENT)

    async def close(self) -> None:
        """End every connection; a second time does nothing."""
        await self._idle.close()
        await self._addresses.close()

    async def _request(self, call: _Call) -> Answer:
        if not _SERVER_NAME.fullmatch(call.trust.server_name):
            # Without a name httpx would check the certificate for the address.
            raise CertificateRefusedError("there is no proper name to check the server's certificate for")
        try:
            context = self._contexts.of(call.trust)
        except ValueError as fault:
            raise AuthoritiesError(f"the entry with the certificates to trust {fault}") from None
        failed = NotConnectedError("the name does not resolve")
        for address in await self._addresses.of(call.url.host, call.url.port):
            lane = _Lane(call.url.host, call.url.port, address, call.trust)
            try:
                return await self._exchange(lane, context, call)
            except NotConnectedError as fault:
                failed = fault
        self._addresses.forget(call.url.host)
        raise failed

    async def _exchange(self, lane: _Lane, context: ssl.SSLContext, call: _Call) -> Answer:
        used = self._idle.take(lane)
        if used and call.method == "GET":
            # The server may have closed the connection at this very moment; asking once more changes nothing there.
            with suppress(BrokenOffError):
                return await self._carry(lane, used, call)
            used = None
        limits = httpx.Limits(max_connections=1, keepalive_expiry=self._limits.idle_seconds)
        transport = used or httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
        return await self._carry(lane, transport, call)

    async def _carry(self, lane: _Lane, transport: httpx.AsyncHTTPTransport, call: _Call) -> Answer:
        good = False
        try:
            with _own_errors(call, self._limits):
                response = await transport.handle_async_request(self._prepared(call, lane.address))
                answer = await self._receive(response)
            good = True
        finally:
            if not good:
                await _close(transport)
        await self._idle.keep(lane, transport)
        return answer

    def _prepared(self, call: _Call, address: str) -> httpx.Request:
        """Return the request as it is sent: to the address that was judged, in the name that was asked for."""
        return httpx.Request(
            call.method,
            httpx.URL(scheme="https", host=address, port=call.url.port, path=call.url.path or "/"),
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
                "sni_hostname": call.trust.server_name,
                # Whatever comes later is bounded by the limit on the whole call.
                "timeout": {"connect": self._limits.connect},
                "trace": call.progress,
            },
        )

    async def _receive(self, response: httpx.Response) -> Answer:
        try:
            if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise UnacceptableError("the answer has a Content-Encoding, which was not asked for", sent=True)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._limits.body:
                    raise UnacceptableError(f"the answer is larger than {self._limits.body} bytes", sent=True)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items() if len(value) <= _LONGEST_HEADER}
        return Answer(status=response.status_code, headers=headers, body=bytes(body))


async def _close(transport: httpx.AsyncHTTPTransport) -> None:
    with suppress(httpx.HTTPError, OSError):
        await transport.aclose()


@contextmanager
def _own_errors(call: _Call, limits: Limits) -> Iterator[None]:
    """Turn what the library raises into our own errors, cut off from the library's: those hold the request."""
    progress = call.progress
    try:
        yield
    except HttpError:
        raise
    except httpx.ConnectTimeout:
        raise NotConnectedError(f"{progress.stage.value} within {limits.connect:g} s") from None
    except httpx.ConnectError as fault:
        raise _connect_error(fault, call) from None
    # httpx lets some errors of TLS through as they are, and a name that cannot be sent is a ValueError.
    except (httpx.HTTPError, OSError, ValueError):
        raise BrokenOffError(
            "the connection broke off, or what came over it was not HTTP", sent=progress.sent
        ) from None


def _connect_error(fault: httpx.ConnectError, call: _Call) -> HttpError:
    for cause in _causes(fault):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateRefusedError(_failed_check(cause.verify_code, call.trust.server_name))
        if isinstance(cause, ConnectionRefusedError):
            return NotConnectedError("connection refused")
    if call.progress.stage is _Stage.HANDSHAKE:
        return NotConnectedError("the TLS handshake failed; is this an HTTPS port, with TLS 1.2 or newer?")
    return NotConnectedError("the address cannot be reached")


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Follow the chain of causes; httpx wraps twice, and its network layer once or twice."""
    cause: BaseException | None = fault
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _failed_check(code: int, name: str) -> str:
    if code in _WRONG_NAME:
        return f"the server's certificate is not for the name {name[:_LONGEST_SHOWN_NAME]}"
    return _FAILED_CHECKS.get(code, f"the server's certificate fails OpenSSL's check {code}")


_WRONG_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_UNKNOWN = "the server's certificate is not from an authority that is trusted for it"
_FAILED_CHECKS: Final[Mapping[int, str]] = {
    2: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: _UNKNOWN,  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    19: _UNKNOWN,  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    20: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _UNKNOWN,  # X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
}
