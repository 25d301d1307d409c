"""Parsing of the On-Premises API's responses, which may hold anything."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bek_operator.http.interface import Response
from bek_operator.http.retry_after import retry_after
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.whatsapp.documents import (
    KEY,
    STATUS,
    Document,
    mentions_public_key,
    parse_code,
    parse_object,
    reading_from_members,
)
from bek_operator.whatsapp.error_classes import SUCCESS, ErrorClass
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.on_premises.errors import NOT_FOUND, failure
from bek_operator.whatsapp.on_premises.tokens import Login, lifetime_until, token_from

T = TypeVar("T")

_STATUS_NOT_FOUND = 404
_MAX_DIGITS = 6


def login_from(response: Response, now: datetime, context: MessageContext) -> Login | Failure:
    """Parse the response to a login."""

    def login(document: Document) -> Login | None:
        users = document.get("users")
        user = users[0] if isinstance(users, list) and users and isinstance(users[0], dict) else {}
        token = token_from(user.get("token"))
        return Login(token, lifetime_until(user.get("expires_after"), now)) if token else None

    return _parse(response, now, context, login)


def reading_from(response: Response, now: datetime, context: MessageContext) -> Reading | Failure:
    """Parse the response to a read."""
    found = _parse(response, now, context, _reading)
    if response.status == _STATUS_NOT_FOUND and isinstance(found, Failure) and found.code == NOT_FOUND:
        return Reading(status=None, fingerprint=None)
    return found


def acceptance_from(response: Response, now: datetime, context: MessageContext) -> Accepted | Failure:
    """Parse the response to a publish."""
    return _parse(
        response,
        now,
        context,
        lambda document: Accepted() if isinstance(document.get("meta"), dict) else None,
        publish=True,
    )


def _parse(
    response: Response,
    now: datetime,
    context: MessageContext,
    parse: Callable[[Document], T | ErrorClass | None],
    *,
    publish: bool = False,
) -> T | Failure:
    """Return what `parse` takes from a success, or the failure."""
    document = parse_object(response.body)
    if response.status in SUCCESS and document is not None and not document.get("errors"):
        found = parse(document)
        if isinstance(found, ErrorClass):
            return found.failure(f"HTTP {response.status}", context)
        if found is not None:
            return found
    errors = _errors(document or {})
    codes = (parse_code(error.get("code"), _MAX_DIGITS) for error in errors)
    return failure(
        response.status,
        [code for code in codes if code is not None],
        context,
        retry_after=retry_after(response.headers.get("retry-after"), now),
        publish=publish,
        mentions_key=any(mentions_public_key(error.get("title"), error.get("details")) for error in errors),
    )


def _errors(document: Document) -> list[Document]:
    """Return the errors of the envelope, in its order."""
    errors = document.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _reading(document: Document) -> Reading | ErrorClass | None:
    if document.get(STATUS) is None and not document.get(KEY):
        # An envelope without the members means no key; without an envelope it is not this API.
        return Reading(status=None, fingerprint=None) if isinstance(document.get("meta"), dict) else None
    return reading_from_members(document)
