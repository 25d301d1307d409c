"""The backend for the On-Premises API."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from bek_operator.http.interface import HttpClient, Request, Response
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.whatsapp.calls import Call, CallObserver, not_observed, send
from bek_operator.whatsapp.documents import FORM, encode_form
from bek_operator.whatsapp.message_context import MessageContext, context_of
from bek_operator.whatsapp.on_premises.errors import is_expired_token
from bek_operator.whatsapp.on_premises.responses import acceptance_from, login_from, reading_from
from bek_operator.whatsapp.on_premises.tokens import Login, TokenCache

LOGIN_PATH: Final = "/v1/users/login"
ENCRYPTION_PATH: Final = "/v1/settings/business/whatsapp_business_encryption"

R = TypeVar("R")
Kind = Literal["login", "read", "publish"]
Parse = Callable[[Response, datetime, MessageContext], R | Failure]


class OnPremises:
    """The backend for On-Premises endpoints."""

    def __init__(
        self,
        http: HttpClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        observe: CallObserver = not_observed,
    ) -> None:
        self._http = http
        self._observe = observe
        self._now = now
        self._tokens = TokenCache()

    async def read(self, endpoint: OnPremisesEndpoint) -> Reading | Failure:
        """Return which key the number holds, and the status of its signature."""
        return await self._call_with_token(endpoint, "read", reading_from)

    async def publish(self, endpoint: OnPremisesEndpoint, public_key: str) -> Accepted | Failure:
        """Publish a public key (SPKI PEM) to be signed; with `Failure.unknown` it may have been published."""
        # The API's reference requires a form, although its samples look otherwise.
        return await self._call_with_token(endpoint, "publish", acceptance_from, encode_form("public_key", public_key))

    async def close(self) -> None:
        """Cancel all logins and close all connections."""
        await self._tokens.close()
        await self._http.close()

    async def _call_with_token(
        self,
        endpoint: OnPremisesEndpoint,
        kind: Literal["read", "publish"],
        parse: Parse[R],
        form: bytes | None = None,
    ) -> R | Failure:
        """Call with a token; log in once more if a cached one is refused."""
        may_retry = True
        while True:
            issued = await self._tokens.get(endpoint, self._log_in)
            if isinstance(issued, Failure):
                return replace(issued, sent=False)
            headers = {"Authorization": f"Bearer {issued.token.reveal()}"}
            if form is not None:
                headers["Content-Type"] = FORM
            outcome, status = await self._call(endpoint, kind, parse, headers, form)
            if not (isinstance(outcome, Failure) and is_expired_token(status, outcome)):
                return outcome
            self._tokens.forget(endpoint, issued.token)
            if issued.fresh or not may_retry:
                return outcome
            may_retry = False

    async def _log_in(self, endpoint: OnPremisesEndpoint) -> Login | Failure:
        login = f"{endpoint.username}:{endpoint.password.reveal()}".encode("utf-8", "surrogatepass")
        headers = {
            "Authorization": f"Basic {base64.b64encode(login).decode()}",
            "Content-Type": "application/json",
        }
        outcome, _ = await self._call(endpoint, "login", login_from, headers, b"")
        return outcome

    async def _call(
        self,
        endpoint: OnPremisesEndpoint,
        kind: Kind,
        parse: Parse[R],
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> tuple[R | Failure, int]:
        """Make one call; return its outcome and the HTTP status (0 without a response)."""
        context = context_of(endpoint)
        if kind != "login":
            # The login succeeded, so user name and password have no flaw.
            context = replace(context, flaw="")
        call = Call(
            kind=kind,
            limiter_key=endpoint.limiter_key,
            context=context,
            request=Request(
                method="GET" if kind == "read" else "POST",
                url=replace(
                    endpoint.url, path=endpoint.url.path + (LOGIN_PATH if kind == "login" else ENCRYPTION_PATH)
                ),
                trust=endpoint.trust,
                headers=headers,
                content=content,
            ),
        )
        outcome, response = await send(
            self._http, call, lambda response: parse(response, self._now(), context), self._observe
        )
        return outcome, response.status if response else 0
