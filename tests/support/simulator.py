"""What the simulators of both APIs have in common: counting, waiting, and meeting a request with a fault."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from support.exchange import Exchange, Fault
from support.ledger import Ledger, Record
from support.signed_number import SignedNumber

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that has been entered into a ledger, and how it is going to be met."""

    ledger: Ledger
    place: int
    exchange: Exchange
    fault: Fault | None


class Simulator(ABC):
    """A set of numbers behind one API.

    Attributes:
        peak: The most requests that were being answered at once, over all numbers.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._bell = threading.Condition()
        self._busy = 0

    @abstractmethod
    def _homes(self) -> Iterable[SignedNumber]:
        """Return every number."""

    def _ledgers(self) -> Iterable[Ledger]:
        """Return whatever keeps records."""
        return self._homes()

    @property
    def requests(self) -> list[Record]:
        """Every request so far, oldest first."""
        records = [record for ledger in self._ledgers() for record in ledger.requests]
        return sorted(records, key=lambda record: record.at)

    @property
    def reads(self) -> int:
        """How many times a key was asked for."""
        return sum(ledger.reads for ledger in self._ledgers())

    @property
    def publishes(self) -> int:
        """How many times a key was to be published, whatever came of it."""
        return sum(ledger.publishes for ledger in self._ledgers())

    @property
    def scandals(self) -> list[str]:
        """What no client may ever do and one did."""
        return [f"{home.number}: {scandal}" for home in self._homes() for scandal in home.scandals]

    def all_hold(self, public: str) -> bool:
        """Tell whether every number is VALID for this key."""
        return all(home.holds(public) for home in self._homes())

    def forget_requests(self) -> None:
        """Start counting anew."""
        with self._bell:
            for ledger in self._ledgers():
                ledger.forget_requests()
            self.peak = 0

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10, what: str = "it") -> None:
        """Wait for a state of the simulator, looking again after each request and each change by a test.

        Raises:
            TimeoutError: It did not come about; the message tells what was counted.
        """
        with self._bell:
            if not self._bell.wait_for(predicate, timeout):
                states = "\n".join(map(repr, list(self._homes())[:_SHOWN]))
                raise TimeoutError(f"{what} did not come about within {timeout} s:\n{states}")

    async def _meet(self, arrive: Callable[[], Visit]) -> web.StreamResponse:
        """Enter a request and answer it, properly or by the fault that is due.

        Without a fault all of it happens under the lock, so that no test sees half of it.
        """
        with self._bell:
            self._busy += 1
            self.peak = max(self.peak, self._busy)
            visit = arrive()
            if visit.fault is None:
                reply = visit.exchange.reply
                self._done(visit, reply.status)
                return reply.response()
        status: int | None = None
        try:
            response = await visit.fault(visit.exchange)
            if visit.exchange.sent:
                status = response.status
            return response
        finally:
            self._done(visit, status)

    def _done(self, visit: Visit, status: int | None) -> None:
        with self._bell:
            self._busy -= 1
            visit.ledger.answered(visit.place, status)
