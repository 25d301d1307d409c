"""The backends as one: each endpoint is spoken to by the backend of its kind."""

from bek_operator.model.answers import Accepted, Failure, Reading
from bek_operator.model.endpoint import CloudEndpoint, Endpoint, OnPremisesEndpoint, is_of_token
from bek_operator.whatsapp.budget import Budgets
from bek_operator.whatsapp.protocol import Backend


class Backends:
    """Every backend, and what the lanes of their endpoints can take."""

    def __init__(
        self,
        on_premises: Backend[OnPremisesEndpoint],
        cloud: Backend[CloudEndpoint],
        budgets: Budgets,
        *,
        per_host: int,
    ) -> None:
        """Take the backends, the budgets of tokens, and how many numbers of any other host may be worked on at once."""
        self._on_premises = on_premises
        self._cloud = cloud
        self._budgets = budgets
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

    def room(self, lane: str, now: float, *, urgent: bool) -> int:
        """Return how many numbers of a lane may be worked on at once right now; 0 for none."""
        return self._budgets.room(lane, now, urgent=urgent) if is_of_token(lane) else self._per_host

    def opens_at(self, lane: str, now: float, *, urgent: bool) -> float:
        """Return when there may be room again; `now` if there is, and an hour later at most."""
        return self._budgets.opens_at(lane, now, urgent=urgent) if is_of_token(lane) else now
