"""Replicas of the operator in virtual time, and a Prometheus that scrapes them."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from bek_operator.http.errors import NotConnectedError
from bek_operator.metrics.metrics import Metrics
from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from monitoring.recording import INTERVAL, Recording
from support.builders import NOW, TOKEN_SECRET, cloud, spec_body
from support.fakes import now, numbers
from support.simulators.cloud import Cloud
from support.simulators.in_process import InProcessClient
from support.virtual_time import VirtualLoop
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping

    from bek_operator.controller.manager import Manager
    from bek_operator.crd.types import ObjectKey
    from bek_operator.http.interface import Request, Response
    from support.keys import KeyPair
    from support.simulators.cloud_number import CloudNumber

LEASE = "bek-operator"
NAMESPACE = "bek-system"
MINUTE, HOUR = 60.0, 3600.0

# A new version of the operator changes no fixture.
_FIXED = {"bek_build_info": {"version": "1.2.3"}}


class Line(InProcessClient):
    """The way to the Cloud API, which can be cut."""

    cut = False

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response."""
        if self.cut:
            raise NotConnectedError("the connection was refused")
        return await super().send(request)


class Stage(World):
    """Objects with numbers at a simulated Cloud API, and replicas of the operator; every scrape is recorded.

    Attributes:
        recording: What was scraped.
        refs: The objects that were created.
    """

    def __init__(self, recorded: Collection[str]) -> None:
        super().__init__()
        self.api = Cloud()
        self.api.clock = asyncio.get_running_loop().time
        self.line = Line(self.api)
        self.recording = Recording()
        self.refs: list[ObjectKey] = []
        self._recorded = recorded
        self._replicas: dict[str, Replica] = {}
        self.put_token(self.api.token().text)

    def put_token(self, text: str) -> None:
        """Put an access token into the Secret that objects name."""
        self.secrets.put(TOKEN_SECRET, token=text)

    def create(self, count: int = 12, name: str = "flows", **spec: Any) -> ObjectKey:
        """Create an object with numbers of its own."""
        begin = len(self.api.numbers)
        listed = [self.api.add(one) for one in numbers(begin + count)[begin:]]
        entries = [{"phoneNumber": one.number, "phoneNumberID": one.id} for one in listed]
        wanted = spec_body(apis=[cloud()], phoneNumbers=entries, **{"intervalSeconds": 600, **spec})
        self.refs.append(self.objects.create(name, wanted))
        return self.refs[-1]

    @property
    def numbers(self) -> list[CloudNumber]:
        """All numbers, the lowest first."""
        return list(self.api.numbers.values())

    def hold(self, pair: KeyPair) -> None:
        """Have all numbers hold a key, as if it had been published to them before."""
        for one in self.numbers:
            one.overwrite(pair.public)

    async def until_all_ready(self, seconds: float = MINUTE) -> None:
        """Wait until every object is Ready."""
        for ref in self.refs:
            await self.until_ready(ref, seconds)

    async def at(self, seconds: float) -> None:
        """Let time pass until so many seconds after the beginning."""
        await asyncio.sleep(seconds - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def replica(self, pod: str = "bek-operator-1", lease: str = LEASE) -> AsyncIterator[Replica]:
        """Run a process of the operator in a Pod, which is scraped and does not lead."""
        self._replicas[pod] = replica = Replica(self, lease)
        try:
            yield replica
        finally:
            del self._replicas[pod]

    @asynccontextmanager
    async def leader(self, pod: str = "bek-operator-1") -> AsyncIterator[Replica]:
        """Run a process of the operator in a Pod, which leads."""
        async with self.replica(pod) as replica, replica.leads():
            yield replica

    async def scrape(self) -> None:
        """Scrape all replicas until cancelled."""
        for count in range(1, 1_000_000):
            self.recording.add(dict(self._samples()))
            await self.at(count * INTERVAL)

    def _samples(self) -> Iterator[tuple[str, float]]:
        for pod, replica in self._replicas.items():
            target = {"job": "bek-operator", "namespace": NAMESPACE, "pod": pod}
            for name, labels, value in replica.samples():
                if name in self._recorded:
                    # The labels of the metric have precedence over the target's, as in the PodMonitor.
                    since = NOW if name.endswith("_timestamp_seconds") or name == "process_start_time_seconds" else 0.0
                    yield series(name, {**target, **labels, **_FIXED.get(name, {})}), value - since


class Replica:
    """A process of the operator with its metrics.

    Attributes:
        holds_lease: Whether it is the leader; one that does not work has no objects.
    """

    def __init__(self, stage: Stage, lease: str) -> None:
        self._stage = stage
        self._metrics = Metrics(now)
        self._started_at = now()
        self.holds_lease = False
        self._metrics.process.watch_leader(lease, lambda: self.holds_lease)

    @asynccontextmanager
    async def leads(self) -> AsyncIterator[Manager]:
        """Hold the Lease, and work, inside the block; once for a process."""
        stage, metrics = self._stage, self._metrics
        rate_limiters = RateLimiters()
        metrics.apis.watch_usage(lambda: rate_limiters.usage(now()))
        speaker = CloudBackend(stage.line, rate_limiters, now, observe=metrics.apis.calls("Cloud"))
        stage.limits = backends = Backends(stage.phones, speaker, rate_limiters, per_host=8)
        stage.backend, stage.instruments = metrics.apis.backend(backends), metrics.work
        async with stage.operator() as manager:
            self.holds_lease = True
            with metrics.of(manager.store):
                yield manager
        self.holds_lease = False

    def samples(self) -> Iterable[tuple[str, Mapping[str, str], float]]:
        """Return every sample, the time of the process's start being a virtual one."""
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                if sample.name == "process_start_time_seconds":
                    yield sample.name, sample.labels, self._started_at
                else:
                    yield sample.name, sample.labels, sample.value


@asynccontextmanager
async def running(work: Any) -> AsyncIterator[None]:
    """Run a coroutine beside the block; it must not end before the block does."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return how a series is written.

    >>> series("up", {"pod": "a", "job": "b"})
    'up{job="b",pod="a"}'
    """
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def play(scene: Callable[[Stage], Awaitable[None]], recorded: Collection[str]) -> Recording:
    """Play a scene in virtual time; return the series of these names, always the same."""

    async def run() -> Recording:
        stage = Stage(recorded)
        async with running(stage.scrape()):
            await asyncio.sleep(0)
            await scene(stage)
        return stage.recording

    random.seed(scene.__qualname__)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())
