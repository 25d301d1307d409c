"""What a simulator saw: a record of every request, for assertions."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["login", "read", "publish", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request; it holds no secret and no key.

    Attributes:
        at: When it arrived, on the monotonic clock.
        kind: What the simulator took it for.
        path: The path as the pod sees it, without the query.
        status: The HTTP status of the answer; `None` while there is none, and when none was sent.
        open: Whether the request is still being answered.
        authorised: Whether it carried the right password, for a login, or else a living token of this pod.
        fingerprint: The fingerprint of the public key that it wants published, if that is one.
        carried_out: Whether a publish took effect.
        headers: The names of its headers, in lower case, in their order.
        cookies: Whether it carried any.
        host: The Host header.
        server_name: The name asked for in the TLS handshake.
        peer: The client's port: requests on one connection have it in common.
        token: The name that the simulator gave to the token or API key which it carried, where it knows one.
        encoding: How a publish brought the key: form, multipart, json or query.
        parameters: The names of the parameters in its query.
        code: The error code of the answer, where the simulator refused by one of its own.
        trace: The trace id that its answer carried.
    """

    at: float
    method: str
    path: str
    kind: Kind
    status: int | None = None
    open: bool = True
    authorised: bool = False
    fingerprint: str | None = None
    carried_out: bool = False
    headers: tuple[str, ...] = ()
    cookies: bool = False
    host: str = ""
    server_name: str | None = None
    context: int = 0
    token: str = ""
    encoding: str = ""
    parameters: tuple[str, ...] = ()
    code: int | str | None = None
    trace: str = ""


class Ledger:
    """The records of one number; readable from any thread, and cheap to count.

    `bell` is rung, with its lock held, after whatever a test may wait for.
    """

    def __init__(self, bell: threading.Condition) -> None:
        self.bell = bell
        self._records: list[Record] = []
        self._counts: Counter[Kind] = Counter()
        self._open = 0

    @property
    def requests(self) -> list[Record]:
        """Every request so far, oldest first."""
        with self.bell:
            return list(self._records)

    @property
    def logins(self) -> int:
        """How many logins were tried."""
        return self._counts["login"]

    @property
    def reads(self) -> int:
        """How many times the key was asked for."""
        return self._counts["read"]

    @property
    def publishes(self) -> int:
        """How many times a key was to be published, whatever came of it."""
        return self._counts["publish"]

    @property
    def published(self) -> list[str]:
        """The fingerprints of the publishes that took effect, oldest first."""
        return [record.fingerprint or "" for record in self.requests if record.carried_out]

    @property
    def busy(self) -> int:
        """How many requests are being answered."""
        return self._open

    def open(self, record: Record) -> int:
        """Enter a request and return its place."""
        with self.bell:
            self._records.append(record)
            self._counts[record.kind] += 1
            self._open += 1
            self.bell.notify_all()
            return len(self._records) - 1

    def note(self, place: int, **facts: Any) -> None:
        """Add to a record what became known later."""
        with self.bell:
            self._records[place] = replace(self._records[place], **facts)
            self.bell.notify_all()

    def carried_out(self, place: int) -> None:
        """Note that a publish took effect."""
        self.note(place, carried_out=True)

    def answered(self, place: int, status: int | None) -> None:
        """Note that a request has been dealt with."""
        with self.bell:
            self._records[place] = replace(self._records[place], status=status, open=False)
            self._open -= 1
            self.bell.notify_all()

    def forget_requests(self) -> None:
        """Start counting anew; only while no request is open."""
        with self.bell:
            if self._open:
                raise RuntimeError("a request is still open")
            self._records.clear()
            self._counts.clear()

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10, what: str = "it") -> None:
        """Wait for a state of the simulator, looking again after each request and each change by a test.

        Raises:
            TimeoutError: It did not come about; the message tells what was counted.
        """
        with self.bell:
            if not self.bell.wait_for(predicate, timeout):
                raise TimeoutError(f"{what} did not come about within {timeout} s; {self.summary()}")

    def summary(self) -> str:
        """Return the counts in a few words."""
        counts = f"{self.logins} logins, {self.reads} reads, {self.publishes} publishes"
        return f"{counts}, of which {len(self.published)} took effect, {self.busy} open"
