"""An httpx transport on top of aiohttp, with one connection at a time.

httpx's own takes 0.8 ms of CPU for a request over TLS, this one 0.3 (`docs/performance.md`). It takes and returns
httpx's requests, responses and errors, and supports the extensions `sni_hostname`, `timeout` (for connecting) and
`trace`. It does no DNS lookups, redirects, cookies or proxies.
"""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from bek_operator.http.errors import HttpError
from bek_operator.http.metered_tls import LimitExceededError, MeteredContext
from bek_operator.http.tls_socket import SecuredSocket

CONNECTING: Final = "connection.connect.started"
"""The trace event before a connection with TLS is opened; httpx's own transport has two events for it."""

SENDING: Final = "http11.send_request_headers.started"
"""The trace event before a request is sent; httpx's own name for it."""

SENDING_CONTENT: Final = "http11.send_request_body.started"
"""The trace event before the content of a request is sent; httpx's own name for it."""

_MAX_FIELD_BYTES: Final = 16 * 1024

TraceCallback = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class Transport(httpx.AsyncBaseTransport):
    """Sends requests to one host, one after the other, over a connection that is kept open."""

    def __init__(self, context: MeteredContext, *, idle_seconds: float) -> None:
        """Take the TLS context, and how long an idle connection is kept."""
        self._connector = _Connector(context, limit=1, keepalive_timeout=idle_seconds)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # A single long header, which nobody reads, is no reason to fail.
            max_field_size=_MAX_FIELD_BYTES,
            # aiohttp would add these to the headers of the request.
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its response with the body still to be read, as it is on the wire."""
        extensions = request.extensions
        limits = extensions.get("timeout", {})
        self._connector.steps = steps = _Steps(extensions.get("trace"))
        content = await request.aread()
        with _httpx_errors(self._connector):
            response = await self._session.request(
                request.method,
                # httpx has encoded it; yarl would encode it again.
                URL(str(request.url), encoded=True),
                headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw],
                data=_Content(content, steps) if content else None,
                server_hostname=extensions.get("sni_hostname"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.get("connect")),
                allow_redirects=False,
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response, self._connector))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._session.close()
        self._connector.shutdown_socket()


class _Connector(aiohttp.TCPConnector):
    """Reports the steps of a request, and guards idle connections.

    aiohttp reads on while a connection is idle, and would take the input for the response to the next request.
    """

    steps: "_Steps"
    _tls: object = None
    _socket: socket.socket | None = None

    def __init__(self, context: MeteredContext, *, limit: int, keepalive_timeout: float) -> None:
        """Take the TLS context of every connection, and the limits of the base class."""
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._context = context

    @property
    def limit_exceeded(self) -> LimitExceededError | None:
        """Return why we ended the connection that was used last; `None` if we did not."""
        return self._tls.connection.limit_exceeded if isinstance(self._tls, SecuredSocket) else None

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class's signature
    ) -> Connection:
        """Return a connection for a request, new or idle."""
        await self.steps.connecting()
        self._tls = None
        connection = await super().connect(req, traces, timeout)
        while _has_unsolicited_input(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        try:
            await self.steps.sending()
        except BaseException:
            connection.close()
            raise
        transport, protocol = connection.transport, connection.protocol
        if transport is not None and protocol is not None:
            self._tls = transport.get_extra_info("ssl_object")
            transport.set_protocol(protocol)
            connection.add_callback(lambda: transport.set_protocol(_Guard(transport, protocol)))
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class's signature
    ) -> ResponseHandler:
        """Return a new connection to the address of a request, which is the host of its URL."""
        del traces
        try:
            async with asyncio.timeout(timeout.sock_connect):
                return await self._open(req.url.raw_host or "", req.url.port or 0, req.server_hostname or "")
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as fault:
            raise httpx.ConnectError("no connection") from fault

    async def _open(self, address: str, port: int, server_name: str) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        self.shutdown_socket()
        self._socket = opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            opened.setblocking(False)  # noqa: FBT003 - the standard library's signature
            await loop.sock_connect(opened, (address, port))
            secured = SecuredSocket(self._context, server_name)
            await secured.handshake(opened)
        except BaseException:
            opened.close()
            raise
        try:
            _, protocol = await loop.create_connection(
                self._factory, sock=opened, ssl=secured.as_context(), server_hostname=server_name
            )
        except BaseException:
            # asyncio watches the file descriptor by now, and closes it when the connection has ended. If we closed it,
            # asyncio would refuse the next connection to get the same one.
            self.shutdown_socket()
            raise
        return protocol

    def shutdown_socket(self) -> None:
        """End the connection at once."""
        if self._socket:
            # asyncio would wait 30 s for the TLS close_notify of a server that hangs.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Guard(asyncio.Protocol):
    """Replaces the protocol of an idle connection, and closes the connection on any input."""

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._transport = transport
        self._protocol = protocol

    def data_received(self, _data: bytes) -> None:
        self._transport.abort()

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def _has_unsolicited_input(connection: Connection) -> bool:
    """Return whether an idle connection has input that its guard has not seen."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None or not isinstance(transport.get_protocol(), _Guard):
        # The input of a new connection is expected: the session tickets of TLS 1.3, say.
        return False
    # Input in the same read as the end of a response went to the protocol.
    if protocol.should_close:
        return True
    # Input that arrived while the event loop was busy is still in the socket.
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(waiting.poll(0))


class _Body(httpx.AsyncByteStream):
    """The body of a response; closing it early closes the connection."""

    def __init__(self, response: aiohttp.ClientResponse, connector: _Connector) -> None:
        self._response = response
        self._connector = connector

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors(self._connector):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._response.close()


class _Content(aiohttp.BytesPayload):
    """The content of a request, with which aiohttp sends its headers.

    That is in the step of the event loop in which there was a connection only from Python 3.12 on.
    """

    def __init__(self, content: bytes, steps: "_Steps") -> None:
        super().__init__(content)
        self._steps = steps

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self._steps.sending_content()
        await super().write_with_length(writer, content_length)


class _Steps:
    """Reports the steps of one request to its trace callback."""

    def __init__(self, trace: TraceCallback | None) -> None:
        self._trace = trace
        self._sent = False

    async def connecting(self) -> None:
        if self._sent:
            # aiohttp repeats a GET by itself when the server closes the connection; httpx does not.
            raise httpx.ReadError("the connection broke")
        if self._trace:
            await self._trace(CONNECTING, {})

    async def sending(self) -> None:
        self._sent = True
        if self._trace:
            await self._trace(SENDING, {})

    async def sending_content(self) -> None:
        if self._trace:
            await self._trace(SENDING_CONTENT, {})


@contextmanager
def _httpx_errors(connector: _Connector) -> Iterator[None]:
    """Raise httpx's errors; where we ended the connection, the cause says why."""
    try:
        with _translated():
            yield
    except httpx.HTTPError as fault:
        if connector.limit_exceeded is None:
            raise
        raise fault from connector.limit_exceeded


@contextmanager
def _translated() -> Iterator[None]:
    """Raise httpx's errors in place of aiohttp's, with the error of the system or of OpenSSL as cause."""
    try:
        yield
    except aiohttp.ClientResponseError:
        raise httpx.RemoteProtocolError("the response is not HTTP") from None
    except (aiohttp.ClientError, OSError) as fault:
        if isinstance(fault.__cause__, HttpError):
            # From the trace callback, while the content was sent.
            raise fault.__cause__ from None
        raise httpx.ReadError("the connection broke") from None
