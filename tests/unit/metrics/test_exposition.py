"""How metrics are served: formats, compression, and to how many at once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bek_operator.controller.web_server import WebServer
from bek_operator.metrics.exposition import exposition
from bek_operator.settings import Address

# What Prometheus 3 and 2 ask for, and a browser.
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


def registry() -> CollectorRegistry:
    """Return a registry with one gauge."""
    found = CollectorRegistry()
    Gauge("things", "Things that are there.", registry=found).set(3)
    return found


async def get(headers: Mapping[str, str], method: str = "GET", path: str = "/metrics") -> tuple[int, str, str, bytes]:
    """Return status, content type, content encoding and body as it was sent."""
    port = unused_port()
    address = Address(host="127.0.0.1", port=port)
    async with (
        WebServer("metrics-address", address, {"/metrics": exposition(registry())}),
        ClientSession(auto_decompress=False, skip_auto_headers=["Accept", "Accept-Encoding"]) as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        body = await response.read()
        shown = response.headers
        return response.status, shown.get("Content-Type", ""), shown.get("Content-Encoding", ""), body


@pytest.mark.parametrize("accept", [PROMETHEUS_2, PROMETHEUS_3])
async def test_open_metrics_for_who_asks_for_it(accept: str) -> None:
    """As Prometheus does; it ends with the mark that tells that nothing is missing."""
    status, content_type, _, body = await get({"Accept": accept})
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert "version=1.0.0" in content_type
    assert body.endswith(b"# EOF\n")
    assert [family.name for family in parse_open_metrics(body.decode())] == ["things"]


@pytest.mark.parametrize("accept", [None, BROWSER, "application/openmetrics-text;version=x", "text/plain;version=1.x"])
async def test_text_for_everybody_else(accept: str | None) -> None:
    """Also for who asks for a version that is none."""
    status, content_type, _, body = await get({"Accept": accept} if accept is not None else {})
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert [(one.name, one.value) for family in parse_text(body.decode()) for one in family.samples] == [("things", 3)]


async def test_compressed_where_that_is_asked_for() -> None:
    """And not otherwise."""
    *_, plain = await get({})
    _, _, encoding, compressed = await get({"Accept-Encoding": "gzip"})
    assert (encoding, gzip.decompress(compressed)) == ("gzip", plain)
    assert (await get({"Accept-Encoding": "br"}))[2] == ""


async def test_only_what_reads_is_answered() -> None:
    """HEAD as GET without the body; nothing else, and nothing elsewhere."""
    status, content_type, _, body = await get({}, "HEAD")
    assert (status, content_type.split(";")[0], body) == (200, "text/plain", b"")
    assert (await get({}, "POST"))[0] == 405
    assert (await get({}, path="/metrics/"))[0] == 404


async def test_several_at_once_are_answered_in_turn() -> None:
    """Each gets everything."""
    port = unused_port()
    async with (
        WebServer("metrics-address", Address(host="127.0.0.1", port=port), {"/metrics": exposition(registry())}),
        ClientSession() as session,
    ):

        async def text() -> str:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                return await response.text()

        assert len(set(await asyncio.gather(*(text() for _ in range(10))))) == 1
