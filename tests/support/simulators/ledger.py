"""A record of every request at a simulator, for assertions."""

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
        kind: What the request does.
        path: The path as the pod sees it, without the query.
        status: The HTTP status of the answer; `None` until one is sent.
        open: Whether the request is still being answered.
        authorised: Whether it carried the right password (a login) or a valid token.
        fingerprint: The fingerprint of the key to publish, if it is a key.
        carried_out: Whether a publish took effect.
        headers: The names of its headers, in lower case, in their order.
        cookies: Whether it carried any.
        host: The Host header.
        server_name: The name asked for in the TLS handshake.
        client_port: The client's port, the same for all requests of one connection.
        token: The simulator's name of the token or API key that it carried, if known.
        encoding: How a publish brought the key: form, multipart, json or query.
        parameters: The names of the parameters in its query.
        code: The API's error code in the answer, if it was refused.
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
    client_port: int = 0
    token: str = ""
    encoding: str = ""
    parameters: tuple[str, ...] = ()
    code: int | str | None = None
    trace: str = ""


class Ledger:
    """The records of one number; readable from any thread, and cheap to count.

    `condition` is notified, with its lock held, after every change that a test may wait for.
    """

    def __init__(self, condition: threading.Condition) -> None:
        self.condition = condition
        self._records: list[Record] = []
        self._counts: Counter[Kind] = Counter()
        self._open = 0

    @property
    def requests(self) -> list[Record]:
        """Every request so far, oldest first."""
        with self.condition:
            return list(self._records)

    @property
    def logins(self) -> int:
        """How many logins were tried."""
        return self._counts["login"]

    @property
    def reads(self) -> int:
        """How many reads of the key there were."""
        return self._counts["read"]

    @property
    def publishes(self) -> int:
        """How many publishes were tried."""
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
        with self.condition:
            self._records.append(record)
            self._counts[record.kind] += 1
            self._open += 1
            self.condition.notify_all()
            return len(self._records) - 1

    def note(self, place: int, **facts: Any) -> None:
        """Add facts to a record."""
        with self.condition:
            self._records[place] = replace(self._records[place], **facts)
            self.condition.notify_all()

    def carried_out(self, place: int) -> None:
        """Note that a publish took effect."""
        self.note(place, carried_out=True)

    def answered(self, place: int, status: int | None) -> None:
        """Note that a request has been answered."""
        with self.condition:
            self._records[place] = replace(self._records[place], status=status, open=False)
            self._open -= 1
            self.condition.notify_all()

    def forget_requests(self) -> None:
        """Forget all records; only while no request is open."""
        with self.condition:
            if self._open:
                raise RuntimeError("a request is still open")
            self._records.clear()
            self._counts.clear()

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10, what: str = "it") -> None:
        """Wait for a state of the simulator, looking again after each request and each change by a test.

        Raises:
            TimeoutError: it did not; the message has the counts.
        """
        with self.condition:
            if not self.condition.wait_for(predicate, timeout):
                raise TimeoutError(f"{what} did not happen within {timeout} s; {self.summary()}")

    def summary(self) -> str:
        """Return the counts in a few words."""
        counts = f"{self.logins} logins, {self.reads} reads, {self.publishes} publishes"
        return f"{counts}, of which {len(self.published)} took effect, {self.busy} open"
