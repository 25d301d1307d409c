"""What the simulators of both APIs share: counting, waiting, and answering requests, with faults or without."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from aiohttp import web

from support.programs.background import BackgroundLoop
from support.simulators.exchange import Exchange, Fault
from support.simulators.ledger import Ledger, Record
from support.simulators.signed_number import SignedNumber

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A recorded request, and how it is going to be answered."""

    ledger: Ledger
    place: int
    exchange: Exchange
    fault: Fault | None


class OpenInside(ABC):
    """What has ports, served by an event loop in a thread of its own, until it is left or closed."""

    _background: BackgroundLoop

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every port, end every request, hanging ones included."""
        self.close()

    def close(self) -> None:
        """End everything."""
        self._background.run(self._end())
        self._background.close()

    @abstractmethod
    async def _end(self) -> None:
        """Close every port."""


class Simulator(ABC):
    """A set of numbers behind one API.

    Attributes:
        peak: The most requests in progress at once, over all numbers.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._condition = threading.Condition()
        self._busy = 0

    @abstractmethod
    def _all_numbers(self) -> Iterable[SignedNumber]:
        """Return every number."""

    def _ledgers(self) -> Iterable[Ledger]:
        """Return all ledgers."""
        return self._all_numbers()

    @property
    def requests(self) -> list[Record]:
        """Every request so far, oldest first."""
        records = [record for ledger in self._ledgers() for record in ledger.requests]
        return sorted(records, key=lambda record: record.at)

    @property
    def reads(self) -> int:
        """How many reads there were."""
        return sum(ledger.reads for ledger in self._ledgers())

    @property
    def publishes(self) -> int:
        """How many publishes were tried."""
        return sum(ledger.publishes for ledger in self._ledgers())

    @property
    def violations(self) -> list[str]:
        """What a client did and no client must ever do."""
        return [f"{home.number}: {violation}" for home in self._all_numbers() for violation in home.violations]

    def all_hold(self, public: str) -> bool:
        """Return whether every number is VALID for this key."""
        return all(home.holds(public) for home in self._all_numbers())

    def forget_requests(self) -> None:
        """Forget all records."""
        with self._condition:
            for ledger in self._ledgers():
                ledger.forget_requests()
            self.peak = 0

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10, what: str = "it") -> None:
        """Wait for a state of the simulator, looking again after each request and each change by a test.

        Raises:
            TimeoutError: it did not; the message has the counts.
        """
        with self._condition:
            if not self._condition.wait_for(predicate, timeout):
                states = "\n".join(map(repr, list(self._all_numbers())[:_SHOWN]))
                raise TimeoutError(f"{what} did not happen within {timeout} s:\n{states}")

    async def _meet(self, arrive: Callable[[], Arrival]) -> web.StreamResponse:
        """Record a request and answer it, correctly or by the next fault.

        Without a fault all of it happens under the lock, so that tests see it whole or not at all.
        """
        with self._condition:
            self._busy += 1
            self.peak = max(self.peak, self._busy)
            arrival = arrive()
            if arrival.fault is None:
                reply = arrival.exchange.reply
                self._done(arrival, reply.status)
                return reply.response()
        status: int | None = None
        try:
            response = await arrival.fault(arrival.exchange)
            if arrival.exchange.sent:
                status = response.status
            return response
        finally:
            self._done(arrival, status)

    def _done(self, arrival: Arrival, status: int | None) -> None:
        with self._condition:
            self._busy -= 1
            arrival.ledger.answered(arrival.place, status)
