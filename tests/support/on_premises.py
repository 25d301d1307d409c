"""A simulator of the WhatsApp On-Premises API: any number of pods, one for each phone number.

Every pod is reached through one common port, the *front*, and by choice at a port of its own as well. The
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
from types import TracebackType
from typing import Self

from aiohttp import web

from support import envelope, pod_api
from support.background import BackgroundLoop
from support.door import Door
from support.exchange import Exchange, Reply
from support.ledger import Record
from support.listener import Listener, server_name
from support.pod import Pod
from support.pod_api import Call
from support.simulator import Simulator, Visit
from support.tls import Certificate, self_signed

_BY_PATH = re.compile(r"/([0-9]{7,15})(/.*)", re.DOTALL)
_BY_HOST = re.compile(r"[^.:]*?([0-9]{7,15})")
_ROOM = 400
"""File descriptors that a process needs besides the pods' ports."""


def numbers(count: int) -> list[str]:
    """Return so many phone numbers, in order."""
    return [f"+1555{index:07}" for index in range(1, count + 1)]


class OnPremises(Simulator):
    """A set of pods and their front, running between entering and leaving.

    Attributes:
        certificate: What the front and every pod show unless told otherwise.
        pods: By phone number.
        strays: Paths of requests at the front that belong to no pod.
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
        self._doors: dict[Pod, Door] = {}
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every port, end every request, also those that hang."""
        self.close()

    def __getitem__(self, number: str) -> Pod:
        """Find a pod."""
        return self.pods[number]

    def add(self, number: str, *, own_port: bool | None = None, host: str | None = None) -> Pod:
        """Start a pod; `host` is another loopback address for its own port."""
        pod = Pod(number, self._bell)
        listener: Listener | None = None
        if self._own_ports if own_port is None else own_port:
            listener = Listener(
                lambda request: self._serve(pod, request, request.rel_url.raw_path),
                self.certificate,
                host or self._host,
            )
        pod.door = self._doors[pod] = Door(self._background, listener)
        if listener is not None:
            self._background.run(listener.open())
            pod.address = listener.address
        with self._bell:
            self.pods[number] = self._by_digits[pod.digits] = pod
        return pod

    def close(self) -> None:
        """End everything."""
        self._background.run(self._end())
        self._background.close()

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

    def _homes(self) -> Iterable[Pod]:
        return self.pods.values()

    async def _end(self) -> None:
        await self._front.end()
        for door in self._doors.values():
            await door.end()

    async def _serve_front(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if match := _BY_PATH.fullmatch(path):
            pod, path = self._by_digits.get(match[1]), match[2]
        elif match := _BY_HOST.match(request.headers.get("Host", "")):
            pod = self._by_digits.get(match[1])
        else:
            pod = None
        if pod is None:
            with self._bell:
                self.strays.append(path)
                self._bell.notify_all()
            return envelope.error(1006, "No pod lives here").response()
        return await self._serve(pod, request, path)

    async def _serve(self, pod: Pod, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Record a request and answer it, properly or by the fault that is due."""
        with self._doors[pod].holding(request.transport):
            if pod.state == "frozen":
                await asyncio.Event().wait()  # ends with the connection
            if pod.state == "stopped":
                return Exchange(request, Reply).hang_up()
            call = await Call.receive(request, path)

            def arrive() -> Visit:
                place = pod.open(_record(pod, call, request))
                exchange = Exchange(request, lambda: _carry_out(pod, call, place))
                return Visit(ledger=pod, place=place, exchange=exchange, fault=pod.next_fault(call.kind))

            return await self._meet(arrive)


def _record(pod: Pod, call: Call, request: web.BaseRequest) -> Record:
    context = request.transport.get_extra_info("peername") if request.transport is not None else None
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
        context=context[1] if context else 0,
    )


def _carry_out(pod: Pod, call: Call, place: int) -> Reply:
    """Let the pod answer, and note what it did."""
    with pod.bell:
        if call.brings_private_key:
            pod.scandals.append("a private key was sent")
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
