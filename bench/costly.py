"""One tenant's server makes TLS handshakes as expensive as it can: the effect on others and on the probes.

It has a thousand numbers under one name, and a thousand under names of their own.
"""

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import Any

from bench import costly_server, names
from bench.cluster import objects_path, secrets_path
from bench.environment import Environment
from bench.figures import Raw
from bench.operators import RunningOperator
from bench.phones import ROOTS
from bench.rotation import rotate
from bench.rotations import SETTLING_SECONDS
from bench.scenes import CA, KEY, LOGIN, Plan, Scene, scene
from support.cluster.scene import secret
from support.cluster.servers import free_port, wait_until_up
from support.keys import KeyPair

_NAMESPACE = "costly"
_NUMBERS = 1000
_ROTATIONS = 5
_PROBE_EVERY = 0.5
_PROBE_SECONDS = 20.0
_FIRST_SECONDS = 3.0
"""By then the operator calls the new numbers."""


async def measure(env: Environment) -> Raw:
    """Rotate other tenants' keys without such a server and beside it, and probe all the time."""
    plan, key = Plan(namespace="beside-costly", numbers=env.fewer(1000)), env.next_key()
    rotations = 1 if env.quick else _ROTATIONS
    with _server(env) as port:
        allowed = [f"--allow-host={host}:{port}" for host in (f"*.{names.DOMAIN}", *names.ADDRESSES)]
        async with scene(plan, env.cluster, env.phones, key, held=key) as made:
            health = free_port()
            with env.operators.running(plan.namespace, _NAMESPACE, more=allowed, health=health) as operator:
                await made.signed()
                before = [await _rotation(env, made, operator) for _ in range(rotations)]
                async with _probed(health) as waits, _tenant(env, port, key):
                    begun, cpu, handshakes = time.monotonic(), operator.cpu(), _handshakes(env)
                    await asyncio.sleep(_FIRST_SECONDS)
                    during = [await _rotation(env, made, operator) for _ in range(rotations)]
                    seconds, cpu = time.monotonic() - begun, operator.cpu() - cpu
                    handshakes = _handshakes(env) - handshakes
    env.say(
        f"beside a server of costly handshakes a rotation takes {max(during):.2f} s at most, {max(before):.2f} s "
        f"without; a probe {max(waits):.2f} s; {handshakes} handshakes and {cpu:.1f} s of CPU in {seconds:.1f} s"
    )
    return {
        "numbers": plan.numbers,
        "tenants_numbers": env.fewer(_NUMBERS),
        "before": before,
        "during": during,
        "probes": waits,
        "handshakes": handshakes,
        "cpu": cpu,
        "seconds": seconds,
    }


async def _rotation(env: Environment, made: Scene, operator: RunningOperator) -> float:
    await asyncio.sleep(SETTLING_SECONDS)
    return (await rotate(env, made, operator)).wall


@contextmanager
def _server(env: Environment) -> Iterator[int]:
    """Run the server inside the block, on a port of its own."""
    keeper, port, name = env.api_server.keeper, free_port(), "costly-server"
    command = [sys.executable, "-m", "bench.costly_server", str(keeper.folder), f"--port={port}"]
    process: subprocess.Popen[bytes] = keeper.spawn(name, command, env={"PYTHONPATH": ROOTS})
    try:
        wait_until_up("the costly server", process, (keeper.folder / costly_server.UP).exists, keeper.log(name))
        yield port
    finally:
        keeper.end(process)


@asynccontextmanager
async def _tenant(env: Environment, port: int, key: KeyPair) -> AsyncIterator[None]:
    """Keep a tenant inside the block whose numbers are all at that server."""
    authority = (env.api_server.keeper.folder / costly_server.AUTHORITY).read_text(encoding="ascii")
    await env.cluster.create("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
    entries = [
        secret(KEY, {"private.pem": key.private}),
        secret(LOGIN, {"username": names.USERNAME, "password": names.PASSWORD}),
        secret(CA, {"ca.crt": authority}),
    ]
    await env.cluster.create_all(secrets_path(_NAMESPACE), entries)
    indices = env.phones.take(env.fewer(_NUMBERS))
    urls = {"one-name": f"{names.ADDRESSES[0]}:{port}/{{digits}}", "many-names": f"wa-{{digits}}.{names.DOMAIN}:{port}"}
    objects = [_object(name, f"https://{url}", indices) for name, url in urls.items()]
    await env.cluster.create_all(objects_path(_NAMESPACE), objects)
    try:
        yield
    finally:
        await env.cluster.request("DELETE", objects_path(_NAMESPACE))


def _object(name: str, url: str, indices: range) -> dict[str, Any]:
    return {
        "apiVersion": "bek.dev/v1alpha1",
        "kind": "BusinessEncryptionKey",
        "metadata": {"name": name},
        "spec": {
            "keySecretRef": {"name": KEY},
            "apis": [
                {
                    "name": "default",
                    "type": "OnPremises",
                    "onPremises": {
                        "url": url,
                        "credentialsSecretRef": {"name": LOGIN},
                        "tls": {
                            "caSecretRef": {"name": CA, "key": "ca.crt"},
                            "serverName": names.SERVER_NAME,
                        },
                    },
                }
            ],
            "phoneNumbers": [{"phoneNumber": names.number(index)} for index in indices],
            "intervalSeconds": 10,
            "rollout": {"type": "AllAtOnce"},
        },
    }


def _handshakes(env: Environment) -> int:
    return (env.api_server.keeper.folder / costly_server.HANDSHAKES).stat().st_size


@asynccontextmanager
async def _probed(port: int) -> AsyncIterator[list[float]]:
    """Request `/healthz` repeatedly inside the block; yield the list of the seconds that each answer took."""
    waits: list[float] = []
    task = asyncio.create_task(_probe(port, waits))
    try:
        yield waits
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _probe(port: int, waits: list[float]) -> None:
    while True:
        begun = time.monotonic()
        await asyncio.to_thread(_ask, port)
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(_PROBE_EVERY)


def _ask(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
