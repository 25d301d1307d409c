"""The application: makes every part, wires them together and runs them until the end."""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.metadata import version

from bek_operator.cluster.client import Client
from bek_operator.cluster.events import Events
from bek_operator.cluster.objects import Objects
from bek_operator.cluster.secret_watch import SecretWatch
from bek_operator.cluster.secrets import SecretReader
from bek_operator.controller.clock import Clock, steady_clock
from bek_operator.controller.health import Health
from bek_operator.controller.kopf_run import run_kopf
from bek_operator.controller.manager import Manager, Ports
from bek_operator.controller.watch import ObjectWatch
from bek_operator.http.client import HttpxClient
from bek_operator.http.exchange import HttpClient
from bek_operator.http.resolver import Addresses
from bek_operator.http.routes import Routes
from bek_operator.numbers.endpoints import EgressPolicy
from bek_operator.settings import Settings
from bek_operator.whatsapp.backends import Backends
from bek_operator.whatsapp.cloud.backend import Cloud
from bek_operator.whatsapp.on_premises.backend import OnPremises
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters


async def run(settings: Settings) -> str:
    """Run the operator until a signal or a fault ends it.

    Returns:
        The name of the signal.

    Raises:
        Exception: the fault; `ClusterError`, `OSError` and `WatchEnded` have a message for people.
    """
    signals = _Signals()
    work = asyncio.create_task(_work(settings, signals.listen), name="work")
    signalled = asyncio.create_task(signals.wait(), name="signal")
    try:
        await asyncio.wait([work, signalled], return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
        work.cancel()
        await asyncio.wait([work, signalled])
    if not work.cancelled():
        work.result()
    return signalled.result()


class _Signals:
    """SIGINT and SIGTERM: as a container's first process nobody else would end this one."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[str] = asyncio.Queue()
        self.listen()

    def listen(self) -> None:
        """Take the signals, from whoever has them now."""
        for one in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(one, self._came.put_nowait, one.name)

    async def wait(self) -> str:
        """Return the name of the first one that comes."""
        return await self._came.get()


async def _work(settings: Settings, keep_signals: Callable[[], None]) -> None:
    """Make every part and run those that run; the end of any one is the end of all."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect())
        clock = steady_clock()
        backends = _backends(settings, clock)
        stack.push_async_callback(backends.close)
        objects = Objects(client, settings.namespaces)
        manager = Manager(
            Ports(
                objects=objects,
                secrets=SecretReader(client),
                events=Events(client, socket.gethostname()),
                backend=backends,
                limits=backends,
            ),
            EgressPolicy(hosts=settings.hosts, cloud=settings.cloud, cloud_ca=settings.cloud_ca),
            settings.concurrency,
            clock,
        )
        watch = ObjectWatch(
            kopf=lambda stream: run_kopf(
                stream, manager.on_object_event, client.access, settings.namespaces, keep_signals
            ),
            paths=objects.paths,
            discovery=objects,
            list_anew=manager.list_anew,
            clock=clock,
        )

        def unready() -> str:
            if not manager.synced.is_set():
                return "not every object has been read yet"
            return "" if watch.is_up() else "the watch on BusinessEncryptionKeys is not up"

        async def follow() -> None:
            await manager.synced.wait()
            await watch.run()

        await stack.enter_async_context(Health(settings.health.host, settings.health.port, unready=unready))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(manager.run(), name="manager")
        group.create_task(follow(), name="objects")
        if settings.watch_secrets:
            secrets = SecretWatch(client, settings.namespaces, settings.secret_selector, manager.on_secret_event)
            group.create_task(secrets.run(), name="secrets")


def _backends(settings: Settings, clock: Clock) -> Backends:
    agent = f"bek-operator/{version('bek-operator')}"
    addresses = Addresses(settings.hosts.names_address)
    direct = HttpxClient(addresses, user_agent=agent)
    outward: HttpClient = direct
    if settings.cloud_proxy:
        outward = Routes(direct, HttpxClient(addresses, user_agent=agent, proxy=settings.cloud_proxy))
    rate_limiters = RateLimiters()
    return Backends(
        OnPremises(direct), Cloud(outward, rate_limiters, clock), rate_limiters, per_host=settings.concurrency_per_host
    )
