"""Shows metrics to whoever asks: in OpenMetrics or Prometheus's text format, compressed where that is asked for."""

import asyncio
from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from bek_operator.controller.web_server import Handler

_COMPRESSED_IN_THREAD = 16384


class _Snapshot(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = list(registry.collect())

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(registry: CollectorRegistry) -> Handler:
    """Return the handler that shows the metrics of a registry.

    They are read in the event loop, where everything is written, and rendered in a thread: that takes several times as
    long. One request is answered at a time.
    """
    turn = asyncio.Lock()

    async def metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", ())))
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        async with turn:
            body = await asyncio.to_thread(encode, _Snapshot(registry))
        response = web.Response(
            body=body, headers={"Content-Type": content_type}, zlib_executor_size=_COMPRESSED_IN_THREAD
        )
        response.enable_compression()
        return response

    return metrics
