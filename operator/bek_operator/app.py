"""The composition root: creates all components, wires them and runs them."""

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

from bek_operator.cluster.client import Client
from bek_operator.cluster.events import Events
from bek_operator.cluster.leader_client import LeaderClient
from bek_operator.cluster.lease import Leases
from bek_operator.cluster.objects import Objects
from bek_operator.cluster.secret_watch import SecretWatch
from bek_operator.cluster.secrets import SecretReader
from bek_operator.cluster.traffic import AWAY_SECONDS, Observer
from bek_operator.controller.health import SILENCE_SECONDS, probes, unhealthy
from bek_operator.controller.informer import Informer
from bek_operator.controller.kopf_run import run_kopf
from bek_operator.controller.leader import Alone, Elector, Leadership
from bek_operator.controller.manager import Manager, Ports
from bek_operator.controller.watch import ObjectWatch
from bek_operator.controller.web_server import WebServer
from bek_operator.http.client import HttpxClient
from bek_operator.http.interface import HttpClient
from bek_operator.http.resolver import Resolver
from bek_operator.http.routes import ProxyRoutes
from bek_operator.metrics import apis
from bek_operator.metrics.metrics import Metrics
from bek_operator.numbers.endpoints import EgressPolicy
from bek_operator.settings import Settings
from bek_operator.supervise import supervise
from bek_operator.times import Clock, steady_clock
from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud
from bek_operator.whatsapp.flow_endpoint import FlowEndpointClient
from bek_operator.whatsapp.on_premises.backend import OnPremises
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """After how many seconds `/healthz` takes a watch for lost, and the API server for away."""

    silence_seconds: float = SILENCE_SECONDS
    away_seconds: float = AWAY_SECONDS


async def run(settings: Settings, limits: Limits = Limits()) -> str:
    """Run the operator until a signal arrives, or a component fails or ends by itself.

    Returns:
        The name of the signal.

    Raises:
        Exception: the failure; `ClusterError`, `Ended`, `OSError` and `WatchEnded` have a message for users.
    """
    signals = _Signals()
    work = asyncio.create_task(_work(settings, limits, signals.listen), name="work")
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
    """Handlers for SIGINT and SIGTERM, which a container's first process does not have by default."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[str] = asyncio.Queue()
        self.listen()

    def listen(self) -> None:
        """Install the handlers, in place of any others."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, self._received.put_nowait, signum.name)

    async def wait(self) -> str:
        """Return the name of the first signal that arrives."""
        return await self._received.get()


async def _work(settings: Settings, limits: Limits, restore_signals: Callable[[], None]) -> None:
    """Create and run all components; the end of one ends all."""
    async with AsyncExitStack() as stack:
        clock = steady_clock()
        metrics = Metrics(clock)
        observer = Observer(clock, limits.away_seconds)
        observed = (metrics.cluster.request, observer)
        client = await stack.enter_async_context(await Client.connect(observed))
        leadership = _leadership(settings, client)
        if settings.lease:
            metrics.process.watch_leader(settings.lease.name, leadership.is_leader)
        direct, external = _http_clients(settings, leadership.may_call)
        backends = _backends(settings, clock, metrics, direct, external)
        stack.push_async_callback(backends.close)
        leader_client = LeaderClient(client, leadership.is_leader)
        objects = Objects(leader_client, settings.namespaces, settings.watch_label_selector)
        informer = Informer(objects, settings.max_numbers_per_namespace)
        ports = Ports(
            objects=informer,
            secrets=SecretReader(client),
            events=Events(leader_client, socket.gethostname()),
            backend=metrics.apis.backend(backends),
            endpoints=FlowEndpointClient(external, observe=metrics.apis.calls(apis.FLOWS_ENDPOINT)),
            limits=backends,
            instruments=metrics.work,
        )
        egress = EgressPolicy(hosts=settings.hosts, cloud=settings.cloud, cloud_ca=settings.cloud_ca)

        async def lead() -> None:
            manager = Manager(ports, egress, settings.concurrency, clock)
            with metrics.of(manager.store):
                await manager.run()

        watch = ObjectWatch(
            kopf=lambda stream: run_kopf(
                stream,
                informer.on_event,
                client.access,
                settings.namespaces,
                restore_signals,
                selector=settings.watch_label_selector,
                middlewares=observed,
            ),
            paths=objects.paths,
            discovery=objects,
            resync=informer.resync,
            clock=clock,
        )

        def not_healthy() -> str:
            return unhealthy(observer.traffic(), clock(), limits.silence_seconds)

        def unready() -> str:
            if not informer.synced.is_set():
                return "the first list of BusinessEncryptionKeys is not complete"
            return "" if watch.is_up() else "the watch on BusinessEncryptionKeys is down"

        async def watch_objects() -> None:
            await informer.synced.wait()
            await watch.run()

        async def take_part() -> None:
            # A process that cannot list the objects must not hold the Lease.
            await informer.synced.wait()
            await leadership.run(lead)

        await stack.enter_async_context(WebServer("health-address", settings.health, probes(not_healthy, unready)))
        await stack.enter_async_context(WebServer("metrics-address", settings.metrics, {"/metrics": metrics.handler()}))
        parts = {
            "informer": informer.run(),
            "object watch": watch_objects(),
            "leadership": take_part(),
            "check of the API server": observer.ask_when_quiet(lambda: client.request("GET", "/version")),
        }
        if settings.watch_secrets:
            watched = SecretWatch(
                client, settings.namespaces, settings.secret_selector, informer.on_secret_event, clock
            )
            metrics.cluster.watch_secrets(watched)
            parts["secret watch"] = watched.run()
        await supervise(parts)


def _leadership(settings: Settings, client: Client) -> Leadership:
    if settings.lease is None:
        return Alone()
    # The host name of a pod is its own name.
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    return Elector(Leases(client, settings.lease.namespace, settings.lease.name), identity)


def _http_clients(settings: Settings, may_send: Callable[[], bool]) -> tuple[HttpClient, HttpClient]:
    """Return the client for On-Premises, and the one for all else, which uses the proxy if there is one."""
    user_agent = f"bek-operator/{version('bek-operator')}"
    resolver = Resolver(settings.hosts.names_address)
    direct = HttpxClient(resolver, user_agent=user_agent, may_send=may_send)
    if not settings.cloud_proxy:
        return direct, direct
    proxied = HttpxClient(resolver, user_agent=user_agent, may_send=may_send, proxy=settings.cloud_proxy)
    return direct, ProxyRoutes(direct, proxied)


def _backends(settings: Settings, clock: Clock, metrics: Metrics, direct: HttpClient, external: HttpClient) -> Backends:
    rate_limiters = RateLimiters()
    metrics.apis.watch_usage(lambda: rate_limiters.usage(clock()))
    return Backends(
        OnPremises(direct, observe=metrics.apis.calls(apis.ON_PREMISES)),
        Cloud(external, rate_limiters, clock, observe=metrics.apis.calls(apis.CLOUD)),
        rate_limiters,
        per_host=settings.concurrency_per_host,
    )
