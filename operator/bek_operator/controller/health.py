"""Serves the probes: `/healthz` while the event loop runs, `/readyz` while all objects are listed and watched."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web


class Health:
    """The web server of the probes, used as an asynchronous context manager.

    Args:
        unready: Returns why the process is not ready; empty if it is.
    """

    def __init__(self, host: str, port: int, *, unready: Callable[[], str]) -> None:
        self._host = host or None
        self._port = port
        self._unready = unready
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._unready()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ok\n")
