"""Fairness: how long a person's edit waits while thousands of periodic checks are due."""

import asyncio
import time

from bench import names
from bench.cluster import objects_path
from bench.figures import Raw
from bench.ledger import Count
from bench.scenes import Scene
from bench.stage import Stage
from bench.waiting import until

_OFTEN = 10
EDITS = 5
_PAUSE_SECONDS = 0.5


async def measure(stage: Stage, crowd: Scene, needs_user: Scene) -> Raw:
    """Make every check of the crowd due at once, then add a number to the person's object, again and again."""
    phones = stage.phones
    before = phones.total(Count.READS, crowd.indices)
    # A shorter interval brings every check forward to the same moment, and asks for more than there is time for.
    await set_interval(crowd, _OFTEN)
    await until(lambda: phones.total(Count.READS, crowd.indices) > before + len(crowd.indices) // 100)
    begun, reads = time.monotonic(), phones.total(Count.READS, crowd.indices)
    waits = []
    for turn in range(EDITS):
        waits.append(await _edit(stage, needs_user, turn))
        await asyncio.sleep(_PAUSE_SECONDS)
    seconds, reads = time.monotonic() - begun, phones.total(Count.READS, crowd.indices) - reads
    stage.say(f"an edit among {len(crowd.indices):,} due checks is acted on within {max(waits):.2f} s")
    return {"due": len(crowd.indices), "waits": waits, "checks_per_second": reads / seconds}


async def _edit(stage: Stage, needs_user: Scene, turn: int) -> float:
    """Add one number to the object; return the seconds until it is called."""
    (name,) = needs_user.objects
    listed = [
        {"phoneNumber": names.number(index), "phoneNumberID": names.number_id(index)}
        for index in (*needs_user.indices, *needs_user.spare[: turn + 1])
    ]
    new = [needs_user.spare[turn]]
    now = time.monotonic()
    await stage.cluster.patch(objects_path(needs_user.plan.namespace, name), {"spec": {"phoneNumbers": listed}})
    await until(lambda: bool(stage.phones.first(Count.FIRST_CALL, new)))
    return stage.phones.first(Count.FIRST_CALL, new)[new[0]] - now


async def set_interval(crowd: Scene, seconds: int) -> None:
    """Change how often every number of a scene is checked."""
    for name in crowd.objects:
        path = objects_path(crowd.plan.namespace, name)
        await crowd.cluster.patch(path, {"spec": {"intervalSeconds": seconds}})
