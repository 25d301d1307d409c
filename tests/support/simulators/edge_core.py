"""The encryption edge of any number of numbers, without connections."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, Unpack

from support.simulators import encryption_edge, number_list, usage
from support.simulators.call import Call
from support.simulators.cloud_number import CloudNumber
from support.simulators.exchange import Fault, Reply
from support.simulators.fault_queue import FaultQueue
from support.simulators.graph_errors import CONTENT_TYPE, GraphError, GraphRefusal, graph_error, trace_id
from support.simulators.graph_parameters import ENCODINGS, Encoding, in_query
from support.simulators.ledger import Kind, Ledger, Record
from support.simulators.simulator import Simulator
from support.simulators.usage import Limit, Options, Payer, Per

F = TypeVar("F", bound=Fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A recorded request.

    Attributes:
        number: The number that it is for, if any.
        trace: The trace id of its answer.
        headers: Further headers of its answer.
        limited: The error, if it is beyond a limit.
    """

    call: Call
    kind: Kind
    number: CloudNumber | None
    ledger: Ledger
    place: int
    trace: str
    headers: Mapping[str, str]
    limited: GraphError | None


class EdgeCore(Simulator):
    """Counts, checks, limits and answers; plain attributes may be set at any time.

    Attributes:
        numbers: By phone number id.
        clock: The time in seconds for limits and the life of tokens.
        accepts: The encodings of parameters that are accepted.
        limits: See `limit`.
        show_usage: Whether answers have usage headers.
        elsewhere: The records of requests for no known number.
        oddities: What clients did that Meta tolerates and nobody documents.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, CloudNumber] = {}
        self.clock: Callable[[], float] = time.monotonic
        self.accepts: set[Encoding] = set(ENCODINGS)
        self.limits: list[Limit] = []
        self.show_usage = True
        self.elsewhere = Ledger(self._condition)
        self.oddities: list[str] = []
        self._by_number: dict[str, CloudNumber] = {}
        self._faults = FaultQueue(self._condition)
        self._stray_violations: list[str] = []

    def __getitem__(self, name: str) -> CloudNumber:
        """Find a number by its id, or by itself with its plus."""
        return self._by_number[name] if name.startswith("+") else self.numbers[name]

    @property
    def strays(self) -> list[str]:
        """Paths of requests for no known number."""
        return [record.path for record in self.elsewhere.requests]

    @property
    def violations(self) -> list[str]:
        """What a client did and no client must ever do."""
        return [*super().violations, *(f"elsewhere: {violation}" for violation in self._stray_violations)]

    @property
    def refused(self) -> int:
        """How many calls were refused for a limit."""
        return sum(limit.refused for limit in self.limits)

    def limit(self, calls_per_hour: int, per: Per = "app+waba", **options: Unpack[Options]) -> Limit:
        """Add a limit on calls."""
        limit = Limit(calls_per_hour, per, **options)
        with self._condition:
            self.limits.append(limit)
        return limit

    def fail(self, kind: Kind | Literal["any"], fault: F, times: int | None = 1) -> F:
        """Answer the next requests of a kind, for any number, with a fault; it precedes the faults of a number."""
        self._faults.add(kind, fault, times)
        return fault

    def heal(self) -> None:
        """Drop every queued fault, here and at the numbers."""
        self._faults.clear()
        for number in self.numbers.values():
            number.heal()

    def ask(
        self, method: str, path: str, *, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """Answer a request without a connection, for tests in virtual time.

        Of the faults only errors of the API are possible.
        """
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        with self._condition:
            call = Call(method=method, path=path, query=query, headers=lower, body=body)
            entry = self._enter(call, record(call))
            fault = self._fault(entry)
            if fault is None:
                reply = self._reply(entry)
            elif isinstance(fault, GraphError):
                reply = fault.reply(entry.trace, entry.headers)
                entry.ledger.note(entry.place, code=fault.code)
            else:
                raise TypeError(f"{fault} needs a connection")
            entry.ledger.answered(entry.place, reply.status)
            return reply

    def _put(self, number: CloudNumber) -> CloudNumber:
        with self._condition:
            self.numbers[number.id] = self._by_number[number.number] = number
        return number

    def _all_numbers(self) -> Iterable[CloudNumber]:
        return self.numbers.values()

    def _ledgers(self) -> Iterator[Ledger]:
        yield from self.numbers.values()
        yield self.elsewhere

    # What differs between APIs; called with the lock held.

    @abstractmethod
    def _find(self, call: Call) -> CloudNumber | None:
        """Return the number that a request is for."""

    @abstractmethod
    def _handle(self, call: Call, number: CloudNumber | None) -> dict[str, object]:
        """Carry out a request, or raise GraphRefusal."""

    @abstractmethod
    def _payer(self, call: Call, number: CloudNumber | None) -> Payer | None:
        """Return the accounts that a request counts for, `None` without a valid credential."""

    @abstractmethod
    def _secrets(self, call: Call, number: CloudNumber | None) -> Iterable[tuple[str, str]]:
        """Return names and texts of secrets that must not occur in path, query or body."""

    def _more_headers(self, call: Call) -> dict[str, str]:
        del call
        return {}

    # One request; called with the lock held.

    def _enter(self, call: Call, arrival: Record) -> Entry:
        """Count and record a request."""
        number = self._find(call)
        ledger = self.elsewhere if number is None else number
        payer = self._payer(call, number)
        now = self.clock()
        limited: GraphError | None = None
        if payer is not None:
            for limit in self.limits:
                account = payer.account(limit.per)
                limited = (limit.take(account, now) if account else None) or limited
        trace = trace_id()
        headers = {"x-fb-trace-id": trace, "x-fb-request-id": trace, **self._more_headers(call)}
        if payer is not None and self.show_usage:
            headers |= usage.headers(self.limits, payer, now)
        fingerprint, encoding = (None, None) if arrival.kind != "publish" else encryption_edge.offer(call, self.accepts)
        full = replace(
            arrival,
            authorised=payer is not None,
            token="" if payer is None else payer.token,
            fingerprint=fingerprint,
            encoding=encoding or "",
            trace=trace,
        )
        self._judge(call, number)
        return Entry(
            call=call,
            kind=arrival.kind,
            number=number,
            ledger=ledger,
            place=ledger.open(full),
            trace=trace,
            headers=headers,
            limited=limited,
        )

    def _judge(self, call: Call, number: CloudNumber | None) -> None:
        violations = self._stray_violations if number is None else number.violations
        if call.brings_private_key:
            violations.append("a private key was sent")
        bare = replace(call, headers={})
        violations += [
            f"{name} was sent outside of its header"
            for name, text in self._secrets(call, number)
            if bare.mentions(text)
        ]
        if not call.path.endswith(f"/{number_list.NAME}"):
            self.oddities += encryption_edge.oddities(call)

    def _fault(self, entry: Entry) -> Fault | None:
        if entry.limited is not None:
            return entry.limited
        mine = self._faults.next(entry.kind)
        if mine is not None or entry.number is None:
            return mine
        return entry.number.next_fault(entry.kind)

    def _reply(self, entry: Entry) -> Reply:
        """Carry out a request, and record the result."""
        with self._condition:
            try:
                document = self._document(entry)
            except GraphRefusal as refusal:
                entry.ledger.note(entry.place, code=refusal.error.code)
                return refusal.error.reply(entry.trace, entry.headers)
            if entry.kind == "publish" and document.get("success") is True:
                entry.ledger.carried_out(entry.place)
            return replace(Reply.json(document, headers=entry.headers), content_type=CONTENT_TYPE)

    def _document(self, entry: Entry) -> dict[str, object]:
        if entry.call.body is None:
            raise GraphRefusal(graph_error(1, "Please reduce the amount of data", status=413))  # a guess
        return self._handle(entry.call, entry.number)


def record(call: Call) -> Record:
    """Make the record of a request, without its connection."""
    kinds: dict[str, Kind] = {"GET": "read", "POST": "publish"}
    return Record(
        at=time.monotonic(),
        method=call.method,
        path=call.path,
        kind=kinds.get(call.method, "other") if call.path.endswith(f"/{encryption_edge.NAME}") else "other",
        headers=tuple(call.headers),
        cookies="cookie" in call.headers,
        host=call.headers.get("host", ""),
        parameters=tuple(name for name, _ in in_query(call)),
    )
