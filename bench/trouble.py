"""Lasting failures: numbers that refuse, a rate-limited API, and an outage of minutes.

All of it happens to one operator at once, during a rotation; a healthy object shows the effect on others.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from bench.environment import Environment
from bench.figures import Raw
from bench.ledger import Count, Mode
from bench.rotation import rotate
from bench.scenes import Plan, Scene, scene

_NUMBERS: Final = {"healthy": 200, "outage": 1000, "refusing": 1000, "limited": 200}
_HEALED: Final = {"outage": Mode.FAILS, "limited": Mode.LIMITED}
_OUTAGE_SECONDS = 300.0
_QUICK_OUTAGE_SECONDS = 3.0
_RECOVERY_SECONDS = 330.0
_QUICK_RECOVERY_SECONDS = 8.0
_REFUSING_ONE_IN = 10


async def measure(env: Environment, begun_well: asyncio.Event) -> Raw:
    """Run everything at once, with an operator of its own; the event is set when only waiting is left."""
    key, outage = env.next_key(), _QUICK_OUTAGE_SECONDS if env.quick else _OUTAGE_SECONDS
    plans = {
        name: Plan(namespace=f"trouble-{name}", numbers=env.fewer(numbers), interval=600)
        for name, numbers in _NUMBERS.items()
    }
    async with AsyncExitStack() as stack:
        at = {
            name: await stack.enter_async_context(scene(plan, env.cluster, env.phones, key, held=key))
            for name, plan in plans.items()
        }
        served = [plan.namespace for plan in plans.values()]
        operator = stack.enter_context(env.operators.running(*served, name="operator-in-trouble"))
        for one in at.values():
            await one.signed()
        before = await rotate(env, at["healthy"], operator)
        refusing = at["refusing"].indices[::_REFUSING_ONE_IN]
        begun = time.monotonic()
        await _make_trouble(env, at, refusing)
        refused = await rotate(env, at["refusing"], operator, but=len(refusing))
        during = await rotate(env, at["healthy"], operator)
        begun_well.set()
        await asyncio.sleep(max(begun + outage - time.monotonic(), 0.0))
        healed = await _heal(env, [at[name] for name in _HEALED])
        return {
            **{name: {"seconds": outage, **found} for name, found in zip(_HEALED, healed, strict=True)},
            "refusing": {
                "numbers": len(at["refusing"].indices),
                "failing": len(refusing),
                "others_done_after": refused.wall,
                "calls": _calls(at["refusing"], refusing),
                "seconds": time.monotonic() - begun,
            },
            "healthy": {"numbers": len(at["healthy"].indices), "before": before.wall, "during": during.wall},
        }


async def _make_trouble(env: Environment, at: Mapping[str, Scene], refusing: range) -> None:
    """Make numbers fail, and give those that will recover a new key, so that their recovery shows."""
    env.phones.behave(refusing, Mode.REFUSES)
    for name, mode in _HEALED.items():
        env.phones.behave(at[name].indices, mode)
        env.phones.reset(at[name].indices)
        await at[name].put_key(env.next_key())


async def _heal(env: Environment, failing: Sequence[Scene]) -> list[Raw]:
    """Make numbers healthy again; return the calls before, and how long all take to be signed."""
    calls = [_calls(one, one.indices) for one in failing]
    for one in failing:
        env.phones.behave(one.indices, Mode.FINE)
    env.say(f"the outage is over; calls to the numbers meanwhile: {calls}")
    seconds = _QUICK_RECOVERY_SECONDS if env.quick else _RECOVERY_SECONDS
    well = await asyncio.gather(*(_recovery(one, seconds) for one in failing))
    return [
        {"numbers": len(one.indices), "calls": before, "calls_each": before / len(one.indices), "well_after": after}
        for one, before, after in zip(failing, calls, well, strict=True)
    ]


async def _recovery(failing: Scene, seconds: float) -> float | None:
    """Wait until all are signed; return the seconds, `None` if not in time."""
    begun = time.monotonic()
    try:
        await failing.signed(seconds=seconds)
    except TimeoutError:
        return None
    return time.monotonic() - begun


def _calls(of: Scene, indices: range) -> int:
    return sum(of.phones.total(count, indices) for count in (Count.READS, Count.PUBLISHES))
