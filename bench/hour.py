"""Run as a program: an hour of rotations in virtual time, to check that memory does not grow.

An operator between fakes, without network: what grows is the operator's own. The fakes' records are cleared, and every
rotation has a new key.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.processes import memory
from bench.scenes import MOST
from support.builders import spec_body
from support.fakes import numbers
from support.keys import KeyPair
from support.virtual_time import VirtualLoop
from support.world import World

_MINUTE = 60.0


async def run(count: int, minutes: int) -> dict[str, object]:
    """Rotate once a simulated minute; return the memory after each."""
    world = World()
    listed = numbers(count)
    refs = [
        world.objects.create(f"flows-{at // MOST}", spec_body(listed[at : at + MOST], rollout={"type": "AllAtOnce"}))
        for at in range(0, count, MOST)
    ]
    loop, begun = asyncio.get_running_loop(), time.monotonic()
    sizes: list[int] = []
    async with world.operator():
        for minute in range(1, minutes + 1):
            key = _new_key()
            for ref in refs:
                # A number is published to at most six times in an hour, unless the user asks for more.
                world.objects.request_check(ref, f"minute {minute}")
            world.secrets.put_key(key)
            for ref in refs:
                await world.until_signed_with(ref, key, seconds=_MINUTE)
            await asyncio.sleep(minute * _MINUTE - loop.time())
            _empty(world)
            gc.collect()
            sizes.append(memory(os.getpid()).now)
    return {"numbers": count, "minutes": minutes, "memory": sizes, "took": time.monotonic() - begun}


def _new_key() -> KeyPair:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return KeyPair(private="", public=made.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _empty(world: World) -> None:
    """Clear the fakes' records."""
    for kept in (
        world.phones.calls,
        world.phones.cut_off,
        world.objects.reads,
        world.objects.writes,
        world.secrets.reads,
        world.events.posted,
    ):
        kept.clear()


def main() -> None:
    """Run, and write one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--numbers", type=int, required=True)
    parser.add_argument("--minutes", type=int, required=True)
    given = parser.parse_args()
    os.nice(19)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(run(given.numbers, given.minutes))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
