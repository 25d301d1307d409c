"""The backend for the Cloud API, also at providers that speak its protocol."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from bek_operator.crd.reasons import Reason
from bek_operator.http.interface import HttpClient, Request, Response
from bek_operator.numbers.answers import Accepted, Failure, Reading, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.whatsapp.calls import Call, CallObserver, not_observed, send
from bek_operator.whatsapp.cloud.responses import acceptance_from, reading_from
from bek_operator.whatsapp.documents import FORM, encode_form
from bek_operator.whatsapp.message_context import context_of
from bek_operator.whatsapp.on_premises.tokens import is_token
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from bek_operator.whatsapp.secret_text import flaw_of

ENCRYPTION_PATH: Final = "/whatsapp_business_encryption"

R = TypeVar("R")

_BEARER = "authorization"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_UNUSABLE = "must be one line of at most 8192 ASCII characters without spaces"


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
        proof = _proof(endpoint)
        call = _call(endpoint, query=proof)
        if isinstance(call, Failure):
            return call
        return await self._send(
            call, lambda response: reading_from(response, self._now(), call.context, proof_sent=bool(proof))
        )

    async def publish(self, endpoint: CloudEndpoint, public_key: str) -> Accepted | Failure:
        """Publish a public key (SPKI PEM) to be signed; with `Failure.unknown` it may have been published."""
        proof = _proof(endpoint)
        call = _call(endpoint, form=encode_form("business_public_key", public_key, proof))
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


def _call(
    endpoint: CloudEndpoint, *, query: Mapping[str, str] | None = None, form: bytes | None = None
) -> Call | Failure:
    """Return the call (with a form a publish, else a read), or the failure if a credential cannot be sent."""
    context = context_of(endpoint)
    token = endpoint.token.reveal()
    flaw = flaw_of(token)
    # An API key may have any form, as long as it can be sent.
    if not is_token(token) or (flaw and not endpoint.provider):
        name = "API key" if endpoint.provider else "access token"
        return _unusable(f"the {name} in {context.source} {flaw or _UNUSABLE}; put only the {name} there")
    if endpoint.app_secret and (flaw := flaw_of(endpoint.app_secret.reveal())):
        return _unusable(f"the app secret in the entry of `appSecretRef` {flaw}; put only the app secret there")
    if not _HEADER_NAME.fullmatch(endpoint.header):
        return _unusable("`apiKeyHeader` is not a valid header name")
    bearer = endpoint.header.lower() == _BEARER
    headers = {endpoint.header: f"Bearer {token}" if bearer else token}
    return Call(
        kind="read" if form is None else "publish",
        limiter_key=endpoint.limiter_key,
        context=context,
        request=Request(
            method="GET" if form is None else "POST",
            url=replace(endpoint.url, path=endpoint.url.path + ENCRYPTION_PATH),
            trust=endpoint.trust,
            headers=headers if form is None else {**headers, "Content-Type": FORM},
            query=query or {},
            content=form,
        ),
    )


def _unusable(message: str) -> Failure:
    return Failure(reason=Reason.INVALID_CREDENTIALS, message=message, retry=Retry.TERMINAL, sent=False)


def _proof(endpoint: CloudEndpoint) -> dict[str, str]:
    """Return the parameter that proves possession of the app secret, if there is one."""
    if endpoint.app_secret is None:
        return {}
    secret, token = (text.reveal().encode("utf-8", "surrogatepass") for text in (endpoint.app_secret, endpoint.token))
    return {"appsecret_proof": hmac.new(secret, token, hashlib.sha256).hexdigest()}
