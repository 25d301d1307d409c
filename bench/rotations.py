"""Rotations of all sizes, and beside them the baseline: the same calls without operator and Kubernetes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace

from bench.baselines import Baseline, Client, baseline
from bench.environment import Environment
from bench.figures import Raw
from bench.rotation import Rotation, rotate
from bench.scenes import Api, Plan, Rollout, scene

_COLD_SECONDS = 4.5
"""After so long without calls the operator has no connections left; the bare calls begin with new ones, too."""

SETTLING_SECONDS = 2.0
"""After so long without a status write the operator may write at once; nobody rotates more often."""

_LIMIT_SECONDS = 20.0
"""After so long no further run begins."""

CLIENTS: tuple[Client, ...] = ("operator", "aiohttp", "httpx")
_SLOWEST: Client = "httpx"
"""Measured once: it takes longest, and no bar depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of rotation.

    Attributes:
        baselines: Whether the bare calls are measured in turn with it.
        aside: Whether it is measured while others are at work; no bar depends on it.
    """

    name: str
    numbers: int
    api: Api = "cloud"
    per_object: int = 1000
    rollout: Rollout = "AllAtOnce"
    concurrency: int = 50
    baselines: bool = False
    aside: bool = False

    @property
    def namespace(self) -> str:
        """Return a namespace of its own."""
        return f"rotate-{self.name}"


CASES = (
    Case(name="cloud-10", numbers=10),
    Case(name="cloud-100", numbers=100),
    Case(name="cloud-1000", numbers=1000, baselines=True),
    Case(name="cloud-1000-at-100", numbers=1000, concurrency=100, baselines=True),
    Case(name="cloud-5000", numbers=5000),
    Case(name="cloud-1000-first-number", numbers=1000, rollout="FirstNumber", aside=True),
    Case(name="cloud-1000-objects", numbers=1000, per_object=1),
    Case(name="on-premises-10", numbers=10, api="on-premises"),
    Case(name="on-premises-100", numbers=100, api="on-premises"),
    Case(name="on-premises-1000", numbers=1000, api="on-premises", baselines=True),
    Case(name="on-premises-5000", numbers=5000, api="on-premises", aside=True),
)


async def measure(env: Environment, *, aside: bool = False) -> Raw:
    """Measure every case that needs a quiet machine, or the others."""
    return {case.name: await measure_one(env, case) for case in CASES if case.aside is aside}


async def measure_one(env: Environment, case: Case, *, profile: str = "") -> Raw:
    """Rotate several times, with an operator of its own."""
    case = replace(case, numbers=env.fewer(case.numbers) if case.numbers > 10 else case.numbers)
    plan = Plan(
        namespace=case.namespace,
        numbers=case.numbers,
        api=case.api,
        per_object=case.per_object,
        rollout=case.rollout,
    )
    key = env.next_key()
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(scene(plan, env.cluster, env.phones, key, held=key))
        operator = stack.enter_context(
            env.operators.running(plan.namespace, concurrency=case.concurrency, profile=profile)
        )
        await made.signed()
        bare = {
            client: await stack.enter_async_context(
                baseline(env.phones, case.api, case.numbers, case.concurrency, client)
            )
            for client in CLIENTS
            if case.baselines
        }
        before = await env.cluster.traffic()
        runs, baselines = await _in_turn(env, lambda: rotate(env, made, operator), bare)
        memory, traffic = operator.memory(), await env.cluster.traffic() - before
    _report(env, case, runs, baselines)
    return {
        "case": asdict(case),
        "runs": [{**asdict(run), "wall": run.wall, "calls": run.calls} for run in runs],
        "baselines": baselines,
        "memory": asdict(memory),
        "traffic": {way: of_all / len(runs) for way, of_all in asdict(traffic).items()},
    }


async def _in_turn(
    env: Environment, rotate_once: Callable[[], Awaitable[Rotation]], bare: Mapping[Client, Baseline]
) -> tuple[list[Rotation], dict[str, list[Raw]]]:
    """Rotate and make the bare calls in turn, as often as there is time for."""
    runs: list[Rotation] = []
    baselines: dict[str, list[Raw]] = {client: [] for client in bare}
    begun = ended = time.monotonic()
    while len(runs) < env.repeats and (not runs or time.monotonic() < begun + _LIMIT_SECONDS):
        pause = _COLD_SECONDS if bare else SETTLING_SECONDS
        await asyncio.sleep(max(ended + pause - time.monotonic(), 0.0))
        runs.append(await rotate_once())
        ended = time.monotonic()
        for client, one in bare.items():
            if client != _SLOWEST or not baselines[client]:
                baselines[client].append(asdict(await one.run(env.next_key())))
    return runs, baselines


def _report(env: Environment, case: Case, runs: list[Rotation], baselines: dict[str, list[Raw]]) -> None:
    wall, cpu = (sorted(values)[len(runs) // 2] for values in ([run.wall for run in runs], [run.cpu for run in runs]))
    beside = ", ".join(f"{client} {min(one['wall'] for one in took):.2f} s" for client, took in baselines.items())
    env.say(
        f"rotation {case.name}: {wall:.2f} s, {1000 * cpu / case.numbers:.2f} ms of CPU a number"
        + (f"; baselines: {beside}" if beside else "")
    )
