"""The probes: `/healthz` fails where a restart would help, `/readyz` where this process could not take over the work.

A liveness probe asks one thing: would a new process be better off? So `/healthz` fails in three ways.

- The event loop stands still: nothing answers, and the kubelet's requests time out. Three in a row, ten seconds apart,
  are the thirty seconds after which it restarts the container (`deploy/default/deployment.yaml`). A stall that is over
  is not held against the process: it was paused perhaps, or its node was, and works again; a restart would only add to
  the interruption. One that recurs makes the kubelet's requests time out again.
- A watch is silent though the API server answers all else: 503, with the reason. Every API server sends a bookmark
  every minute, even where nothing changes, so that five minutes without a byte mean a watch that nobody would notice
  to be lost. An API server that is away, or refuses a watch, would do so to a new process as well: no reason. Where no
  other request tells which it is, one is sent for that.
- A task has died, or ended by itself: the process ends with the reason in its last log line (`bek_operator.supervise`),
  so that nobody has to ask.

`/readyz` says the same of a leader and a standby: all objects were listed, and the watch on them is up.
"""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from bek_operator.cluster.traffic import Traffic
from bek_operator.controller.web_server import Handler

SILENCE_SECONDS: Final = 300.0
"""A watch that delivers nothing for longer is lost."""


def unhealthy(traffic: Traffic, now: float, silence_seconds: float = SILENCE_SECONDS) -> str:
    """Return why a restart would help; empty if it would not."""
    if traffic.is_away(now):
        return ""
    for path, delivered_at in sorted(traffic.delivered_at.items()):
        if now - max(delivered_at, traffic.answering_since) > silence_seconds:
            return f"the watch {path} delivered nothing for {silence_seconds:g} s, though the API server answers"
    return ""


def probes(unhealthy: Callable[[], str], unready: Callable[[], str]) -> Mapping[str, Handler]:
    """Return the handler of each probe; the arguments return why the process is so, empty if it is not."""
    return {"/healthz": _probe(unhealthy), "/readyz": _probe(unready)}


def _probe(failure: Callable[[], str]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        reason = failure()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ok\n")

    return handle
