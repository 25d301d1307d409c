"""One number in a hundred accepts calls and never answers: the effect on the others during a rotation."""

import asyncio
from dataclasses import asdict

from bench.environment import Environment
from bench.figures import Raw
from bench.ledger import Count, Mode
from bench.rotation import rotate
from bench.rotations import SETTLING_SECONDS
from bench.scenes import Plan, scene

_ONE_IN = 100


async def measure(env: Environment) -> Raw:
    """Rotate without and with hanging numbers, not yet known to the operator, in turn."""
    numbers = env.fewer(1000)
    plan, key = Plan(namespace="hanging", numbers=numbers), env.next_key()
    runs = []
    async with scene(plan, env.cluster, env.phones, key, held=key) as made:
        failing = made.indices[::_ONE_IN]
        for _ in range(env.repeats):
            # Another operator each time: one that knows a hanging number gives it fewer workers. It is killed, because
            # it would wait for the calls that hang.
            with env.operators.running(plan.namespace, grace=0.0) as operator:
                await made.signed()
                alone = await rotate(env, made, operator)
                env.phones.behave(failing, Mode.HANGS)
                await asyncio.sleep(SETTLING_SECONDS)
                beside = await rotate(env, made, operator, but=len(failing))
                calls = sum(env.phones.total(count, failing) for count in (Count.READS, Count.PUBLISHES))
            env.phones.behave(failing, Mode.FINE)
            runs.append({"alone": asdict(alone), "beside": asdict(beside), "calls_to_failing": calls})
            env.say(
                f"{len(failing)} of {numbers:,} hang: the others take {beside.wall:.2f} s, {alone.wall:.2f} s without"
            )
    return {"numbers": numbers, "failing": len(failing), "runs": runs}
