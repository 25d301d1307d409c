"""Pings the business's own Flow endpoint, as Meta does."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bek_operator.crd.reasons import EndpointReason, Reason
from bek_operator.endpoint.judge import Answer, Step, judge
from bek_operator.endpoint.ping import SESSION_BYTES, SIGNATURE_HEADER, Session, ping_for, signature_of
from bek_operator.http.interface import HttpClient, Request, Response
from bek_operator.http.retry_after import retry_after
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.whatsapp.calls import Call, CallObserver, not_observed, send
from bek_operator.whatsapp.message_context import flow_context

_REASONS: Final[Mapping[Reason, EndpointReason]] = {
    Reason.UNREACHABLE: EndpointReason.UNREACHABLE,
    Reason.INVALID_ANSWER: EndpointReason.INVALID_ANSWER,
}
"""Other reasons are the same for every server: its certificate, address or CA bundle."""

_FAILED: Final[Mapping[Reason, Step]] = {
    Reason.HOST_NOT_ALLOWED: Step.NAME,
    Reason.CERTIFICATE_NOT_TRUSTED: Step.TLS,
    Reason.INVALID_CREDENTIALS: Step.TLS,
}


class FlowEndpointClient:
    """Sends pings; the HTTP client ends each within ten seconds, Meta's own limit, and follows no redirect."""

    def __init__(
        self,
        http: HttpClient,
        *,
        observe: CallObserver = not_observed,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http = http
        self._observe = observe
        self._now = now

    async def ping(self, endpoint: FlowEndpoint, public_key: str) -> Answer:
        """Return whether an endpoint opens what is encrypted to a public RSA key (PEM), or what is wrong."""
        session = Session(secrets.token_bytes(SESSION_BYTES), secrets.token_bytes(SESSION_BYTES))
        body, secret = ping_for(public_key, session), endpoint.app_secret
        headers = {"Content-Type": "application/json"}
        if secret:
            headers[SIGNATURE_HEADER] = signature_of(body, secret.reveal())
        context = flow_context(endpoint)
        call = Call(
            kind="ping",
            limiter_key=endpoint.limiter_key,
            context=context,
            request=Request(method="POST", url=endpoint.url, trust=endpoint.trust, headers=headers, content=body),
        )
        outcome, _ = await send(
            self._http,
            call,
            lambda response: self._judged(response, session, signed=bool(secret)),
            self._observe,
        )
        return _without_response(outcome) if isinstance(outcome, Failure) else outcome

    def _judged(self, response: Response, session: Session, *, signed: bool) -> Answer:
        answer = judge(response.status, response.body, session, signed=signed)
        if answer.certain:
            return answer
        return replace(answer, retry_after=retry_after(response.headers.get("retry-after"), self._now()))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


def _without_response(failure: Failure) -> Answer:
    reason = _REASONS.get(failure.reason, failure.reason)
    failed = _FAILED.get(failure.reason, Step.STATUS if failure.sent else Step.CONNECTION)
    certain = reason is not EndpointReason.UNREACHABLE
    return Answer(reason=reason, message=failure.message, certain=certain, failed=failed)
