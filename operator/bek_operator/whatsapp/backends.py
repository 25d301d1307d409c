"""The backends as one: each endpoint is spoken to by the backend of its kind."""

from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint, is_token_limiter
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters


class Backends:
    """Every backend, and what the lanes of their endpoints can take."""

    def __init__(
        self,
        on_premises: Backend[OnPremisesEndpoint],
        cloud: Backend[CloudEndpoint],
        rate_limiters: RateLimiters,
        *,
        per_host: int,
    ) -> None:
        """Take the backends, the budgets of tokens, and how many numbers of any other host may be worked on at once."""
        self._on_premises = on_premises
        self._cloud = cloud
        self._rate_limiters = rate_limiters
        self._per_host = per_host

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Ask which key the number holds, and whether its signature is valid."""
        if isinstance(endpoint, OnPremisesEndpoint):
            return await self._on_premises.read(endpoint)
        return await self._cloud.read(endpoint)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Hand over the public key (SPKI PEM) to be signed; a `Failure` says whether that is certain."""
        if isinstance(endpoint, OnPremisesEndpoint):
            return await self._on_premises.publish(endpoint, public_key)
        return await self._cloud.publish(endpoint, public_key)

    async def close(self) -> None:
        """End every connection."""
        await self._on_premises.close()
        await self._cloud.close()

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers of a lane may be worked on at once right now; 0 for none."""
        return (
            self._rate_limiters.capacity(limiter_key, now, urgent=urgent)
            if is_token_limiter(limiter_key)
            else self._per_host
        )

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be room again; `now` if there is, and an hour later at most."""
        return (
            self._rate_limiters.available_at(limiter_key, now, urgent=urgent) if is_token_limiter(limiter_key) else now
        )
