"""One number in a hundred takes calls and never answers: what do the others feel of it during a rotation?"""

import asyncio
from dataclasses import asdict

from bench.figures import Raw
from bench.ledger import Count, Mode
from bench.rotation import rotate
from bench.rotations import SETTLING_SECONDS
from bench.scenes import Plan, scene
from bench.stage import Stage

_ONE_IN = 100


async def measure(stage: Stage) -> Raw:
    """Rotate without and with hanging numbers, of which the operator knows nothing yet, in turn."""
    numbers = stage.fewer(1000)
    plan, key = Plan(namespace="hanging", numbers=numbers), stage.next_key()
    runs = []
    async with scene(plan, stage.cluster, stage.phones, key, held=key) as made:
        sick = made.indices[::_ONE_IN]
        for _ in range(stage.repeats):
            # Another operator each time: one that has met a hanging number treats it with care. It is killed, because
            # it would wait for the calls that hang.
            with stage.operators.running(plan.namespace, grace=0.0) as operator:
                await made.signed()
                undisturbed = await rotate(stage, made, operator)
                stage.phones.behave(sick, Mode.HANGS)
                await asyncio.sleep(SETTLING_SECONDS)
                invalidated = await rotate(stage, made, operator, but=len(sick))
                calls = sum(stage.phones.total(count, sick) for count in (Count.READS, Count.PUBLISHES))
            stage.phones.behave(sick, Mode.FINE)
            runs.append({"undisturbed": asdict(undisturbed), "disturbed": asdict(invalidated), "calls_to_sick": calls})
            stage.say(
                f"{len(sick)} of {numbers:,} hang: the others take {invalidated.wall:.2f} s, "
                f"{undisturbed.wall:.2f} s without"
            )
    return {"numbers": numbers, "sick": len(sick), "runs": runs}
