"""A proxy before an API server that can fall silent: it accepts watches then, and delivers nothing."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

from aiohttp import ClientSession, TCPConnector, web
from yarl import URL

from support.cluster.servers import HOST, client_context
from support.programs.background import BackgroundLoop

if TYPE_CHECKING:
    from pathlib import Path


class WatchProxy:
    """Used as a context manager; all requests but watches pass always.

    Attributes:
        silent: While it is set, watches deliver nothing, also those that are open.
        url: Where it listens, without TLS.
    """

    def __init__(self, api_server: str, ca_file: Path) -> None:
        self._api_server = api_server
        self._ca_file = ca_file
        self.silent = threading.Event()
        self.url = ""
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
            async for chunk in answer.content.iter_any():
                if is_watch and self.silent.is_set():
                    await asyncio.Event().wait()
                await response.write(chunk)
        return response
