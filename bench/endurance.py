"""Everything that takes ten minutes and more, at the same time, with operators that share only the machine.

One is idle with 1,000 numbers, one with 10,000 beside unrelated Secrets that are written to all the time, one has
failing numbers, one makes rotations that no bar depends on; and a process of its own runs an hour of rotations in
virtual time.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

from bench import fairness, idle, rotations, trouble, unrelated_secrets
from bench.environment import Environment
from bench.figures import Raw
from bench.phones import ROOTS
from bench.scenes import Plan, Scene, scene
from bench.waiting import until
from support.programs.processes import tail

_SECONDS = 600.0
_ALL_SECONDS = 885.0
"""The benchmark's time up to here is limited: on a slow machine the ten minutes become shorter."""

_SECONDS_AT_LEAST = 480.0
_QUICK_SECONDS = 12.0
_SETTLING_SECONDS = 3.0
_MINUTE = 60.0
_POLL_SECONDS = 0.5
_LIMIT_SECONDS = 1200.0
_ASIDE_AFTER_SECONDS = 180.0
_LAZY = 3600
_FEW, _MANY = 1, 2
_LEASE, _LEASE_NAMESPACE = "bek-operator", "bek-system"


async def measure(env: Environment) -> Raw:
    """Set the numbers up, measure fairness and start among them, then wait."""
    key = env.next_key()
    plans = [
        Plan(namespace="idle-few", numbers=env.fewer(1000), interval=idle.INTERVAL, crowd=_FEW),
        Plan(namespace="idle-many", numbers=env.fewer(10_000), interval=_LAZY, crowd=_MANY),
        Plan(namespace="user", numbers=1, interval=_LAZY, spare=fairness.EDITS),
    ]
    async with AsyncExitStack() as stack:
        few, many, user = [
            await stack.enter_async_context(scene(plan, env.cluster, env.phones, key, held=key)) for plan in plans
        ]
        with env.operators.running(*(plan.namespace for plan in plans)):
            for one in (few, many, user):
                await one.signed()
            env.say(f"{len(many.indices):,} numbers are there")
            fair = await fairness.measure(env, many, user)
            await fairness.set_interval(many, idle.INTERVAL)
            await until(lambda: _is_up_to_date(many))
        begun_well = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            in_trouble = group.create_task(trouble.measure(env, begun_well))
            await begun_well.wait()
            crowd = await unrelated_secrets.fill(env)
            starts = [await _start(env, many) for _ in range(env.repeats)]
            standby = await _start(env, many, more=_standing_by(env))
            waited = await _wait(env, few, many, crowd["secrets"])
        return {
            "fairness": fair,
            "crowd": crowd,
            "starts": starts,
            "standby": standby,
            "trouble": in_trouble.result(),
            **waited,
        }


async def _wait(env: Environment, few: Scene, many: Scene, secrets: int) -> Raw:
    async with AsyncExitStack() as stack:
        with_few = stack.enter_context(env.operators.running(few.plan.namespace, name="operator-of-few"))
        with_many = stack.enter_context(
            env.operators.running(many.plan.namespace, unrelated_secrets.NAMESPACE, name="operator-of-many")
        )
        written = await stack.enter_async_context(unrelated_secrets.writes(env, secrets))
        await asyncio.sleep(_SETTLING_SECONDS)
        seconds = _QUICK_SECONDS if env.quick else max(min(_SECONDS, _ALL_SECONDS - env.elapsed), _SECONDS_AT_LEAST)
        begun, before = time.monotonic(), len(written)
        async with asyncio.TaskGroup() as group:
            tasks = {
                "idle_few": group.create_task(idle.watch(env, few, with_few, seconds)),
                "idle_many": group.create_task(idle.watch(env, many, with_many, seconds)),
                "hour": group.create_task(_hour(env)),
                "rotations": group.create_task(_aside(env)),
            }
            progress = group.create_task(_report_minutes(env, seconds))
        progress.result()
        found: Raw = {name: task.result() for name, task in tasks.items()}
        elapsed = time.monotonic() - begun
    return {**found, "secret_writes_a_minute": (len(written) - before) * _MINUTE / elapsed}


def _standing_by(env: Environment) -> Sequence[str]:
    """Create a Lease that another process holds for long; return the flags of a standby."""
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 86_400, "leaseTransitions": 0}
    metadata = {"name": _LEASE, "namespace": _LEASE_NAMESPACE}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    env.api_server.kubectl("apply", "--filename=-", stdin=json.dumps(lease))
    return ["--leader-elect=on", f"--lease-namespace={_LEASE_NAMESPACE}"]


async def _start(env: Environment, many: Scene, more: Sequence[str] = ()) -> Raw:
    """Start an operator among all those Secrets; it is ready when `running` yields."""
    with env.operators.running(many.plan.namespace, unrelated_secrets.NAMESPACE, more=more) as operator:
        ready = time.monotonic() - operator.started
        await asyncio.sleep(_SETTLING_SECONDS)
        found = {"ready": ready, "cpu": operator.cpu(), "memory": asdict(operator.memory())}
    env.say(f"start beside the Secrets: ready after {ready:.2f} s")
    return found


async def _hour(env: Environment) -> Raw:
    numbers, minutes = (1000, 10) if env.quick else (10_000, 60)
    keeper, name = env.api_server.keeper, "hour"
    command = [sys.executable, "-m", "bench.hour", f"--numbers={numbers}", f"--minutes={minutes}"]
    process = keeper.spawn(name, command, env={"PYTHONPATH": ROOTS})
    await until(lambda: process.poll() is not None, seconds=_LIMIT_SECONDS, every=_POLL_SECONDS)
    if keeper.end(process):
        raise RuntimeError(f"the simulated hour ended with an error:\n{tail(keeper.log(name))}")
    found: Raw = json.loads(tail(keeper.log(name)))
    env.say(f"{minutes} simulated minutes of rotations took {found['took']:.0f} s")
    return found


async def _aside(env: Environment) -> Raw:
    # By now the simulated hour, which uses a whole core, should be over.
    await asyncio.sleep(0.0 if env.quick else _ASIDE_AFTER_SECONDS)
    return await rotations.measure(env, aside=True)


async def _report_minutes(env: Environment, seconds: float) -> None:
    for minute in range(1, int(seconds / _MINUTE) + 1):
        await asyncio.sleep(_MINUTE)
        env.say(f"idle for {minute} of {seconds / _MINUTE:.0f} minutes")


def _is_up_to_date(made: Scene) -> bool:
    bodies = [sight.body for sight in made.recording.latest.values()]
    return all(body["status"]["observedGeneration"] == body["metadata"]["generation"] for body in bodies)
