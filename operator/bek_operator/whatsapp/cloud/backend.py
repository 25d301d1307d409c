"""The backend for the Cloud API, also at providers that speak its protocol."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from bek_operator.http.interface import HttpClient, Response
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.whatsapp.calls import Call, CallObserver, not_observed, send
from bek_operator.whatsapp.cloud.requests import call_of, proof_of
from bek_operator.whatsapp.cloud.responses import acceptance_from, reading_from
from bek_operator.whatsapp.documents import encode_form
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters

ENCRYPTION_PATH: Final = "/whatsapp_business_encryption"

R = TypeVar("R")


class Cloud:
    """The backend for Cloud endpoints; it passes the usage headers of responses on to the rate limiters.

    `clock` returns seconds since the epoch, as in the other calls of the rate limiters.
    """

    def __init__(
        self,
        http: HttpClient,
        rate_limiters: RateLimiters,
        clock: Callable[[], float],
        *,
        observe: CallObserver = not_observed,
    ) -> None:
        self._http = http
        self._observe = observe
        self._rate_limiters = rate_limiters
        self._clock = clock

    async def read(self, endpoint: CloudEndpoint) -> Reading | Failure:
        """Return which key the number holds, and the status of its signature."""
        proof = proof_of(endpoint)
        call = call_of(endpoint, ENCRYPTION_PATH, query=proof)
        if isinstance(call, Failure):
            return call
        return await self._send(
            call, lambda response: reading_from(response, self._now(), call.context, proof_sent=bool(proof))
        )

    async def publish(self, endpoint: CloudEndpoint, public_key: str) -> Accepted | Failure:
        """Publish a public key (SPKI PEM) to be signed; with `Failure.unknown` it may have been published."""
        proof = proof_of(endpoint)
        call = call_of(endpoint, ENCRYPTION_PATH, form=encode_form("business_public_key", public_key, proof))
        if isinstance(call, Failure):
            return call
        return await self._send(
            call, lambda response: acceptance_from(response, self._now(), call.context, proof_sent=bool(proof))
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def _send(self, call: Call, parse: Callable[[Response], R | Failure]) -> R | Failure:
        outcome, response = await send(self._http, call, parse, self._observe)
        if response is None:
            return outcome
        failure = outcome if isinstance(outcome, Failure) else None
        limited = failure is not None and failure.shared
        # A proxy's own response says nothing about the API's limits.
        if failure is None or failure.code is not None or limited:
            self._rate_limiters.record(call.limiter_key, response.headers, limited, self._clock())
        return outcome

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
