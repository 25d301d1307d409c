"""A small HTTP server on loopback with scripted answers, which records its requests."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import ClientMiddlewareType, web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from bek_operator.cluster.client import Client
from support import tls

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: Any


class SmallServer:
    """Answers each request with the next of `answers`, the last of them from then on."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Received] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Listen inside the block; with a context by TLS, as localhost."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        server = TestServer(app, host="localhost" if context else "127.0.0.1")
        await server.start_server(ssl=context)
        self.url = str(server.make_url("")).rstrip("/")
        try:
            yield
        finally:
            await server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append(
            Received(
                method=request.method,
                path=request.raw_path.partition("?")[0],
                query=dict(request.query),
                headers=dict(request.headers),
                body=json.loads(text) if text else None,
            )
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def text(body: str, status: int = 200) -> Answer:
    """Answer with a text."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body)

    return answer


def body(content: Any, status: int = 200) -> Answer:
    """Answer with JSON."""
    return text(json.dumps(content), status)


def missing(kind: str, name: str) -> Answer:
    """Answer as the API server does for an object that does not exist."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
    return body({**status, "message": "sesame", "details": {"name": name, "kind": kind}}, 404)


def stream(*pieces: str, then: Callable[[web.Request], Awaitable[object]] | None = None) -> Answer:
    """Answer in pieces, then call `then`, and end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece.encode())
        if then:
            await then(request)
        return response

    return answer


async def cut(request: web.Request) -> None:
    """Cut the connection."""
    assert request.transport
    request.transport.abort()


@asynccontextmanager
async def api_server(middlewares: Sequence[ClientMiddlewareType] = ()) -> AsyncIterator[tuple[SmallServer, Client]]:
    """Provide a server and a client of it."""
    server = SmallServer()
    async with server.listening(), client_of(server.url, middlewares) as client:
        yield server, client


def client_of(url: str, middlewares: Sequence[ClientMiddlewareType] = ()) -> Client:
    """Return a client that does not load the system's CA bundle, which takes longer than a whole test."""
    return Client(Configuration(host=url, ca_cert_data=_authority()), middlewares)


@cache
def _authority() -> str:
    return tls.self_signed("localhost").pem
