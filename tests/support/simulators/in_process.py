"""An HTTP client that calls a simulator in the same process, without a port, in virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bek_operator.http.interface import Request, Response
from support.fakes import now
from support.simulators.call import Call

if TYPE_CHECKING:
    from support.simulators.edge_core import EdgeCore
    from support.simulators.flows_endpoint import FlowsEndpointCore


class InProcessClient:
    """Calls a simulator directly; every call takes some virtual time."""

    def __init__(self, api: EdgeCore) -> None:
        self.calls: list[tuple[float, str, str]] = []
        self._api = api
        self._random = random.Random(0)  # noqa: S311 - a simulation, keeps no secret

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole answer."""
        path = request.url.path
        await asyncio.sleep(self._random.uniform(0.05, 0.15))
        self.calls.append((now(), request.method, path.split("/")[-2]))
        reply = self._api.ask(
            request.method,
            path,
            query=urlencode(request.query),
            headers=request.headers,
            body=request.content or b"",
        )
        await asyncio.sleep(self._random.uniform(0.05, 0.3))
        headers = {"Content-Type": reply.content_type, **reply.headers}
        return Response(
            status=reply.status, headers={name.lower(): text for name, text in headers.items()}, body=reply.body
        )

    async def close(self) -> None:
        """Do nothing."""


class DirectClient:
    """Calls a simulated Flow endpoint directly; every call takes some virtual time."""

    def __init__(self, endpoint: FlowsEndpointCore) -> None:
        self._endpoint = endpoint

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole answer."""
        await asyncio.sleep(self._endpoint.seconds)
        if self._endpoint.error:
            raise self._endpoint.error
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(method=request.method, path=request.url.path, headers=headers, body=request.content)
        reply = self._endpoint.ask(call)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Response(status=reply.status, headers=headers, body=reply.body)

    async def close(self) -> None:
        """Do nothing."""
