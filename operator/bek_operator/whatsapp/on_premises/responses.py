"""What the On-Premises API's answers say, read with suspicion: anything may come in any form."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bek_operator.http.exchange import Response
from bek_operator.http.retry_after import retry_after
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.whatsapp.documents import KEY, STATUS, Document, code_of, document_of, names_the_key, reading_of
from bek_operator.whatsapp.error_classes import SUCCESS, ErrorClass
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.on_premises.errors import NOT_FOUND, failure
from bek_operator.whatsapp.on_premises.tokens import Login, life_until, token_from

T = TypeVar("T")

_MISSING = 404
_MOST_DIGITS = 6


def login_from(answer: Response, now: datetime, context: MessageContext) -> Login | Failure:
    """Read the answer to a login."""

    def login(document: Document) -> Login | None:
        users = document.get("users")
        user = users[0] if isinstance(users, list) and users and isinstance(users[0], dict) else {}
        token = token_from(user.get("token"))
        return Login(token, life_until(user.get("expires_after"), now)) if token else None

    return _understood(answer, now, context, login)


def reading_from(answer: Response, now: datetime, context: MessageContext) -> Reading | Failure:
    """Read the answer to a read."""
    found = _understood(answer, now, context, _reading)
    if answer.status == _MISSING and isinstance(found, Failure) and found.code == NOT_FOUND:
        return Reading(status=None, fingerprint=None)
    return found


def acceptance_from(answer: Response, now: datetime, context: MessageContext) -> Accepted | Failure:
    """Read the answer to a publish."""
    return _understood(
        answer,
        now,
        context,
        lambda document: Accepted() if isinstance(document.get("meta"), dict) else None,
        publish=True,
    )


def _understood(
    answer: Response,
    now: datetime,
    context: MessageContext,
    read: Callable[[Document], T | ErrorClass | None],
    *,
    publish: bool = False,
) -> T | Failure:
    """Return what a success says, or what it means that it is none."""
    document = document_of(answer.body)
    if answer.status in SUCCESS and document is not None and not document.get("errors"):
        found = read(document)
        if isinstance(found, ErrorClass):
            return found.failure(f"HTTP {answer.status}", context)
        if found is not None:
            return found
    errors = _errors(document or {})
    codes = (code_of(error.get("code"), _MOST_DIGITS) for error in errors)
    return failure(
        answer.status,
        [code for code in codes if code is not None],
        context,
        retry_after=retry_after(answer.headers.get("retry-after"), now),
        publish=publish,
        names_key=any(names_the_key(error.get("title"), error.get("details")) for error in errors),
    )


def _errors(document: Document) -> list[Document]:
    """Return what the error envelope holds, in its order."""
    errors = document.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _reading(document: Document) -> Reading | ErrorClass | None:
    if document.get(STATUS) is None and not document.get(KEY):
        # Nothing but the envelope: this API, holding no key. Without even that it may be anything.
        return Reading(status=None, fingerprint=None) if isinstance(document.get("meta"), dict) else None
    return reading_of(document)
