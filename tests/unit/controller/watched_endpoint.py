"""A Flow endpoint whose answers are remembered by the key that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bek_operator.crd.reasons import EndpointReason
from support import keys

if TYPE_CHECKING:
    from bek_operator.controller.endpoint_reconciler import EndpointClient
    from bek_operator.endpoint.judge import Answer
    from bek_operator.numbers.endpoint import FlowEndpoint


class WatchedEndpoint:
    """Sends pings by another client.

    Attributes:
        lacking: Fingerprints of the keys that the endpoint lacks, by its last answer that was about them.
    """

    def __init__(self, client: EndpointClient) -> None:
        self._client = client
        self.lacking: set[str] = set()

    async def ping(self, endpoint: FlowEndpoint, public_key: str) -> Answer:
        """Send a ping, and remember the answer."""
        answer, fingerprint = await self._client.ping(endpoint, public_key), keys.fingerprint(public_key)
        if answer.holds_key:
            self.lacking.discard(fingerprint)
        elif answer.reason is EndpointReason.LACKS_KEY:
            self.lacking.add(fingerprint)
        return answer
