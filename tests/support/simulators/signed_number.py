"""A phone number's key and signature on either API, and how tests change them."""

import threading
from collections.abc import Callable
from typing import Literal, TypeVar

from support import keys
from support.simulators.exchange import Fault
from support.simulators.fault_queue import FaultQueue
from support.simulators.ledger import Kind, Ledger

F = TypeVar("F", bound=Fault)


class SignedNumber(Ledger):
    """A number with its records; plain attributes may be set at any time, from any thread.

    Attributes:
        number: The phone number in E.164.
        registered: Whether the number is registered; otherwise its API refuses every call.
        reads_until_valid: How many reads after a publish still see MISMATCH; `None` for until `release`.
        forgetful: Whether publishes are accepted without effect.
        rival: A second writer's public key, which replaces every key that is published.
        wrap: How a key is written when it is read, for PEM that does not come back as it was sent.
        violations: What a client did and no client must ever do.
    """

    def __init__(self, number: str, condition: threading.Condition | None = None) -> None:
        super().__init__(condition or threading.Condition())
        self.number = number
        self.registered = True
        self.reads_until_valid: int | None = 0
        self.forgetful = False
        self.rival: str | None = None
        self.wrap: Callable[[str], str] = str
        self.violations: list[str] = []
        self._key: str | None = None
        self._valid = False
        self._reads_left: int | None = 0
        self._faults = FaultQueue(self.condition)

    @property
    def digits(self) -> str:
        """The number without its plus."""
        return self.number.removeprefix("+")

    @property
    def key(self) -> str | None:
        """The public key that it holds, as it was sent."""
        return self._key

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of its key; `None` for text that is no key."""
        key = self._key
        try:
            return None if key is None else keys.fingerprint(key)
        except ValueError:
            return None

    @property
    def signature(self) -> str:
        """The signature status: `VALID` or `MISMATCH`."""
        return "VALID" if self._valid else "MISMATCH"

    def holds(self, public: str) -> bool:
        """Return whether it is VALID for this key."""
        key = self._key
        same = key is not None and (key == public or self.fingerprint == keys.fingerprint(public))
        return same and self._valid

    # What happens to a number.

    def re_register(self) -> None:
        """Register the number again: the key stays, its signature becomes MISMATCH."""
        with self.condition:
            self.registered = True
            self._set(self._key, valid=False)

    def overwrite(self, public: str) -> None:
        """Publish a key as a second writer would; it is VALID at once."""
        with self.condition:
            self._set(public, valid=True)

    def hold(self, text: str | None, *, valid: bool) -> None:
        """Hold any text or none, with any status, also a pair that no publish leads to."""
        with self.condition:
            self._set(text, valid=valid)

    def lose_key(self) -> None:
        """Forget the key, as after a restore without the database."""
        with self.condition:
            self._set(None, valid=False)

    def release(self) -> None:
        """Make the published key VALID now."""
        with self.condition:
            self._set(self._key, valid=self._key is not None)

    # Misbehaviour.

    def fail(self, kind: Kind | Literal["any"], fault: F, times: int | None = 1) -> F:
        """Answer the next requests of a kind with a fault, after those queued before; `None` means always."""
        self._faults.add(kind, fault, times)
        return fault

    def heal(self) -> None:
        """Drop every queued fault; a request that is already being answered with one goes on."""
        self._faults.clear()

    def next_fault(self, kind: Kind) -> Fault | None:
        """Take the next fault for a request."""
        return self._faults.next(kind)

    # For the number's API; called with the lock held.

    def look(self) -> None:
        """Count a read of a stored key: its signature may become VALID by it."""
        if self._reads_left == 0:
            self._valid, self._reads_left = True, None
        elif self._reads_left is not None:
            self._reads_left -= 1

    def take_key(self, public: str) -> None:
        """Carry out a publish."""
        if self.forgetful:
            return
        if self.rival is not None:
            self._set(self.rival, valid=True)
            return
        self._set(public, valid=self.reads_until_valid == 0)
        self._reads_left = self.reads_until_valid or None

    def _set(self, key: str | None, *, valid: bool) -> None:
        self._key, self._valid, self._reads_left = key, valid, None
        self.condition.notify_all()
