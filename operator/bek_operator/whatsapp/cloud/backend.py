"""The Cloud API, also as a provider passes it on under an address of its own: ask for the key, hand over the key."""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from bek_operator.crd.reasons import Reason
from bek_operator.http.exchange import HttpClient, Response
from bek_operator.numbers.answers import Accepted, Failure, Reading, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.whatsapp.calls import Call, make
from bek_operator.whatsapp.cloud.responses import acceptance_from, reading_from
from bek_operator.whatsapp.documents import FORM, form_of
from bek_operator.whatsapp.message_context import context_of
from bek_operator.whatsapp.on_premises.tokens import is_token
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from bek_operator.whatsapp.secret_text import flaw_of

ENCRYPTION: Final = "/whatsapp_business_encryption"

R = TypeVar("R")

_BEARER = "authorization"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_BARE = "; put the bare token or API key there"
_UNUSABLE = "must be one line of ASCII characters without blanks, of 8192 at most"


class Cloud:
    """The backend for Cloud endpoints; what its answers tell of limits goes to the budgets.

    `clock` tells the seconds since the epoch, by the clock that the budgets are asked by.
    """

    def __init__(self, http: HttpClient, rate_limiters: RateLimiters, clock: Callable[[], float]) -> None:
        self._http = http
        self._rate_limiters = rate_limiters
        self._clock = clock

    async def read(self, endpoint: CloudEndpoint) -> Reading | Failure:
        """Ask which key the number holds, and whether its signature is valid."""
        proof = _proof(endpoint)
        call = _call(endpoint)
        if isinstance(call, Failure):
            return call
        return await self._make(
            replace(call, query=proof),
            lambda answer: reading_from(answer, self._now(), call.context, proof_sent=bool(proof)),
        )

    async def publish(self, endpoint: CloudEndpoint, public_key: str) -> Accepted | Failure:
        """Hand over the public key (SPKI PEM) to be signed; a `Failure` says whether that is certain."""
        proof = _proof(endpoint)
        call = _call(endpoint)
        if isinstance(call, Failure):
            return call
        form = replace(
            call,
            kind="publish",
            headers={**call.headers, "Content-Type": FORM},
            content=form_of("business_public_key", public_key, proof),
        )
        return await self._make(
            form, lambda answer: acceptance_from(answer, self._now(), call.context, proof_sent=bool(proof))
        )

    async def close(self) -> None:
        """End every connection."""
        await self._http.close()

    async def _make(self, call: Call, parse: Callable[[Response], R | Failure]) -> R | Failure:
        found, answer = await make(self._http, call, parse)
        if answer is None:
            return found
        failed = found if isinstance(found, Failure) else None
        refused = failed is not None and failed.shared
        # A proxy's page says nothing about the API's limits.
        if failed is None or failed.code is not None or refused:
            self._rate_limiters.record(call.limiter_key, answer.headers, refused, self._clock())
        return found

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _call(endpoint: CloudEndpoint) -> Call | Failure:
    """Prepare a call; nothing that could end a header, or is endless, is put into one."""
    context = context_of(endpoint)
    token = endpoint.token.reveal()
    flaw = flaw_of(token)
    # Whatever a provider takes for a key is none of ours to refuse, as long as it can be sent.
    if not is_token(token) or (flaw and not endpoint.provider):
        return _unusable(f"{context.source} {flaw or _UNUSABLE}{_BARE if flaw else ''}")
    if endpoint.app_secret and (flaw := flaw_of(endpoint.app_secret.reveal())):
        return _unusable(f"the app secret in the entry of `appSecretRef` {flaw}; put the bare secret there")
    if not _HEADER.fullmatch(endpoint.header):
        return _unusable("`apiKeyHeader` is no proper name of a header")
    bearer = endpoint.header.lower() == _BEARER
    return Call(
        kind="read",
        limiter_key=endpoint.limiter_key,
        context=context,
        url=replace(endpoint.url, path=endpoint.url.path + ENCRYPTION),
        trust=endpoint.trust,
        headers={endpoint.header: f"Bearer {token}" if bearer else token},
    )


def _unusable(message: str) -> Failure:
    return Failure(reason=Reason.INVALID_CREDENTIALS, message=message, retry=Retry.TERMINAL)


def _proof(endpoint: CloudEndpoint) -> dict[str, str]:
    """Return the parameter that proves to be in possession of the app's secret, where there is one."""
    if endpoint.app_secret is None:
        return {}
    secret, token = (one.reveal().encode("utf-8", "surrogatepass") for one in (endpoint.app_secret, endpoint.token))
    return {"appsecret_proof": hmac.new(secret, token, hashlib.sha256).hexdigest()}
