"""The On-Premises API: log in, ask for the key, hand over the key."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from bek_operator.http.exchange import HttpClient, Response
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.whatsapp.calls import Call, make
from bek_operator.whatsapp.documents import FORM, form_of
from bek_operator.whatsapp.message_context import MessageContext, context_of
from bek_operator.whatsapp.on_premises.errors import is_expired_token
from bek_operator.whatsapp.on_premises.responses import acceptance_from, login_from, reading_from
from bek_operator.whatsapp.on_premises.tokens import Login, Tokens

LOGIN: Final = "/v1/users/login"
ENCRYPTION: Final = "/v1/settings/business/whatsapp_business_encryption"

R = TypeVar("R")
Kind = Literal["login", "read", "publish"]
Parse = Callable[[Response, datetime, MessageContext], R | Failure]


class OnPremises:
    """The backend for On-Premises endpoints."""

    def __init__(self, http: HttpClient, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._http = http
        self._now = now
        self._tokens = Tokens()

    async def read(self, endpoint: OnPremisesEndpoint) -> Reading | Failure:
        """Ask which key the number holds, and whether its signature is valid."""
        return await self._logged_in(endpoint, "read", reading_from)

    async def publish(self, endpoint: OnPremisesEndpoint, public_key: str) -> Accepted | Failure:
        """Hand over the public key (SPKI PEM) to be signed; a `Failure` says whether that is certain."""
        # The API's documentation asks for a form, whatever its samples look like.
        return await self._logged_in(endpoint, "publish", acceptance_from, form_of("public_key", public_key))

    async def close(self) -> None:
        """End every login and every connection."""
        await self._tokens.close()
        await self._http.close()

    async def _logged_in(
        self,
        endpoint: OnPremisesEndpoint,
        kind: Literal["read", "publish"],
        parse: Parse[R],
        form: bytes | None = None,
    ) -> R | Failure:
        """Call with a token; one that was kept and is refused is replaced by another login, once."""
        again = True
        while True:
            grant = await self._tokens.grant(endpoint, self._log_in)
            if isinstance(grant, Failure):
                return grant
            headers = {"Authorization": f"Bearer {grant.token.reveal()}"}
            if form is not None:
                headers["Content-Type"] = FORM
            found, status = await self._call(endpoint, kind, parse, headers, form)
            if not (isinstance(found, Failure) and is_expired_token(status, found)):
                return found
            self._tokens.forget(endpoint, grant.token)
            if grant.fresh or not again:
                return found
            again = False

    async def _log_in(self, endpoint: OnPremisesEndpoint) -> Login | Failure:
        login = f"{endpoint.username}:{endpoint.password.reveal()}".encode("utf-8", "surrogatepass")
        headers = {
            "Authorization": f"Basic {base64.b64encode(login).decode()}",
            "Content-Type": "application/json",
        }
        found, _ = await self._call(endpoint, "login", login_from, headers, b"")
        return found

    async def _call(
        self,
        endpoint: OnPremisesEndpoint,
        kind: Kind,
        parse: Parse[R],
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> tuple[R | Failure, int]:
        """Make one call; return what it said and its HTTP status (0 without one)."""
        context = context_of(endpoint)
        if kind != "login":
            # The login that was made before has shown that user name and password are what they should be.
            context = replace(context, flaw="")
        call = Call(
            kind=kind,
            limiter_key=endpoint.limiter_key,
            context=context,
            url=replace(endpoint.url, path=endpoint.url.path + (LOGIN if kind == "login" else ENCRYPTION)),
            trust=endpoint.trust,
            headers=headers,
            content=content,
        )
        found, answer = await make(self._http, call, lambda answer: parse(answer, self._now(), context))
        return found, answer.status if answer else 0
