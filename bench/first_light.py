"""First light: from the start of the operator's process to the first and to the thousandth signature."""

import time
from dataclasses import asdict

from bench.figures import Quantiles, Raw
from bench.ledger import Count
from bench.rotation import rows_signed
from bench.scenes import Plan, scene
from bench.stage import Stage


async def measure(stage: Stage) -> Raw:
    """Measure both, each several times, with numbers that hold no key at all."""
    return {
        "one": [await _once(stage, f"first-one-{turn}", 1) for turn in range(stage.repeats)],
        "thousand": [await _once(stage, f"first-many-{turn}", stage.fewer(1000)) for turn in range(stage.repeats)],
    }


async def _once(stage: Stage, namespace: str, numbers: int) -> Raw:
    async with scene(Plan(namespace=namespace, numbers=numbers), stage.cluster, stage.phones, stage.next_key()) as made:
        with stage.operators.running(wait=False) as operator:
            await made.signed()
            cpu = operator.cpu()
            seen = time.monotonic() - operator.started
        in_status = Quantiles.of(at - operator.started for at in rows_signed(made).values())
        called = stage.phones.first(Count.FIRST_CALL, made.indices).values()
        published = stage.phones.first(Count.FIRST_PUBLISHED, made.indices).values()
    stage.say(f"first light of {numbers:,}: {in_status.first:.2f} s to the first, {in_status.last:.2f} s to the last")
    return {
        "numbers": numbers,
        "in_status": asdict(in_status),
        "at_api": asdict(Quantiles.of(at - operator.started for at in published)),
        "first_call": min(called) - operator.started,
        "cpu": cpu,
        "seen": seen,
    }
