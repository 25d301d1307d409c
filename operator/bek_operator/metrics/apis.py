"""Metrics of the calls to WhatsApp's APIs."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bek_operator.http.interface import Response
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import Endpoint, OnPremisesEndpoint
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.calls import Call, CallObserver

ON_PREMISES, CLOUD, PROVIDER = "OnPremises", "Cloud", "Provider"
FLOWS_ENDPOINT: Final = "FlowsEndpoint"

_NONE: Final = "none"
# A login and a read take some 50 ms each, and a call is given up after half a minute.
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)


class ApiMetrics(Collector):
    """Measures calls; the label `api` is the type of an entry of `spec.apis`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "bek_api_requests_total",
            "Requests to WhatsApp's APIs and to Flow endpoints, by type of API (or FlowsEndpoint), by operation "
            "(login, read, publish, ping), by class of the HTTP "
            "status (2xx to 5xx, none without a response) and by error (the reason that a number shows for it, none "
            "without one).",
            ["api", "operation", "code_class", "error"],
            registry=registry,
        )
        self._seconds = Histogram(
            "bek_api_request_duration_seconds",
            "How long a request to a WhatsApp API took, with or without a response.",
            ["api", "operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._publishes = Counter(
            "bek_publishes_total",
            "Publishes of a key, by type of API and result: accepted, refused (by the API), unknown (it may have been "
            "carried out), not_sent (no connection, no login, or credentials that cannot be sent).",
            ["api", "result"],
            registry=registry,
        )
        for api, result in product((ON_PREMISES, CLOUD, PROVIDER), ("accepted", "refused", "unknown", "not_sent")):
            self._publishes.labels(api, result)
        self._usage: Callable[[], float | None] = lambda: None
        registry.register(self)

    def watch_usage(self, usage: Callable[[], float | None]) -> None:
        """Show the highest usage of a rate limit, which `usage` returns from 0 to 1; `None` where none is known."""
        self._usage = usage

    def collect(self) -> Iterable[Metric]:
        """Return what is the case now."""
        usage = self._usage()
        yield GaugeMetricFamily(
            "bek_api_usage_ratio",
            "Used share of a rate limit, from 0 to 1: that of which most is used, of all tokens at Cloud and "
            "providers; 1 while calls with one of them are refused. Absent where no API reports its limits.",
            value=usage,
        )

    def calls(self, api: str) -> CallObserver:
        """Return what observes the calls of a backend."""

        def observe(call: Call, response: Response | None, failure: Failure | None, seconds: float) -> None:
            actual = PROVIDER if call.context.provider else api
            code_class = f"{response.status // 100}xx" if response else _NONE
            error = str(failure.reason) if failure else _NONE
            self._requests.labels(actual, call.kind, code_class, error).inc()
            self._seconds.labels(actual, call.kind).observe(seconds)

        return observe

    def backend(self, backend: Backend[Endpoint]) -> Backend[Endpoint]:
        """Return a backend whose publishes are counted."""
        return _MeasuredBackend(backend, self._publishes)


class _MeasuredBackend(Backend[Endpoint]):
    def __init__(self, backend: Backend[Endpoint], publishes: Counter) -> None:
        self._backend = backend
        self._publishes = publishes

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        return await self._backend.read(endpoint)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        result = "unknown"
        try:
            answer = await self._backend.publish(endpoint, public_key)
            if not isinstance(answer, Failure):
                result = "accepted"
            elif not answer.unknown:
                result = "refused" if answer.sent else "not_sent"
        finally:
            self._publishes.labels(_api_of(endpoint), result).inc()
        return answer

    async def close(self) -> None:
        await self._backend.close()


def _api_of(endpoint: Endpoint) -> str:
    if isinstance(endpoint, OnPremisesEndpoint):
        return ON_PREMISES
    return PROVIDER if endpoint.provider else CLOUD
