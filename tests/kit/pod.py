"""One API pod: a phone number's state, and what a test can do to it, from any thread."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from kit import envelope, keys
from kit.door import Door
from kit.envelope import Refusal
from kit.exchange import Fault
from kit.ledger import Kind, Ledger
from kit.tls import Certificate

USERNAME = "flows"
PASSWORD = "Correct-Horse-7"

Unset = Literal["blank", "no key", "no members", "not found"]
"""How a pod says that it holds no key; the API documents none of them."""

State = Literal["up", "stopped", "frozen"]

_MISSING: Mapping[Unset, tuple[str, ...]] = {
    "blank": (),
    "no key": ("business_public_key",),
    "no members": ("business_public_key", "business_public_key_signature_status"),
}

F = TypeVar("F", bound=Fault)


@dataclass(slots=True)
class _Planned:
    kind: Kind | Literal["any"]
    fault: Fault
    left: int | None


class Pod(Ledger):
    """A simulated pod; plain attributes may be set at any time.

    Attributes:
        number: The phone number in E.164.
        username: The only user's name; `admin` with the password `secret` must change it first.
        password: The only user's password.
        token_life: How long a token from now on lives.
        expires_after: What logins say instead of the token's true end.
        version: The client version; before 2.51 the encryption path is unknown.
        registered: Whether the number is; otherwise settings are refused with `unregistered_code`.
        unset: How a read answers while there is no key.
        reads_until_valid: How many reads after a publish still see MISMATCH; `None` for until `release`.
        forgetful: Whether publishes are accepted and come to nothing.
        rival: A second writer's public key, which replaces every key that is published.
        wrap: How a key is written when it is read, for PEM that does not come back as it was sent.
        scandals: What no client may ever do and one did, in words.
        state: Whether it can be reached.
    """

    def __init__(self, number: str, bell: threading.Condition | None = None) -> None:
        super().__init__(bell or threading.Condition())
        self.number = number
        self.username = USERNAME
        self.password = PASSWORD
        self.token_life = timedelta(days=7)
        self.expires_after: str | None = None
        self.version = envelope.VERSION
        self.registered = True
        self.unregistered_code = 433
        self.unset: Unset = "blank"
        self.reads_until_valid: int | None = 0
        self.forgetful = False
        self.rival: str | None = None
        self.wrap: Callable[[str], str] = str
        self.scandals: list[str] = []
        self.state: State = "up"
        self.address: tuple[str, int] | None = None
        self.door: Door | None = None
        self._key: str | None = None
        self._valid = False
        self._reads_left: int | None = 0
        self._tokens: dict[str, datetime] = {}
        self._faults: list[_Planned] = []

    def __repr__(self) -> str:
        """Show what a failed assertion needs."""
        return f"<Pod {self.number} {self.state}, {self.signature} {self.fingerprint}; {self.summary()}>"

    @property
    def digits(self) -> str:
        """The number without its plus."""
        return self.number.removeprefix("+")

    @property
    def url(self) -> str:
        """The pod's own address as a URL."""
        if self.address is None:
            raise LookupError(f"{self.number} has no port of its own; it is reached through the front")
        return f"https://{self.address[0]}:{self.address[1]}"

    @property
    def key(self) -> str | None:
        """The public key that it holds, as it was sent."""
        return self._key

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the key that it holds."""
        key = self._key
        return None if key is None else keys.fingerprint(key)

    @property
    def signature(self) -> str:
        """The status that a read shows, or `VALID` and `MISMATCH` where it would show none."""
        return "VALID" if self._valid else "MISMATCH"

    def holds(self, public: str) -> bool:
        """Tell whether it is VALID for this key."""
        key = self._key
        same = key is not None and (key == public or keys.fingerprint(key) == keys.fingerprint(public))
        return same and self._valid

    # What happens to a number.

    def re_register(self) -> None:
        """Register the number anew: the key stays, its signature no longer fits."""
        with self.bell:
            self.registered = True
            self._set(self._key, valid=False)

    def overwrite(self, public: str) -> None:
        """Publish a key as a second writer would; it is VALID at once."""
        with self.bell:
            self._set(public, valid=True)

    def lose_key(self) -> None:
        """Forget the key, as after a restore without the database."""
        with self.bell:
            self._set(None, valid=False)

    def release(self) -> None:
        """Let the signature of the key that was published become VALID now."""
        with self.bell:
            self._set(self._key, valid=self._key is not None)

    def expire_tokens(self) -> None:
        """Let no token count that was issued so far."""
        with self.bell:
            self._tokens.clear()
            self.bell.notify_all()

    # What happens to the pod.

    def stop(self) -> None:
        """Take the pod down: connections are refused (through the front: cut), the port stays its own."""
        self._move("stopped", lambda door: door.close())

    def freeze(self) -> None:
        """Let connections come about and nothing be said on them."""
        self._move("frozen", lambda door: door.freeze())

    def start(self) -> None:
        """Bring the pod back with all that it knew."""
        self._move("up", lambda door: door.open())

    def show_certificate(self, certificate: Certificate) -> None:
        """Restart with another certificate; it needs a port of its own."""
        if self.door is None:
            raise LookupError(f"{self.number} has no door that could show one")
        self.door.show(certificate)

    # Misbehaviour.

    def fail(self, kind: Kind | Literal["any"], fault: F, times: int | None = 1) -> F:
        """Meet the next requests of a kind with a fault, after those already queued; `None` is for ever."""
        with self.bell:
            self._faults.append(_Planned(kind, fault, times))
        return fault

    def heal(self) -> None:
        """Drop every fault that is queued; a request that one has already met goes on."""
        with self.bell:
            self._faults.clear()

    def next_fault(self, kind: Kind) -> Fault | None:
        """Take the fault that is due for a request."""
        with self.bell:
            for planned in self._faults:
                if planned.kind not in (kind, "any"):
                    continue
                if planned.left is not None:
                    planned.left -= 1
                    if planned.left <= 0:
                        self._faults.remove(planned)
                return planned.fault
            return None

    # What the API does, see pod_api.

    def issue_token(self) -> tuple[str, str]:
        """Make a token that counts on this pod only, and tell its end."""
        now = datetime.now(UTC)
        end = now + self.token_life
        claims: dict[str, Any] = {"user": self.username, "iat": int(now.timestamp())}
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        parts.append(secrets.token_bytes(32))
        token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        self._tokens[token] = end
        return token, self.expires_after or end.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def knows_token(self, token: str) -> bool:
        """Tell whether a token is this pod's and alive."""
        end = self._tokens.get(token)
        return end is not None and datetime.now(UTC) < end

    def show_key(self) -> dict[str, object]:
        """Answer a read."""
        if self._key is None:
            if self.unset == "not found":
                raise Refusal(1006, "No key has been set")
            members = {"business_public_key": "", "business_public_key_signature_status": self.signature}
            for name in _MISSING[self.unset]:
                del members[name]
            return {**members}
        if self._reads_left == 0:
            self._valid, self._reads_left = True, None
        elif self._reads_left is not None:
            self._reads_left -= 1
        return {
            "business_public_key": self.wrap(self._key),
            "business_public_key_signature_status": self.signature,
        }

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
        self.bell.notify_all()

    def _move(self, state: State, act: Callable[[Door], None]) -> None:
        with self.bell:
            if self.state == state:
                return
            self.state = state
        if self.door is not None:
            act(self.door)
        with self.bell:
            self.bell.notify_all()
