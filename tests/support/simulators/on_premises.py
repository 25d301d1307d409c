"""A simulator of the WhatsApp On-Premises API: any number of pods, one for each phone number.

Every pod is reached through one shared port, the *front*, and optionally at a port of its own. The
front finds the pod by the first part of the path, `https://127.0.0.1:<port>/15550001111/v1/...`, or by the
digits in the first label of the Host header, `https://whatsapp-15550001111.messaging.svc:<port>/v1/...`.

    with OnPremises(["+15550001111", "+15550002222"]) as simulator:
        simulator.url                            # https://127.0.0.1:<port>/{digits}
        simulator["+15550001111"].url            # https://127.0.0.1:<its own port>
        simulator["+15550001111"].fail("read", faults.error(1017))
        simulator["+15550001111"].wait_until(lambda: simulator.publishes == 2)

It runs in a thread of its own; all that it offers may be called from any other thread.
"""

import asyncio
import re
import resource
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Self

from aiohttp import web

from support.programs.background import BackgroundLoop
from support.simulators import envelope, pod_api
from support.simulators.exchange import Exchange, Reply
from support.simulators.ledger import Record
from support.simulators.listener import Listener, server_name
from support.simulators.pod import Pod
from support.simulators.pod_api import Call
from support.simulators.port_switch import PortSwitch
from support.simulators.simulator import Arrival, OpenInside, Simulator
from support.tls import Certificate, self_signed

_BY_PATH = re.compile(r"/([0-9]{7,15})(/.*)", re.DOTALL)
_BY_HOST = re.compile(r"[^.:]*?([0-9]{7,15})")
_ROOM = 400
"""File descriptors that a process needs besides the pods' ports."""


def numbers(count: int) -> list[str]:
    """Return so many phone numbers, in order."""
    return [f"+1555{index:07}" for index in range(1, count + 1)]


class OnPremises(Simulator, OpenInside):
    """A set of pods and their front, running between entering and leaving.

    Attributes:
        certificate: The default of the front and of every pod.
        pods: By phone number.
        strays: Paths of requests at the front that match no pod.
    """

    def __init__(
        self,
        phone_numbers: Iterable[str] = (),
        *,
        own_ports: bool = True,
        certificate: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__()
        self.certificate = certificate or self_signed()
        self.pods: dict[str, Pod] = {}
        self.strays: list[str] = []
        self._host = host
        self._own_ports = own_ports
        self._numbers = list(phone_numbers)
        self._by_digits: dict[str, Pod] = {}
        self._switches: dict[Pod, PortSwitch] = {}
        self._front = Listener(self._serve_front, self.certificate, host)

    def __enter__(self) -> Self:
        """Open every port."""
        self._background = BackgroundLoop("on-premises")
        try:
            if self._own_ports:
                _make_room(len(self._numbers))
            self._background.run(self._front.open())
            for number in self._numbers:
                self.add(number)
        except BaseException:
            self.close()
            raise
        return self

    def __getitem__(self, number: str) -> Pod:
        """Find a pod."""
        return self.pods[number]

    def add(self, number: str, *, own_port: bool | None = None, host: str | None = None) -> Pod:
        """Start a pod; `host` is another loopback address for its own port."""
        pod = Pod(number, self._condition)
        listener: Listener | None = None
        if self._own_ports if own_port is None else own_port:
            listener = Listener(
                lambda request: self._serve(pod, request, request.rel_url.raw_path),
                self.certificate,
                host or self._host,
            )
        pod.switch = self._switches[pod] = PortSwitch(self._background, listener)
        if listener is not None:
            self._background.run(listener.open())
            pod.address = listener.address
        with self._condition:
            self.pods[number] = self._by_digits[pod.digits] = pod
        return pod

    @property
    def port(self) -> int:
        """The front's port."""
        return self._front.address[1]

    @property
    def url(self) -> str:
        """The front's address for all pods, with `{digits}` in the place of the number."""
        return f"https://{self._host}:{self.port}/{{digits}}"

    @property
    def logins(self) -> int:
        """How many logins were tried."""
        return sum(pod.logins for pod in self.pods.values())

    def _all_numbers(self) -> Iterable[Pod]:
        return self.pods.values()

    async def _end(self) -> None:
        await self._front.end()
        for switch in self._switches.values():
            await switch.end()

    async def _serve_front(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if match := _BY_PATH.fullmatch(path):
            pod, path = self._by_digits.get(match[1]), match[2]
        elif match := _BY_HOST.match(request.headers.get("Host", "")):
            pod = self._by_digits.get(match[1])
        else:
            pod = None
        if pod is None:
            with self._condition:
                self.strays.append(path)
                self._condition.notify_all()
            return envelope.error(1006, "No such pod").response()
        return await self._serve(pod, request, path)

    async def _serve(self, pod: Pod, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Record a request and answer it, correctly or by the next fault."""
        with self._switches[pod].holding(request.transport):
            if pod.state == "frozen":
                await asyncio.Event().wait()  # ends with the connection
            if pod.state == "stopped":
                return Exchange(request, Reply).hang_up()
            call = await Call.receive(request, path)

            def arrive() -> Arrival:
                place = pod.open(_record(pod, call, request))
                exchange = Exchange(request, lambda: _carry_out(pod, call, place))
                return Arrival(ledger=pod, place=place, exchange=exchange, fault=pod.next_fault(call.kind))

            return await self._meet(arrive)


def _record(pod: Pod, call: Call, request: web.BaseRequest) -> Record:
    client = request.transport.get_extra_info("peername") if request.transport is not None else None
    return Record(
        at=time.monotonic(),
        method=call.method,
        path=call.path,
        kind=call.kind,
        authorised=pod_api.is_authorised(pod, call),
        fingerprint=pod_api.offered_fingerprint(call),
        headers=tuple(name.decode("latin-1").lower() for name, _ in request.raw_headers),
        cookies="cookie" in call.headers,
        host=call.headers.get("host", ""),
        server_name=server_name(request),
        client_port=client[1] if client else 0,
    )


def _carry_out(pod: Pod, call: Call, place: int) -> Reply:
    """Carry the request out, and record the result."""
    with pod.condition:
        if call.brings_private_key:
            pod.violations.append("a private key was sent")
        reply = pod_api.handle(pod, call)
        if call.kind == "publish" and reply.status == HTTPStatus.OK:
            pod.carried_out(place)
        return reply


def _make_room(pods: int) -> None:
    """Raise the process's own limit of open files where a port and two connections a pod would not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 3 * pods + _ROOM
    if soft != resource.RLIM_INFINITY and soft < needed:
        capacity = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, capacity), hard))
