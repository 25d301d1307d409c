"""Idle: nothing changes, and every number is checked once a minute."""

import asyncio
import http.client
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict

from bench.environment import Environment
from bench.figures import Raw
from bench.operators import RunningOperator
from bench.rotation import requests
from bench.scenes import Plan, Scene, scene

INTERVAL = 60
_MINUTE = 60
_SETTLING_SECONDS = 3.0
_SCRAPES = 20
# What Prometheus asks for.
_SCRAPE_HEADERS = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}


async def measure_one(env: Environment, numbers: int, seconds: float, *, profile: str = "") -> Raw:
    """Measure a single operator on a cluster of its own."""
    plan, key = Plan(namespace="idle-alone", numbers=numbers, interval=INTERVAL, crowd=1), env.next_key()
    async with scene(plan, env.cluster, env.phones, key, held=key) as made:
        with env.operators.running(plan.namespace):
            await made.signed()
        with env.operators.running(plan.namespace, profile=profile) as operator:
            await asyncio.sleep(_SETTLING_SECONDS)
            return await watch(env, made, operator, seconds)


async def watch(env: Environment, scene: Scene, operator: RunningOperator, seconds: float) -> Raw:
    """Watch an idle operator; return what it did."""
    mark, cpu, begun = env.api_server.audit_mark(), operator.cpu(), time.monotonic()
    memory = [operator.memory().now]
    while (left := begun + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(left, _MINUTE))
        memory.append(operator.memory().now)
    cpu, elapsed = operator.cpu() - cpu, time.monotonic() - begun
    audited = requests(env, scene, mark)
    beginning, by_second = env.phones.reads_by_second(scene.plan.crowd)
    first = int(begun - beginning) + 1
    reads = by_second[first : first + int(elapsed) - 1]
    return {
        "numbers": len(scene.indices),
        "seconds": elapsed,
        "cpu": cpu,
        "cpu_a_minute": cpu * _MINUTE / elapsed,
        "memory": memory,
        "highest_memory": asdict(operator.memory())["highest"],
        "writes": sum(one.is_write for one in audited if one.resource != "events"),
        "events": sum(one.is_write for one in audited if one.resource == "events"),
        "requests": len(audited),
        "reads_by_second": reads,
        "reads_a_minute": sum(reads) * _MINUTE / max(len(reads), 1),
        "reads_by_minute": [sum(reads[at : at + _MINUTE]) for at in range(0, len(reads) - _MINUTE + 1, _MINUTE)],
        "busiest_ten_seconds": _busiest(reads, 10),
        "scrape": await asyncio.to_thread(scrape, operator),
    }


def scrape(operator: RunningOperator) -> Raw:
    """Return what a scrape of the metrics costs, in milliseconds of CPU and in bytes sent."""
    cpu, size = operator.cpu(), 0
    for _ in range(_SCRAPES):
        with closing(http.client.HTTPConnection("127.0.0.1", operator.metrics, timeout=30)) as connection:
            connection.request("GET", "/metrics", headers=_SCRAPE_HEADERS)
            size = len(connection.getresponse().read())
    return {"cpu_ms": (operator.cpu() - cpu) * 1000 / _SCRAPES, "bytes": size}


def _busiest(reads: Sequence[int], seconds: int) -> float:
    """Return the ratio of reads in the busiest such stretch to the average."""
    if len(reads) < seconds or not sum(reads):
        return 0.0
    sums = [sum(reads[at : at + seconds]) for at in range(len(reads) - seconds + 1)]
    return max(sums) / (sum(reads) / len(reads) * seconds)
