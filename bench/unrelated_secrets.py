"""A big cluster: tens of thousands of Secrets that no object names, and a client that keeps writing to them."""

import asyncio
import base64
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from bench.cluster import secrets_path
from bench.environment import Environment
from bench.figures import Raw

NAMESPACE = "crowd"
_SECRETS = 50_000
_BYTES = 3000
_WRITES_A_MINUTE = 5000
_AT_ONCE = 24


async def fill(env: Environment) -> Raw:
    """Create the Secrets as fast as the server accepts them."""
    count = _SECRETS // 100 if env.quick else _SECRETS
    await env.cluster.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    begun = time.monotonic()
    await env.cluster.create_all(secrets_path(NAMESPACE), _unrelated(count), at_once=_AT_ONCE)
    seconds = time.monotonic() - begun
    env.say(f"{count:,} unrelated Secrets created in {seconds:.0f} s")
    return {"secrets": count, "bytes_each": _BYTES, "seconds": seconds}


@asynccontextmanager
async def writes(env: Environment, secrets: int) -> AsyncIterator[list[float]]:
    """Keep writing to them inside the block; yield the list of the times of writes."""
    done: list[float] = []
    task = asyncio.create_task(_write(env, secrets, done))
    try:
        yield done
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _write(env: Environment, secrets: int, done: list[float]) -> None:
    pause, begun = 60.0 / _WRITES_A_MINUTE, time.monotonic()
    choice = random.Random(1)  # noqa: S311 - chooses what to write to
    for turn in itertools.count():
        changes = {"data": {"turn": base64.b64encode(str(turn).encode()).decode()}}
        await env.cluster.patch(secrets_path(NAMESPACE, _name(choice.randrange(secrets))), changes)
        done.append(time.monotonic())
        await asyncio.sleep(max(begun + (turn + 1) * pause - time.monotonic(), 0.0))


def _unrelated(count: int) -> Iterator[dict[str, Any]]:
    data = {"blob": base64.b64encode(random.Random(0).randbytes(_BYTES)).decode()}  # noqa: S311 - no secret
    for index in range(count):
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _name(index)}, "data": data}


def _name(index: int) -> str:
    return f"unrelated-{index:05}"
