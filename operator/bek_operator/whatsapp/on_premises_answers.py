"""What the On-Premises API's answers say, read with suspicion: anything may come in any form."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bek_operator.model.answers import Accepted, Failure, Reading
from bek_operator.whatsapp.documents import KEY, STATUS, Document, code_of, document_of, reading_of
from bek_operator.whatsapp.exchange import Answer
from bek_operator.whatsapp.meanings import SUCCESS
from bek_operator.whatsapp.on_premises_errors import NOT_FOUND, failure
from bek_operator.whatsapp.peer import Peer
from bek_operator.whatsapp.retry_after import retry_after
from bek_operator.whatsapp.tokens import Login, life_until, token_from

T = TypeVar("T")

_MISSING = 404
_MOST_DIGITS = 6


def login_from(answer: Answer, now: datetime, peer: Peer) -> Login | Failure:
    """Read the answer to a login."""

    def login(document: Document) -> Login | None:
        users = document.get("users")
        user = users[0] if isinstance(users, list) and users and isinstance(users[0], dict) else {}
        token = token_from(user.get("token"))
        return Login(token, life_until(user.get("expires_after"), now)) if token else None

    return _understood(answer, now, peer, login)


def reading_from(answer: Answer, now: datetime, peer: Peer) -> Reading | Failure:
    """Read the answer to a read."""
    found = _understood(answer, now, peer, _reading)
    if answer.status == _MISSING and isinstance(found, Failure) and found.code == NOT_FOUND:
        return Reading(status=None, fingerprint=None)
    return found


def acceptance_from(answer: Answer, now: datetime, peer: Peer) -> Accepted | Failure:
    """Read the answer to a publish."""
    return _understood(
        answer, now, peer, lambda document: Accepted() if isinstance(document.get("meta"), dict) else None, publish=True
    )


def _understood(
    answer: Answer, now: datetime, peer: Peer, read: Callable[[Document], T | None], *, publish: bool = False
) -> T | Failure:
    """Return what a success says, or what it means that it is none."""
    document = document_of(answer.body)
    if answer.status in SUCCESS and document is not None and not document.get("errors"):
        found = read(document)
        if found is not None:
            return found
    return failure(
        answer.status,
        _codes(document or {}),
        peer,
        retry_after=retry_after(answer.headers.get("retry-after"), now),
        publish=publish,
    )


def _codes(document: Document) -> tuple[int, ...]:
    """Return the codes of the error envelope, in its order."""
    errors = document.get("errors")
    if not isinstance(errors, list):
        return ()
    codes = (code_of(error.get("code"), _MOST_DIGITS) for error in errors if isinstance(error, dict))
    return tuple(code for code in codes if code is not None)


def _reading(document: Document) -> Reading | None:
    if document.get(STATUS) is None and not document.get(KEY):
        # Nothing but the envelope: this API, holding no key. Without even that it may be anything.
        return Reading(status=None, fingerprint=None) if isinstance(document.get("meta"), dict) else None
    return reading_of(document)
