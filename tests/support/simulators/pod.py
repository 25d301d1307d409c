"""One API pod: a phone number's state, which tests may change from any thread."""

import base64
import json
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from support.simulators import envelope
from support.simulators.envelope import Refusal
from support.simulators.port_switch import Reachable
from support.simulators.signed_number import SignedNumber

USERNAME = "flows"
PASSWORD = "Correct-Horse-7"

Unset = Literal["blank", "no key", "no members", "not found"]
"""How a read answers while there is no key; the API documents none of them."""

_MISSING: Mapping[Unset, tuple[str, ...]] = {
    "blank": (),
    "no key": ("business_public_key",),
    "no members": ("business_public_key", "business_public_key_signature_status"),
}


class Pod(SignedNumber, Reachable):
    """A simulated pod; plain attributes may be set at any time.

    Attributes:
        username: The only user's name; `admin` with the password `secret` must change it first.
        password: The only user's password.
        token_life: How long new tokens are valid.
        expires_after: What logins answer instead of the token's real expiry.
        version: The client version; before 2.51 the encryption path is unknown.
        unregistered_code: What settings are refused with while the number is not registered.
        unset: How a read answers while there is no key.
    """

    def __init__(self, number: str, condition: threading.Condition | None = None) -> None:
        super().__init__(number, condition)
        self.username = USERNAME
        self.password = PASSWORD
        self.token_life = timedelta(days=7)
        self.expires_after: str | None = None
        self.version = envelope.VERSION
        self.unregistered_code = 433
        self.unset: Unset = "blank"
        self.address: tuple[str, int] | None = None
        self._tokens: dict[str, datetime] = {}

    def __repr__(self) -> str:
        """Show what a failed assertion needs."""
        return f"<Pod {self.number} {self.state}, {self.signature} {self.fingerprint}; {self.summary()}>"

    @property
    def url(self) -> str:
        """The pod's own address as a URL."""
        if self.address is None:
            raise LookupError(f"{self.number} has no port of its own; it is reached through the front")
        return f"https://{self.address[0]}:{self.address[1]}"

    def expire_tokens(self) -> None:
        """Make all tokens issued so far invalid."""
        with self.condition:
            self._tokens.clear()
            self.condition.notify_all()

    # What the API does, see pod_api.

    def issue_token(self) -> tuple[str, str]:
        """Return a new token of this pod, and its expiry."""
        now = datetime.now(UTC)
        end = now + self.token_life
        ownership: dict[str, Any] = {"user": self.username, "iat": int(now.timestamp())}
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, ownership)]
        parts.append(secrets.token_bytes(32))
        token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        self._tokens[token] = end
        return token, self.expires_after or end.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def knows_token(self, token: str) -> bool:
        """Return whether a token is this pod's and has not expired."""
        end = self._tokens.get(token)
        return end is not None and datetime.now(UTC) < end

    def show_key(self) -> dict[str, object]:
        """Answer a read."""
        if self.key is None:
            if self.unset == "not found":
                raise Refusal(1006, "No key has been set")
            members = {"business_public_key": "", "business_public_key_signature_status": self.signature}
            for name in _MISSING[self.unset]:
                del members[name]
            return {**members}
        self.look()
        return {
            "business_public_key": self.wrap(self.key),
            "business_public_key_signature_status": self.signature,
        }
