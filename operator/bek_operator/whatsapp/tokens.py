"""Login tokens: one login for all who need the same one, until it expires or is refused.

A token is kept per endpoint: per address, trust, user and password, so nobody uses one that another's password
bought.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bek_operator.model.answers import Failure
from bek_operator.model.endpoint import OnPremisesEndpoint
from bek_operator.model.hidden import Hidden
from bek_operator.model.recent import Recent
from bek_operator.whatsapp.flights import Flights

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

    token: Hidden
    life: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A token to use; `fresh` if it comes from a login that was waited for."""

    token: Hidden
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Hidden
    until: float


class Tokens:
    """Remember the tokens of endpoints."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: Recent[OnPremisesEndpoint, _Kept] = Recent(_TOKENS)
        self._logins: Flights[OnPremisesEndpoint, Login | Failure] = Flights()

    async def grant(
        self,
        endpoint: OnPremisesEndpoint,
        login: Callable[[OnPremisesEndpoint], Awaitable[Login | Failure]],
    ) -> Grant | Failure:
        """Return the endpoint's token, after a login if there is none; all who ask meanwhile share that login."""
        kept = self._kept.get(endpoint)
        if kept and self._clock() < kept.until:
            return Grant(kept.token, fresh=False)

        async def log_in() -> Login | Failure:
            begun = self._clock()
            outcome = await login(endpoint)
            if isinstance(outcome, Login):
                self._kept.put(endpoint, _Kept(outcome.token, begun + outcome.life * (1 - _MARGIN)))
            return outcome

        outcome = await self._logins.join(endpoint, log_in)
        return Grant(outcome.token, fresh=True) if isinstance(outcome, Login) else outcome

    def forget(self, endpoint: OnPremisesEndpoint, token: Hidden) -> None:
        """Use this token no more; one that came in its place meanwhile stays."""
        kept = self._kept.get(endpoint)
        if kept and kept.token == token:
            self._kept.drop(endpoint)

    async def close(self) -> None:
        """End the logins that are under way."""
        await self._logins.close()


def token_from(text: object) -> Hidden | None:
    """Return a token that may be sent in a header; `None` for anything else."""
    return Hidden(text) if isinstance(text, str) and is_token(text) else None


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
