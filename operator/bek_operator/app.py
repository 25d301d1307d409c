"""The application: makes every part, wires them together and runs them until the end."""

import asyncio
import logging
import signal
import socket
from contextlib import AsyncExitStack
from importlib.metadata import version

from bek_operator.cluster.client import Client
from bek_operator.cluster.events import Events
from bek_operator.cluster.objects import Objects
from bek_operator.cluster.secret_watch import SecretWatch
from bek_operator.cluster.secrets import SecretReader
from bek_operator.controller.clock import Clock, steady_clock
from bek_operator.controller.health import Health
from bek_operator.controller.reign import Ports, Reign
from bek_operator.controller.watch import watch_objects
from bek_operator.model.access import Reach
from bek_operator.settings import Settings
from bek_operator.whatsapp.address import Addresses
from bek_operator.whatsapp.backends import Backends
from bek_operator.whatsapp.budget import Budgets
from bek_operator.whatsapp.cloud import Cloud
from bek_operator.whatsapp.exchange import Caller
from bek_operator.whatsapp.http import Http
from bek_operator.whatsapp.on_premises import OnPremises
from bek_operator.whatsapp.routes import Routes

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Run the operator until a signal or a fault ends it; a fault is raised."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect())
        clock = steady_clock()
        backends = _backends(settings, clock)
        stack.push_async_callback(backends.close)
        reign = Reign(
            Ports(
                objects=Objects(client, settings.namespaces),
                secrets=SecretReader(client),
                events=Events(client, socket.gethostname()),
                backend=backends,
                lanes=backends,
            ),
            Reach(hosts=settings.hosts, cloud=settings.cloud, cloud_authorities=settings.cloud_authorities),
            settings.concurrency,
            clock,
        )
        health = Health(settings.health.host, settings.health.port, is_ready=reign.settled.is_set)
        await stack.enter_async_context(health)
        await _run_together(settings, client, reign, backends)


def _backends(settings: Settings, clock: Clock) -> Backends:
    agent = f"bek-operator/{version('bek-operator')}"
    addresses = Addresses(settings.hosts.names_address)
    direct = Http(addresses, user_agent=agent)
    outward: Caller = direct
    if settings.cloud_proxy:
        outward = Routes(direct, Http(addresses, user_agent=agent, proxy=settings.cloud_proxy))
    budgets = Budgets()
    return Backends(OnPremises(direct), Cloud(outward, budgets, clock), budgets, per_host=settings.concurrency_per_host)


async def _run_together(settings: Settings, client: Client, reign: Reign, backends: Backends) -> None:
    """Run the reign and the watches beside it; the end of any one is the end of all."""
    stop = asyncio.Event()
    secrets = SecretWatch(client, settings.namespaces, settings.secret_selector, reign.secret_hint)
    ours = [asyncio.create_task(reign.run(), name="reign")]
    if settings.watch_secrets:
        ours.append(asyncio.create_task(secrets.run(), name="secrets"))

    async def end_ours() -> None:
        for task in ours:
            task.cancel()
        await asyncio.wait(ours)
        await backends.close()

    async def follow() -> None:
        await reign.settled.wait()
        await watch_objects(reign.object_hint, client.access, settings.namespaces, stop, end_ours)

    # Until kopf has its own in their place: as a container's first process nobody else would end this one.
    signalled = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, signalled.set)
    early = asyncio.create_task(signalled.wait(), name="signal")
    following = asyncio.create_task(follow(), name="objects")
    done, _ = await asyncio.wait([following, early, *ours], return_when=asyncio.FIRST_COMPLETED)
    try:
        for task in done:
            if not task.cancelled():
                task.result()
    finally:
        stop.set()
        early.cancel()
        if not reign.settled.is_set():
            following.cancel()
        await end_ours()
        await asyncio.wait([following])
        log.info("stopped")
