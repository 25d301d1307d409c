"""Login tokens: one login for all who need the same one, until it expires or is refused.

A token is kept per address, trust and user, with the password that bought it: nobody uses one that another's
password bought, and one of an old password makes way for the new one's.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bek_operator.lru_cache import LRUCache
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.single_flight import SingleFlight

LONGEST_LIFE: Final = 7 * 86400.0
UNTOLD_LIFE: Final = 3600.0
"""What a token is trusted for whose end is not told, or makes no sense."""

_MARGIN = 0.05
_TOKENS = 50_000
# A token goes into a header as it is: nothing that could end the header, nor anything endless.
_TOKEN = re.compile(r"[!-~]{1,8192}")


@dataclass(frozen=True, slots=True)
class Login:
    """What a login brought: a token and the seconds that it lives."""

    token: SecretStr
    life: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A token to use; `fresh` if it comes from a login that was waited for."""

    token: SecretStr
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    token: SecretStr
    password: SecretStr
    until: float


class _Account(NamedTuple):
    url: Url
    trust: Trust
    username: str


class Tokens:
    """Remember the tokens of accounts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: LRUCache[_Account, _Kept] = LRUCache(_TOKENS)
        self._logins: SingleFlight[OnPremisesEndpoint, Login | Failure] = SingleFlight()

    async def grant(
        self,
        endpoint: OnPremisesEndpoint,
        login: Callable[[OnPremisesEndpoint], Awaitable[Login | Failure]],
    ) -> Grant | Failure:
        """Return the endpoint's token, after a login if there is none; all who ask meanwhile share that login."""
        account = _account(endpoint)
        kept = self._kept.get(account)
        if kept and kept.password == endpoint.password and self._clock() < kept.until:
            return Grant(kept.token, fresh=False)

        async def log_in() -> Login | Failure:
            begun = self._clock()
            outcome = await login(endpoint)
            if isinstance(outcome, Login):
                until = begun + outcome.life * (1 - _MARGIN)
                self._kept.put(account, _Kept(outcome.token, endpoint.password, until))
            return outcome

        outcome = await self._logins.join(endpoint, log_in)
        return Grant(outcome.token, fresh=True) if isinstance(outcome, Login) else outcome

    def forget(self, endpoint: OnPremisesEndpoint, token: SecretStr) -> None:
        """Use this token no more; one that came in its place meanwhile stays."""
        account = _account(endpoint)
        kept = self._kept.get(account)
        if kept and kept.token == token:
            self._kept.drop(account)

    async def close(self) -> None:
        """End the logins that are under way."""
        await self._logins.close()


def _account(endpoint: OnPremisesEndpoint) -> _Account:
    return _Account(endpoint.url, endpoint.trust, endpoint.username)


def token_from(text: object) -> SecretStr | None:
    """Return a token that may be sent in a header; `None` for anything else."""
    return SecretStr(text) if isinstance(text, str) and is_token(text) else None


def is_token(text: str) -> bool:
    """Tell whether a text may be sent in a header."""
    return _TOKEN.fullmatch(text) is not None


def life_until(expires_after: object, now: datetime) -> float:
    """Return the seconds until an ISO instant, as far as that makes sense for a token's end."""
    try:
        end = datetime.fromisoformat(expires_after) if isinstance(expires_after, str) else now
        life = ((end if end.tzinfo else end.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return UNTOLD_LIFE
    # An end in the past is a clock that is wrong, ours or theirs.
    return min(life, LONGEST_LIFE) if life > 0 else UNTOLD_LIFE
