"""What takes ten minutes and more, all of it at the same time, by operators that share nothing but the machine.

One is idle with 1,000 numbers, one with 10,000 beside a crowd of Secrets that are written to all the time, one has
trouble, one rotates what no bar is about; and another, in a world of its own, lives through an hour of rotations in
simulated time.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict

from bench import crowded, fairness, idle, rotations, trouble
from bench.figures import Raw
from bench.phones import ROOTS
from bench.scenes import Plan, Scene, scene
from bench.stage import Stage
from bench.waiting import until
from support.processes import tail

_SECONDS = 600.0
_ALL_SECONDS = 885.0
"""What all of the benchmark may take up to here: on a slow machine the ten minutes are a little shorter for it."""

_SECONDS_AT_LEAST = 480.0
_QUICK_SECONDS = 12.0
_SETTLING_SECONDS = 3.0
_MINUTE = 60.0
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 1200.0
_ASIDE_AFTER_SECONDS = 180.0
_LAZY = 3600
_FEW, _MANY = 1, 2


async def measure(stage: Stage) -> Raw:
    """Set the crowds up, see how fair and how quick to start the operator is among them, then wait."""
    key = stage.next_key()
    plans = [
        Plan(namespace="idle-few", numbers=stage.fewer(1000), interval=idle.INTERVAL, crowd=_FEW),
        Plan(namespace="idle-many", numbers=stage.fewer(10_000), interval=_LAZY, crowd=_MANY),
        Plan(namespace="person", numbers=1, interval=_LAZY, spare=fairness.EDITS),
    ]
    async with AsyncExitStack() as stack:
        few, many, needs_user = [
            await stack.enter_async_context(scene(plan, stage.cluster, stage.phones, key, held=key)) for plan in plans
        ]
        with stage.operators.running(*(plan.namespace for plan in plans)):
            for one in (few, many, needs_user):
                await one.signed()
            stage.say(f"{len(many.indices):,} numbers are there")
            fair = await fairness.measure(stage, many, needs_user)
            await fairness.set_interval(many, idle.INTERVAL)
            await until(lambda: _is_up_to_date(many))
        begun_well = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            in_trouble = group.create_task(trouble.measure(stage, begun_well))
            await begun_well.wait()
            crowd = await crowded.fill(stage)
            starts = [await _start(stage, many) for _ in range(stage.repeats)]
            waited = await _wait(stage, few, many, crowd["secrets"])
        return {"fairness": fair, "crowd": crowd, "starts": starts, "trouble": in_trouble.result(), **waited}


async def _wait(stage: Stage, few: Scene, many: Scene, secrets: int) -> Raw:
    async with AsyncExitStack() as stack:
        with_few = stack.enter_context(stage.operators.running(few.plan.namespace, name="operator-of-few"))
        with_many = stack.enter_context(
            stage.operators.running(many.plan.namespace, crowded.NAMESPACE, name="operator-of-many")
        )
        written = await stack.enter_async_context(crowded.writes(stage, secrets))
        await asyncio.sleep(_SETTLING_SECONDS)
        seconds = _QUICK_SECONDS if stage.quick else max(min(_SECONDS, _ALL_SECONDS - stage.elapsed), _SECONDS_AT_LEAST)
        begun, before = time.monotonic(), len(written)
        async with asyncio.TaskGroup() as group:
            tasks = {
                "idle_few": group.create_task(idle.watch(stage, few, with_few, seconds)),
                "idle_many": group.create_task(idle.watch(stage, many, with_many, seconds)),
                "hour": group.create_task(_hour(stage)),
                "rotations": group.create_task(_aside(stage)),
            }
            telling = group.create_task(_tell_minutes(stage, seconds))
        telling.result()
        found: Raw = {name: task.result() for name, task in tasks.items()}
        elapsed = time.monotonic() - begun
    return {**found, "secret_writes_a_minute": (len(written) - before) * _MINUTE / elapsed}


async def _start(stage: Stage, many: Scene) -> Raw:
    """Start an operator among all those Secrets; it is ready when `running` hands it out."""
    with stage.operators.running(many.plan.namespace, crowded.NAMESPACE) as operator:
        ready = time.monotonic() - operator.started
        await asyncio.sleep(_SETTLING_SECONDS)
        found = {"ready": ready, "cpu": operator.cpu(), "memory": asdict(operator.memory())}
    stage.say(f"start beside the Secrets: ready after {ready:.2f} s")
    return found


async def _hour(stage: Stage) -> Raw:
    numbers, minutes = (1000, 10) if stage.quick else (10_000, 60)
    keeper, name = stage.api_server.keeper, "hour"
    command = [sys.executable, "-m", "bench.hour", f"--numbers={numbers}", f"--minutes={minutes}"]
    process = keeper.spawn(name, command, env={"PYTHONPATH": ROOTS})
    await until(lambda: process.poll() is not None, seconds=_PATIENCE_SECONDS, every=_POLL_SECONDS)
    if keeper.end(process):
        raise RuntimeError(f"the simulated hour ended with an error:\n{tail(keeper.log(name))}")
    found: Raw = json.loads(tail(keeper.log(name)))
    stage.say(f"{minutes} simulated minutes of rotations took {found['took']:.0f} s")
    return found


async def _aside(stage: Stage) -> Raw:
    # The simulated hour, which is all work, should be over.
    await asyncio.sleep(0.0 if stage.quick else _ASIDE_AFTER_SECONDS)
    return await rotations.measure(stage, aside=True)


async def _tell_minutes(stage: Stage, seconds: float) -> None:
    for minute in range(1, int(seconds / _MINUTE) + 1):
        await asyncio.sleep(_MINUTE)
        stage.say(f"idle for {minute} of {seconds / _MINUTE:.0f} minutes")


def _is_up_to_date(made: Scene) -> bool:
    bodies = [sight.body for sight in made.recording.latest.values()]
    return all(body["status"]["observedGeneration"] == body["metadata"]["generation"] for body in bodies)
