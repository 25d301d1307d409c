"""Fairness: how long a user's edit waits while thousands of periodic checks are due."""

import asyncio
import time

from bench import names
from bench.cluster import objects_path
from bench.environment import Environment
from bench.figures import Raw
from bench.ledger import Count
from bench.scenes import Scene
from bench.waiting import until

_OFTEN = 10
EDITS = 5
_PAUSE_SECONDS = 0.5


async def measure(env: Environment, crowd: Scene, user: Scene) -> Raw:
    """Make every check of the crowd due at once, then add numbers to the user's object, one by one."""
    phones = env.phones
    before = phones.total(Count.READS, crowd.indices)
    # A shorter interval makes every check due at once, and more of them than can be made in time.
    await set_interval(crowd, _OFTEN)
    await until(lambda: phones.total(Count.READS, crowd.indices) > before + len(crowd.indices) // 100)
    begun, reads = time.monotonic(), phones.total(Count.READS, crowd.indices)
    waits = []
    for turn in range(EDITS):
        waits.append(await _edit(env, user, turn))
        await asyncio.sleep(_PAUSE_SECONDS)
    seconds, reads = time.monotonic() - begun, phones.total(Count.READS, crowd.indices) - reads
    env.say(f"an edit among {len(crowd.indices):,} due checks is acted on within {max(waits):.2f} s")
    return {"due": len(crowd.indices), "waits": waits, "checks_per_second": reads / seconds}


async def _edit(env: Environment, user: Scene, turn: int) -> float:
    """Add one number to the object; return the seconds until it is called."""
    (name,) = user.objects
    listed = [
        {"phoneNumber": names.number(index), "phoneNumberID": names.number_id(index)}
        for index in (*user.indices, *user.spare[: turn + 1])
    ]
    new = [user.spare[turn]]
    now = time.monotonic()
    await env.cluster.patch(objects_path(user.plan.namespace, name), {"spec": {"phoneNumbers": listed}})
    await until(lambda: bool(env.phones.first(Count.FIRST_CALL, new)))
    return env.phones.first(Count.FIRST_CALL, new)[new[0]] - now


async def set_interval(crowd: Scene, seconds: int) -> None:
    """Change how often every number of a scene is checked."""
    for name in crowd.objects:
        path = objects_path(crowd.plan.namespace, name)
        await crowd.cluster.patch(path, {"spec": {"intervalSeconds": seconds}})
