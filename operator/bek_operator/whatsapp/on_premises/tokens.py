"""A cache of login tokens: one login for all numbers that share it, until its token expires or is refused.

A token is cached by URL, trust settings and user, and used only with the password of its login; a login with another
password replaces it.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bek_operator.lru_cache import LRUCache
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.single_flight import SingleFlight

MAX_LIFETIME: Final = 7 * 86400.0
DEFAULT_LIFETIME: Final = 3600.0
"""The lifetime of a token without a valid expiry."""

_MARGIN = 0.05
_MAX_TOKENS = 50_000
# A token is sent in a header: no control characters, and of bounded length.
_TOKEN = re.compile(r"[!-~]{1,8192}")


@dataclass(frozen=True, slots=True)
class Login:
    """A successful login: its token, and the token's lifetime in seconds."""

    token: SecretStr
    lifetime: float


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token; `fresh` if it was not in the cache."""

    token: SecretStr
    fresh: bool


@dataclass(frozen=True, slots=True)
class _CachedToken:
    token: SecretStr
    password: SecretStr
    until: float


class _Account(NamedTuple):
    url: Url
    trust: ServerTrust
    username: str


class TokenCache:
    """The tokens by account."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cached: LRUCache[_Account, _CachedToken] = LRUCache(_MAX_TOKENS)
        self._logins: SingleFlight[OnPremisesEndpoint, Login | Failure] = SingleFlight()

    async def get(
        self,
        endpoint: OnPremisesEndpoint,
        login: Callable[[OnPremisesEndpoint], Awaitable[Login | Failure]],
    ) -> IssuedToken | Failure:
        """Return the endpoint's token, after a login if none is cached; concurrent callers share the login."""
        account = _account(endpoint)
        cached = self._cached.get(account)
        if cached and cached.password == endpoint.password and self._clock() < cached.until:
            return IssuedToken(cached.token, fresh=False)

        async def log_in() -> Login | Failure:
            started = self._clock()
            outcome = await login(endpoint)
            if isinstance(outcome, Login):
                until = started + outcome.lifetime * (1 - _MARGIN)
                self._cached.put(account, _CachedToken(outcome.token, endpoint.password, until))
            return outcome

        outcome = await self._logins.do(endpoint, log_in)
        return IssuedToken(outcome.token, fresh=True) if isinstance(outcome, Login) else outcome

    def forget(self, endpoint: OnPremisesEndpoint, token: SecretStr) -> None:
        """Drop this token; one that has replaced it stays."""
        account = _account(endpoint)
        cached = self._cached.get(account)
        if cached and cached.token == token:
            self._cached.drop(account)

    async def close(self) -> None:
        """Cancel all running logins."""
        await self._logins.close()


def _account(endpoint: OnPremisesEndpoint) -> _Account:
    return _Account(endpoint.url, endpoint.trust, endpoint.username)


def token_from(text: object) -> SecretStr | None:
    """Return a token that can be sent in a header; `None` for anything else."""
    return SecretStr(text) if isinstance(text, str) and is_token(text) else None


def is_token(text: str) -> bool:
    """Return whether a text can be sent in a header."""
    return _TOKEN.fullmatch(text) is not None


def lifetime_until(expires_after: object, now: datetime) -> float:
    """Return the seconds until an ISO 8601 time, bounded; `DEFAULT_LIFETIME` if it is invalid or past."""
    try:
        end = datetime.fromisoformat(expires_after) if isinstance(expires_after, str) else now
        lifetime = ((end if end.tzinfo else end.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return DEFAULT_LIFETIME
    # If it is past, one of the two clocks is wrong.
    return min(lifetime, MAX_LIFETIME) if lifetime > 0 else DEFAULT_LIFETIME
