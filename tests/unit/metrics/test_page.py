"""`docs/metrics.md` lists the metrics, as a registry shows them after everything has happened that they are for.

Run from the repository's root, this renews the page, whose difference is then to be reviewed:

    PYTHONPATH=operator:tests python tests/unit/metrics/test_page.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bek_operator.crd.reasons import Reason
from bek_operator.metrics import apis
from bek_operator.metrics.metrics import Metrics
from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support.builders import TOKEN_SECRET, cloud, spec_body
from support.fakes import now, number
from support.scrape import BOUNDS, measured
from support.simulators.cloud import Cloud
from support.simulators.in_process import InProcessClient
from support.virtual_time import VirtualLoop
from support.world import World

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PAGE: Final = Path(__file__).parents[3] / "docs" / "metrics.md"
INTRODUCTION: Final = """# Metrics

The operator serves them at `/metrics` of port 8080 (`--metrics-address`), in OpenMetrics or Prometheus's text format,
whichever is asked for, and compressed where that is asked for. Names and labels of the first two tables are those of
Go's operators, so that dashboards and rules for these work.

No label holds a phone number, a credential or a URL. `namespace` and `name` are a BusinessEncryptionKey's; such series
end when it is deleted. Every other label has few values. An instant is in seconds since the epoch: `time() - metric` is
its age. A counter begins at 0 when the process starts. This page is made from the program, and a test compares it.
"""
SECTIONS: Final = {
    "Reconcilers and work queues": ("controller_runtime_", "workqueue_"),
    "API server and leader election": ("rest_client_", "leader_election_"),
    "BusinessEncryptionKeys": (
        "bek_condition",
        "bek_numbers",
        "bek_last_",
        "bek_check_",
        "bek_losses",
        "bek_publishes",
    ),
    "WhatsApp's APIs": ("bek_api_",),
    "The operator itself": ("bek_secret_watch_", "bek_build_", "process_", "python_"),
}


class Away:
    """A watch on Secrets that tells of itself."""

    restarts = 1
    heard_at: float | None = 1.0


class Answer:
    """A response of the API server."""

    status = 200


async def lived() -> list[Metric]:
    """Return the metrics of an operator to which everything has happened that they are for."""
    world, metrics, limiters = World(), Metrics(now), RateLimiters()
    api = Cloud([number(1)])
    api.clock = asyncio.get_running_loop().time
    api.limit(100, shown=True)
    world.secrets.put(TOKEN_SECRET, token=api.token().text)
    client = CloudBackend(InProcessClient(api), limiters, now, observe=metrics.apis.calls(apis.CLOUD))
    world.backend = world.limits = Backends(world.phones, client, limiters, per_host=8)
    metrics.apis.watch_usage(lambda: limiters.usage(now()))
    measured(world, metrics)
    metrics.cluster.watch_secrets(Away())
    metrics.process.watch_leader("bek-operator", lambda: True)
    metrics.work.lost(Reason.FOREIGN_KEY)

    async def answer(_: object) -> Any:
        return Answer()

    request = type("Request", (), {"method": "GET", "url": type("Url", (), {"host_port_subcomponent": "10.0.0.1"})})
    await metrics.cluster.request(cast("Any", request), answer)
    listed = [{"phoneNumber": number(1), "phoneNumberID": api[number(1)].id}]
    ref = world.objects.create(wanted=spec_body(apis=[cloud()], phoneNumbers=listed))
    async with world.operator() as manager:
        with metrics.of(manager.store):
            await world.until_ready(ref)
            await asyncio.sleep(30)
            return list(metrics.registry.collect())


def page() -> str:
    """Return the page as the program makes it."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(lived())
    parts = [INTRODUCTION]
    for title, prefixes in SECTIONS.items():
        rows = [row(metric) for metric in found if metric.name.startswith(prefixes)]
        parts.append(f"## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n{''.join(rows)}")
    return "\n".join(parts)


def row(metric: Metric) -> str:
    """Return the row of a metric; one that has no series yet has nothing that could be looked at."""
    assert metric.samples, f"{metric.name} has no series"
    labels = dict.fromkeys(label for sample in metric.samples for label in sample.labels if label != BOUNDS)
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    meaning = metric.documentation.replace("<", "&lt;")
    meaning = meaning if meaning.endswith(".") else f"{meaning}."
    return f"| `{name}` | {metric.type} | {', '.join(f'`{one}`' for one in labels)} | {meaning} |\n"


def test_the_page_is_what_the_program_makes_it() -> None:
    """Each metric has a series, so that none is documented that is never shown; the docstring says how to renew it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_metric_is_in_one_section() -> None:
    """None is left out, and none shown twice."""
    names = [metric.name for metric in Metrics(lambda: 0.0).registry.collect()]
    prefixes = [prefix for section in SECTIONS.values() for prefix in section]
    assert [name for name in names if sum(map(name.startswith, prefixes)) != 1] == []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
