"""The probes: `/healthz` while the event loop runs, `/readyz` while all objects are listed and watched."""

from collections.abc import Callable, Mapping

from aiohttp import web

from bek_operator.controller.web_server import Handler


def probes(unready: Callable[[], str]) -> Mapping[str, Handler]:
    """Return the handler of each probe; `unready` returns why the process is not ready, empty if it is."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = unready()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ok\n")

    return {"/healthz": healthz, "/readyz": readyz}
