"""The TLS port of a simulated Cloud API, or of a provider that offers it."""

import asyncio
from dataclasses import replace

from aiohttp import web

from support.simulators.call import Call
from support.simulators.edge_core import EdgeCore, record
from support.simulators.exchange import Exchange, Reply
from support.simulators.graph_errors import GraphExchange
from support.simulators.ledger import Record
from support.simulators.listener import Listener, server_name
from support.simulators.one_port import OnePort
from support.simulators.simulator import Arrival
from support.tls import Certificate


class EdgeServer(EdgeCore, OnePort):
    """A core and its port, which is open inside `with`; outside of it `ask` still works.

    Attributes:
        certificate: Its certificate.
    """

    def __init__(self, certificate: Certificate, host: str) -> None:
        super().__init__()
        self.certificate = certificate
        self.condition = self._condition
        self._listener = Listener(self._serve, certificate, host)

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return f"https://{self._listener.address[0]}:{self.port}"

    def show_certificate(self, certificate: Certificate) -> None:
        """Show another certificate from now on."""
        self.certificate = certificate
        super().show_certificate(certificate)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        with self._switch.holding(request.transport):
            if self.state == "frozen":
                await asyncio.Event().wait()  # ends with the connection
            if self.state == "stopped":
                return Exchange(request, Reply).hang_up()
            call = await Call.receive(request, request.rel_url.raw_path)

            def arrive() -> Arrival:
                entry = self._enter(call, _arrival(call, request))
                exchange = GraphExchange(request, lambda: self._reply(entry))
                exchange.trace, exchange.headers = entry.trace, entry.headers
                return Arrival(ledger=entry.ledger, place=entry.place, exchange=exchange, fault=self._fault(entry))

            return await self._meet(arrive)

    def _done(self, arrival: Arrival, status: int | None) -> None:
        code = arrival.exchange.code if isinstance(arrival.exchange, GraphExchange) else None
        if code is not None:
            arrival.ledger.note(arrival.place, code=code)
        super()._done(arrival, status)


def _arrival(call: Call, request: web.BaseRequest) -> Record:
    """Record a request and its connection."""
    client = request.transport.get_extra_info("peername") if request.transport is not None else None
    return replace(
        record(call),
        headers=tuple(name.decode("latin-1").lower() for name, _ in request.raw_headers),
        server_name=server_name(request),
        client_port=client[1] if client else 0,
    )
