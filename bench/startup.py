"""Time to first signature: from the start of the process to the first and to the thousandth signature."""

import time
from dataclasses import asdict

from bench.environment import Environment
from bench.figures import Quantiles, Raw
from bench.ledger import Count
from bench.rotation import rows_signed
from bench.scenes import Plan, scene


async def measure(env: Environment) -> Raw:
    """Measure both, each several times, with numbers that hold no key at all."""
    return {
        "one": [await _once(env, f"first-one-{turn}", 1) for turn in range(env.repeats)],
        "thousand": [await _once(env, f"first-many-{turn}", env.fewer(1000)) for turn in range(env.repeats)],
    }


async def _once(env: Environment, namespace: str, numbers: int) -> Raw:
    async with scene(Plan(namespace=namespace, numbers=numbers), env.cluster, env.phones, env.next_key()) as made:
        with env.operators.running(wait=False) as operator:
            await made.signed()
            cpu = operator.cpu()
            seen = time.monotonic() - operator.started
        in_status = Quantiles.of(at - operator.started for at in rows_signed(made).values())
        called = env.phones.first(Count.FIRST_CALL, made.indices).values()
        published = env.phones.first(Count.FIRST_PUBLISHED, made.indices).values()
    env.say(f"startup of {numbers:,}: {in_status.first:.2f} s to the first, {in_status.last:.2f} s to the last")
    return {
        "numbers": numbers,
        "in_status": asdict(in_status),
        "at_api": asdict(Quantiles.of(at - operator.started for at in published)),
        "first_call": min(called) - operator.started,
        "cpu": cpu,
        "seen": seen,
    }
