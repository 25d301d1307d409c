"""Metrics of the requests to the API server, and of the watch on Secrets."""

from collections.abc import Iterable
from typing import Protocol

import aiohttp
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class SecretWatch(Protocol):
    """What the watch on Secrets tells of itself."""

    restarts: int

    @property
    def heard_at(self) -> float | None:
        """Return when something last came on the path where that is longest ago; `None` before the watch has begun."""
        ...


class ClusterMetrics(Collector):
    """Measures requests to the API server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "rest_client_requests_total",
            "Requests to the API server, by HTTP status (<error> without a response), method and host. A watch is one.",
            ["code", "method", "host"],
            registry=registry,
        )
        self._secrets: SecretWatch | None = None
        registry.register(self)

    async def request(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request and count it; a middleware of aiohttp's sessions."""
        code = "<error>"
        try:
            response = await handler(request)
            code = str(response.status)
        finally:
            self._requests.labels(code, request.method, request.url.host_port_subcomponent or "").inc()
        return response

    def watch_secrets(self, watch: SecretWatch) -> None:
        """Show the state of the watch on Secrets."""
        self._secrets = watch

    def collect(self) -> Iterable[Metric]:
        """Return what is the case now."""
        restarts = CounterMetricFamily(
            "bek_secret_watch_restarts_total",
            "How often the watch on Secrets broke or expired and was begun again. Absent where Secrets are not "
            "watched.",
        )
        heard = GaugeMetricFamily(
            "bek_secret_watch_last_event_timestamp_seconds",
            "When the watch on Secrets last received an event or a bookmark, which come every minute or two, or was "
            "begun; of several namespaces in the one where that is longest ago. Absent where Secrets are not watched.",
        )
        if self._secrets:
            restarts.add_metric([], self._secrets.restarts)
            if self._secrets.heard_at is not None:
                heard.add_metric([], self._secrets.heard_at)
        return restarts, heard
