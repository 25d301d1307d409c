"""A proxy before an API server that can fall silent: it accepts watches then, and delivers nothing.

It can also add lines to watches, and answer other requests by itself.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from aiohttp import ClientSession, TCPConnector, web
from yarl import URL

from support.cluster.servers import HOST, client_context
from support.programs.background import BackgroundLoop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class WatchProxy:
    """Used as a context manager; all requests but watches pass always.

    Attributes:
        silent: While it is set, watches deliver nothing, also those that are open.
        refusal: Returns the answer to a request in place of the API server's, `None` for its own.
        requests: Method and path of each request that was passed on.
        url: Where it listens, without TLS.
    """

    def __init__(self, api_server: str, ca_file: Path) -> None:
        self._api_server = api_server
        self._ca_file = ca_file
        self.silent = threading.Event()
        self.refusal: Callable[[web.Request], web.Response | None] = lambda _: None
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self._watches: dict[web.StreamResponse, str] = {}
        self._background = BackgroundLoop("watch proxy")
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._background.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._background.run(self._stack.aclose())
        finally:
            self._background.close()

    def say(self, path: str, line: str) -> int:
        """Add a line to every open watch of a path; return how many there are."""
        return self._background.run(self._say(path, line))

    async def _say(self, path: str, line: str) -> int:
        found = [response for response, watched in self._watches.items() if watched == path]
        for response in found:
            with suppress(ConnectionError):
                await response.write(line.encode() + b"\n")
        return len(found)

    async def _start(self) -> None:
        connector = TCPConnector(ssl=client_context(self._ca_file), limit=0)
        session = await self._stack.enter_async_context(ClientSession(connector=connector))
        proxy = web.Application()
        proxy.router.add_route("*", "/{path:.*}", partial(self._pass_on, session))
        runner = web.AppRunner(proxy, access_log=None, shutdown_timeout=0.1)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}"

    async def _pass_on(self, session: ClientSession, request: web.Request) -> web.StreamResponse:
        if refused := self.refusal(request):
            return refused
        self.requests.append((request.method, request.path))
        is_watch = "watch" in request.query
        response = web.StreamResponse()
        if is_watch and self.silent.is_set():
            await response.prepare(request)
            await asyncio.Event().wait()
        names = {"Accept", "Authorization", "Content-Type", "User-Agent"}
        headers = {name: request.headers[name] for name in names if name in request.headers}
        url = URL(self._api_server + request.raw_path, encoded=True)
        body = await request.read()
        async with session.request(request.method, url, headers=headers, data=body or None) as answer:
            response.set_status(answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            if is_watch:
                self._watches[response] = request.path
            try:
                async for chunk in answer.content.iter_any():
                    if is_watch and self.silent.is_set():
                        await asyncio.Event().wait()
                    await response.write(chunk)
            finally:
                self._watches.pop(response, None)
        return response
