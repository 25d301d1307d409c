"""Run as a program: the calls of a rotation and nothing else, on a bare event loop.

It reads one line of JSON for each run, `{"first": …, "count": …, "key": …}`, makes a publish and a read for every
number with so many workers, and writes one line with the time. What a client makes once, such as its TLS context, is
made before; connections are new in each run.
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from bek_operator.http.client import HttpxClient
from bek_operator.http.interface import Request
from bek_operator.http.resolver import Resolver
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.hosts import AllowedHosts
from bek_operator.net.url import Url
from bench import names
from bench.processes import allow_many_connections

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_OK = 200


class Place(NamedTuple):
    """Where a number's API is called, and with which token."""

    host: str
    port: int
    path: str
    field: str
    server_name: str
    token: str


Carry = Callable[[Place, bytes | None], Awaitable[int]]
"""Make one call, with a form to publish or none to read; return the HTTP status."""


def place_of(index: int, api: str, port: int) -> Place:
    """Return the place of a number."""
    if api == "cloud":
        path = f"/v25.0/{names.number_id(index)}/whatsapp_business_encryption"
        return Place("127.0.0.1", port, path, "business_public_key", "127.0.0.1", f"{names.TOKEN}-baseline")
    path = "/v1/settings/business/whatsapp_business_encryption"
    return Place(names.host(index), port, path, "public_key", names.SERVER_NAME, f"bench-token-{index}")


@asynccontextmanager
async def plain_httpx(context: ssl.SSLContext, workers: int) -> Any:
    """Provide httpx in its fastest form: a client for each worker, all with one TLS context."""
    limits = httpx.Limits(max_connections=4, max_keepalive_connections=1)
    free = [httpx.AsyncClient(verify=context, trust_env=False, limits=limits) for _ in range(workers)]
    clients = list(free)

    async def call(place: Place, form: bytes | None) -> int:
        client = free.pop()
        try:
            address = names.address(place.host) if place.host.endswith(names.DOMAIN) else place.host
            headers = {"Host": f"{place.host}:{place.port}", "Authorization": f"Bearer {place.token}"}
            response = await client.request(
                "GET" if form is None else "POST",
                f"https://{address}:{place.port}{place.path}",
                headers=headers if form is None else {**headers, **_FORM},
                content=form,
                extensions={"sni_hostname": place.server_name},
            )
            return response.status_code
        finally:
            free.append(client)

    try:
        yield call
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


@asynccontextmanager
async def plain_aiohttp(context: ssl.SSLContext, workers: int) -> Any:
    """Provide aiohttp in its fastest form: one session for all workers."""
    connector = aiohttp.TCPConnector(limit=workers, ssl=context, resolver=_Resolver())
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:

        async def call(place: Place, form: bytes | None) -> int:
            headers = {"Authorization": f"Bearer {place.token}"}
            async with session.request(
                "GET" if form is None else "POST",
                f"https://{place.host}:{place.port}{place.path}",
                headers=headers if form is None else {**headers, **_FORM},
                data=form,
                server_hostname=place.server_name,
            ) as response:
                await response.read()
                return response.status

        yield call


@asynccontextmanager
async def operators_own(ca_bundle: str) -> Any:
    """Provide the operator's own HTTP layer: checked addresses, bounded answers, a limit on the whole call."""
    allowed = AllowedHosts.parse(f"{address}:*" for address in ("127.0.0.1", *names.ADDRESSES))

    async def lookup(host: str) -> Iterable[str]:
        return [names.address(host)]

    http = HttpxClient(Resolver(allowed.names_address, lookup=lookup))
    trusts = {name: ServerTrust(ca_bundle=ca_bundle, server_name=name) for name in ("127.0.0.1", names.SERVER_NAME)}

    async def call(place: Place, form: bytes | None) -> int:
        headers = {"Authorization": f"Bearer {place.token}"}
        request = Request(
            method="GET" if form is None else "POST",
            url=Url(host=place.host, port=place.port, path=place.path),
            trust=trusts[place.server_name],
            headers=headers if form is None else {**headers, **_FORM},
            content=form,
        )
        return (await http.send(request)).status

    try:
        yield call
    finally:
        await http.close()


async def run(call: Carry, places: list[Place], public_key: str, workers: int) -> dict[str, float]:
    """Publish to every place and read it again; return the time."""
    forms = {place.field: urlencode({place.field: public_key}).encode() for place in places[:1]}
    waiting = iter(places)

    async def work() -> None:
        for place in waiting:
            for form in (forms[place.field], None):
                status = await call(place, form)
                if status != _OK:
                    raise RuntimeError(f"HTTP {status}")

    begun, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return {"wall": time.monotonic() - begun, "cpu": time.process_time() - cpu}


class _Resolver(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(hostname=host, host=names.address(host), port=port, family=2, proto=0, flags=0),
        ]

    async def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Make one run for each line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--client", choices=["httpx", "aiohttp", "operator"], required=True)
    parser.add_argument("--api", choices=["cloud", "on-premises"], required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    allow_many_connections()
    ca_bundle = (given.folder / "cloud-ca.crt").read_text(encoding="ascii")
    public_keys = json.loads((given.folder / "public-keys.json").read_text(encoding="ascii"))
    context = ssl.create_default_context(cadata=ca_bundle)
    clients: dict[str, Callable[[], Any]] = {
        "httpx": lambda: plain_httpx(context, given.workers),
        "aiohttp": lambda: plain_aiohttp(context, given.workers),
        "operator": lambda: operators_own(ca_bundle),
    }

    async def once(first: int, count: int, key: int) -> dict[str, float]:
        places = [place_of(index, given.api, given.port) for index in range(first, first + count)]
        async with clients[given.client]() as call:
            return await run(call, places, public_keys[key], given.workers)

    for line in sys.stdin:
        sys.stdout.write(json.dumps(asyncio.run(once(**json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
