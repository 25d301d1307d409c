"""Time to first signature: from the start of the process to the first and to the thousandth signature.

The thousand numbers are in one object, or in an object each.
"""

import time
from dataclasses import asdict, replace

from bench.environment import Environment
from bench.figures import Quantiles, Raw
from bench.ledger import Count
from bench.rotation import rows_signed
from bench.scenes import Plan, scene


async def measure(env: Environment) -> Raw:
    """Measure all of them, each several times, with numbers that hold no key at all."""
    plans = {
        "one": Plan(namespace="first-one", numbers=1),
        "thousand": Plan(namespace="first-many", numbers=env.fewer(1000)),
        "objects": Plan(namespace="first-objects", numbers=env.fewer(1000), per_object=1),
    }
    return {
        name: [await _once(env, replace(plan, namespace=f"{plan.namespace}-{turn}")) for turn in range(env.repeats)]
        for name, plan in plans.items()
    }


async def _once(env: Environment, plan: Plan) -> Raw:
    async with scene(plan, env.cluster, env.phones, env.next_key()) as made:
        with env.operators.running(wait=False) as operator:
            await made.signed()
            cpu = operator.cpu()
            seen = time.monotonic() - operator.started
        in_status = Quantiles.of(at - operator.started for at in rows_signed(made).values())
        called = env.phones.first(Count.FIRST_CALL, made.indices).values()
        published = env.phones.first(Count.FIRST_PUBLISHED, made.indices).values()
    seconds = f"{in_status.first:.2f} s to the first, {in_status.last:.2f} s to the last"
    env.say(f"startup of {plan.numbers:,} in objects of {plan.per_object:,}: {seconds}")
    return {
        "numbers": plan.numbers,
        "in_status": asdict(in_status),
        "at_api": asdict(Quantiles.of(at - operator.started for at in published)),
        "first_call": min(called) - operator.started,
        "cpu": cpu,
        "seen": seen,
    }
