"""Apps and their access tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Literal

from support.simulators.graph_errors import GraphError, graph_error

MESSAGING = "whatsapp_business_messaging"
MANAGEMENT = "whatsapp_business_management"

State = Literal["living", "expired", "revoked"]


class App:
    """An app of a business; plain attributes may be set at any time.

    Attributes:
        secret: The app secret.
        demands_proof: Whether calls need an `appsecret_proof`.
    """

    def __init__(self, identity: str, secret: str | None = None, *, demands_proof: bool = False) -> None:
        self.id = identity
        self.secret = secret or secrets.token_hex(16)
        self.demands_proof = demands_proof

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<App {self.id}>"

    def proof(self, token: str) -> str:
        """Return the proof that goes with a token."""
        return hmac.new(self.secret.encode(), token.encode(), hashlib.sha256).hexdigest()


class Token:
    """An access token; plain attributes may be set at any time.

    Attributes:
        name: Its name in records, which never hold the token.
        text: The token.
        permissions: The permissions granted.
        wabas: The WhatsApp business accounts that its system user is assigned; `None` for all.
    """

    def __init__(
        self,
        name: str,
        app: App,
        permissions: Collection[str],
        wabas: Collection[str] | None,
        life: timedelta | None,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.app = app
        self.text = "EAAG" + secrets.token_hex(90)
        self.permissions = set(permissions)
        self.wabas = None if wabas is None else set(wabas)
        self._clock = clock
        self._end = None if life is None else clock() + life.total_seconds()
        self._revoked: int | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<Token {self.name}: {self.state}>"

    @property
    def proof(self) -> str:
        """Its `appsecret_proof`."""
        return self.app.proof(self.text)

    @property
    def state(self) -> State:
        """Whether it is valid."""
        if self._revoked is not None:
            return "revoked"
        return "expired" if self._end is not None and self._clock() >= self._end else "living"

    def expire(self) -> None:
        """Expire it now."""
        self._end = self._clock()

    def revoke(self, subcode: int = 460) -> None:
        """Revoke it; the subcode says why: 458 app removed, 460 password changed, 467 made invalid."""
        self._revoked = subcode

    def refusal(self) -> GraphError | None:
        """Return the error of a call with it, `None` while it is valid."""
        if self._revoked is not None:
            return graph_error(190, "The session has been invalidated", subcode=self._revoked)
        if self.state == "expired":
            return graph_error(190, "Session has expired", subcode=463)
        return None
