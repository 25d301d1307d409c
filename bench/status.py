"""`kubectl bek status -A` of many numbers: its time and its CPU, from the start of the process to its end."""

import asyncio
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench.environment import Environment
from bench.figures import Raw
from bench.phones import ROOTS
from bench.scenes import Plan, scene

_PER_OBJECT = 100
_WARM_UP = 1
"""The first run compiles modules."""


async def measure(env: Environment) -> Raw:
    """Have an operator sign the numbers, then run the command several times without it."""
    key = env.next_key()
    plan = Plan(namespace="status", numbers=env.fewer(10_000), per_object=_PER_OBJECT)
    async with scene(plan, env.cluster, env.phones, key, held=key) as made:
        with env.operators.running(plan.namespace):
            await made.signed()
        kubeconfig = env.api_server.kubeconfig(name="user")
        runs = [await asyncio.to_thread(_once, env, kubeconfig) for _ in range(_WARM_UP + env.repeats)][_WARM_UP:]
    best = min(run["wall"] for run in runs)
    env.say(f"kubectl bek status -A of {plan.numbers:,} in objects of {_PER_OBJECT}: {best:.2f} s at best")
    return {"numbers": plan.numbers, "objects": len(made.objects), "runs": runs}


def _once(env: Environment, kubeconfig: Path) -> Raw:
    command = [sys.executable, "-m", "bek_operator.cli", "status", "-A"]
    environment = {**env.api_server.keeper.clean_env(), "KUBECONFIG": str(kubeconfig), "PYTHONPATH": ROOTS}
    began, cpu = time.monotonic(), _cpu()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {"wall": time.monotonic() - began, "cpu": _cpu() - cpu, "lines": ended.stdout.count("\n")}


def _cpu() -> float:
    """Return the CPU time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
