"""What the On-Premises API's answers say, read with suspicion: anything may come in any form."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from bek_operator.model.answers import Accepted, Failure, Reading, SignatureStatus
from bek_operator.model.key import remote_fingerprint
from bek_operator.whatsapp.exchange import Answer
from bek_operator.whatsapp.on_premises_errors import NOT_FOUND, failure
from bek_operator.whatsapp.retry_after import retry_after
from bek_operator.whatsapp.tokens import Login, life_until, token_from

T = TypeVar("T")
Document = Mapping[str, Any]

_KEY: Final = "business_public_key"
_STATUS: Final = "business_public_key_signature_status"

_SUCCESS = range(200, 300)
_MISSING = 404
# Longer numbers are no codes, and could be something that was echoed.
_MOST_DIGITS = 6


def login_from(answer: Answer, now: datetime) -> Login | Failure:
    """Read the answer to a login."""

    def login(document: Document) -> Login | None:
        users = document.get("users")
        user = users[0] if isinstance(users, list) and users and isinstance(users[0], dict) else {}
        token = token_from(user.get("token"))
        return Login(token, life_until(user.get("expires_after"), now)) if token else None

    return _understood(answer, now, login)


def reading_from(answer: Answer, now: datetime) -> Reading | Failure:
    """Read the answer to a read."""
    found = _understood(answer, now, _reading)
    if answer.status == _MISSING and isinstance(found, Failure) and found.code == NOT_FOUND:
        return Reading(status=None, fingerprint=None)
    return found


def acceptance_from(answer: Answer, now: datetime) -> Accepted | Failure:
    """Read the answer to a publish."""
    return _understood(
        answer, now, lambda document: Accepted() if isinstance(document.get("meta"), dict) else None, publish=True
    )


def _understood(
    answer: Answer, now: datetime, read: Callable[[Document], T | None], *, publish: bool = False
) -> T | Failure:
    """Return what a success says, or what it means that it is none."""
    document = _document(answer.body)
    if answer.status in _SUCCESS and document is not None and not document.get("errors"):
        found = read(document)
        if found is not None:
            return found
    return failure(
        answer.status,
        _codes(document or {}),
        retry_after=retry_after(answer.headers.get("retry-after"), now),
        publish=publish,
    )


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body)
    # A few kilobytes of brackets are nested deeper than the parser can go.
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _codes(document: Document) -> tuple[int, ...]:
    """Return the codes of the error envelope, in its order; some clients write them as texts."""
    errors = document.get("errors")
    if not isinstance(errors, list):
        return ()
    texts = (str(error.get("code")) for error in errors if isinstance(error, dict))
    return tuple(int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS)


def _reading(document: Document) -> Reading | None:
    key, word = document.get(_KEY), document.get(_STATUS)
    if word is None and not key:
        # Nothing but the envelope: this API, holding no key. Without even that it may be anything.
        return Reading(status=None, fingerprint=None) if isinstance(document.get("meta"), dict) else None
    if not isinstance(word, str) or not isinstance(key, str | None):
        return None
    try:
        return Reading(status=SignatureStatus(word), fingerprint=remote_fingerprint(key) if key else None)
    except ValueError:
        return None
