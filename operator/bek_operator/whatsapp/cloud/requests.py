"""Requests to the Cloud API: the credentials are checked, and put where the API wants them."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace

from bek_operator.crd.reasons import Reason
from bek_operator.http.interface import Request
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.whatsapp.calls import Call
from bek_operator.whatsapp.documents import FORM
from bek_operator.whatsapp.message_context import context_of
from bek_operator.whatsapp.on_premises.tokens import is_token
from bek_operator.whatsapp.secret_text import flaw_of

_BEARER = "authorization"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_UNUSABLE = "must be one line of at most 8192 ASCII characters without spaces"


def call_of(
    endpoint: CloudEndpoint, path: str, *, query: Mapping[str, str] | None = None, form: bytes | None = None
) -> Call | Failure:
    """Return the call of a path below the endpoint, or the failure if a credential cannot be sent.

    With a form it is a publish, else a read.
    """
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
            url=replace(endpoint.url, path=endpoint.url.path + path),
            trust=endpoint.trust,
            headers=headers if form is None else {**headers, "Content-Type": FORM},
            query=query or {},
            content=form,
        ),
    )


def _unusable(message: str) -> Failure:
    return Failure(reason=Reason.INVALID_CREDENTIALS, message=message, retry=Retry.TERMINAL, sent=False)


def proof_of(endpoint: CloudEndpoint) -> dict[str, str]:
    """Return the parameter that proves possession of the app secret, if there is one."""
    if endpoint.app_secret is None:
        return {}
    secret, token = (text.reveal().encode("utf-8", "surrogatepass") for text in (endpoint.app_secret, endpoint.token))
    return {"appsecret_proof": hmac.new(secret, token, hashlib.sha256).hexdigest()}
