"""The protocol that every WhatsApp API is called through, and the choice of the backend for an endpoint."""

from typing import Protocol, TypeVar

from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint, is_token_limiter
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters

E_contra = TypeVar("E_contra", contravariant=True)


class Backend(Protocol[E_contra]):
    """One kind of WhatsApp API.

    Both calls end within a bounded time, read a response of bounded size and follow no redirect. Whatever a server
    does is returned as a value, never raised. After a cancelled `publish` the key may have been published.
    """

    async def read(self, endpoint: E_contra) -> Reading | Failure:
        """Return which key the number holds, and the status of its signature."""
        ...

    async def publish(self, endpoint: E_contra, public_key: str) -> Accepted | Failure:
        """Publish a public key (SPKI PEM) to be signed; with `Failure.unknown` it may have been published."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Backends:
    """A backend for every endpoint, and the capacity of the limiter that the endpoint's calls count against."""

    def __init__(
        self,
        on_premises: Backend[OnPremisesEndpoint],
        cloud: Backend[CloudEndpoint],
        rate_limiters: RateLimiters,
        *,
        per_host: int,
    ) -> None:
        """Take the backends, the rate limiters of tokens, and the concurrency limit of every On-Premises host."""
        self._on_premises = on_premises
        self._cloud = cloud
        self._rate_limiters = rate_limiters
        self._per_host = per_host

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Return which key the number holds, and the status of its signature."""
        if isinstance(endpoint, OnPremisesEndpoint):
            return await self._on_premises.read(endpoint)
        return await self._cloud.read(endpoint)

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Publish a public key (SPKI PEM) to be signed; with `Failure.unknown` it may have been published."""
        if isinstance(endpoint, OnPremisesEndpoint):
            return await self._on_premises.publish(endpoint, public_key)
        return await self._cloud.publish(endpoint, public_key)

    async def close(self) -> None:
        """Close all connections."""
        await self._on_premises.close()
        await self._cloud.close()

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers may be reconciled at once."""
        if is_token_limiter(limiter_key):
            return self._rate_limiters.capacity(limiter_key, now, urgent=urgent)
        return self._per_host

    def available_at(self, limiter_key: str, now: float, *, urgent: bool) -> float:
        """Return when there may be capacity again, at most an hour from now; `now` if there is some."""
        if is_token_limiter(limiter_key):
            return self._rate_limiters.available_at(limiter_key, now, urgent=urgent)
        return now
