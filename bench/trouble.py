"""Trouble that lasts: numbers that refuse, an API that says it was asked too often, and an outage of minutes.

All of it happens to one operator at once, during a rotation; a healthy object beside the sick ones tells what others
feel of it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from bench.figures import Raw
from bench.ledger import Count, Mode
from bench.rotation import rotate
from bench.scenes import Plan, Scene, scene
from bench.stage import Stage

_NUMBERS: Final = {"healthy": 200, "outage": 1000, "refusing": 1000, "limited": 200}
_HEALED: Final = {"outage": Mode.FAILS, "limited": Mode.LIMITED}
_OUTAGE_SECONDS = 300.0
_QUICK_OUTAGE_SECONDS = 3.0
_RECOVERY_SECONDS = 330.0
_QUICK_RECOVERY_SECONDS = 8.0
_REFUSING_ONE_IN = 10


async def measure(stage: Stage, begun_well: asyncio.Event) -> Raw:
    """Run everything at once, with an operator of its own; the event is set when only waiting is left."""
    key, outage = stage.next_key(), _QUICK_OUTAGE_SECONDS if stage.quick else _OUTAGE_SECONDS
    plans = {
        name: Plan(namespace=f"trouble-{name}", numbers=stage.fewer(numbers), interval=600)
        for name, numbers in _NUMBERS.items()
    }
    async with AsyncExitStack() as stack:
        at = {
            name: await stack.enter_async_context(scene(plan, stage.cluster, stage.phones, key, held=key))
            for name, plan in plans.items()
        }
        served = [plan.namespace for plan in plans.values()]
        operator = stack.enter_context(stage.operators.running(*served, name="operator-in-trouble"))
        for one in at.values():
            await one.signed()
        before = await rotate(stage, at["healthy"], operator)
        refusing = at["refusing"].indices[::_REFUSING_ONE_IN]
        begun = time.monotonic()
        await _make_trouble(stage, at, refusing)
        refused = await rotate(stage, at["refusing"], operator, but=len(refusing))
        during = await rotate(stage, at["healthy"], operator)
        begun_well.set()
        await asyncio.sleep(max(begun + outage - time.monotonic(), 0.0))
        healed = await _heal(stage, [at[name] for name in _HEALED])
        return {
            **{name: {"seconds": outage, **found} for name, found in zip(_HEALED, healed, strict=True)},
            "refusing": {
                "numbers": len(at["refusing"].indices),
                "sick": len(refusing),
                "others_done_after": refused.wall,
                "calls": _calls(at["refusing"], refusing),
                "seconds": time.monotonic() - begun,
            },
            "healthy": {"numbers": len(at["healthy"].indices), "before": before.wall, "during": during.wall},
        }


async def _make_trouble(stage: Stage, at: Mapping[str, Scene], refusing: range) -> None:
    """Let numbers fall sick, and bring those that will be healed a new key, so that it shows when they are well."""
    stage.phones.behave(refusing, Mode.REFUSES)
    for name, mode in _HEALED.items():
        stage.phones.behave(at[name].indices, mode)
        stage.phones.reset(at[name].indices)
        await at[name].put_key(stage.next_key())


async def _heal(stage: Stage, sick: Sequence[Scene]) -> list[Raw]:
    """Make numbers well again; return what they were called before, and how long it takes until all know of it."""
    calls = [_calls(one, one.indices) for one in sick]
    for one in sick:
        stage.phones.behave(one.indices, Mode.FINE)
    stage.say(f"the outage is over; calls to the numbers meanwhile: {calls}")
    patience = _QUICK_RECOVERY_SECONDS if stage.quick else _RECOVERY_SECONDS
    well = await asyncio.gather(*(_recovery(one, patience) for one in sick))
    return [
        {"numbers": len(one.indices), "calls": before, "calls_each": before / len(one.indices), "well_after": after}
        for one, before, after in zip(sick, calls, well, strict=True)
    ]


async def _recovery(sick: Scene, patience: float) -> float | None:
    """Wait until all is well; return after how many seconds it was, `None` for not in time."""
    begun = time.monotonic()
    try:
        await sick.signed(seconds=patience)
    except TimeoutError:
        return None
    return time.monotonic() - begun


def _calls(of: Scene, indices: range) -> int:
    return sum(of.phones.total(count, indices) for count in (Count.READS, Count.PUBLISHES))
