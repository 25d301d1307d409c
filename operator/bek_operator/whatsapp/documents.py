"""Documents: the forms that APIs are sent, and the JSON that they answer, read with suspicion: it may be anything."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from bek_operator.model.answers import Reading, SignatureStatus
from bek_operator.model.key import remote_fingerprint

Document = Mapping[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
KEY: Final = "business_public_key"
STATUS: Final = "business_public_key_signature_status"


def form_of(field: str, public_key: str, more: Mapping[str, str] | None = None) -> bytes:
    """Return the body of a form that hands over a public key (PEM), and what else is to go with it."""
    rest = f"&{urlencode(more)}" if more else ""
    return f"{field}={_quoted(public_key)}{rest}".encode()


@lru_cache(16)
def _quoted(public_key: str) -> str:
    # A thousand numbers get the same key, and each of its characters is looked at.
    return quote_plus(public_key)


def document_of(body: bytes) -> Document | None:
    """Return the JSON object that a body holds; `None` for anything else."""
    try:
        document = json.loads(body)
    # A few kilobytes of brackets are nested deeper than the parser can go.
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def code_of(value: object, most_digits: int) -> int | None:
    """Return an error code, which some servers write as text; longer numbers could be something that was echoed."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= most_digits else None


def reading_of(members: Document) -> Reading | None:
    """Read the two members that tell of a number's key; `None` where they are not in order."""
    key, word = members.get(KEY), members.get(STATUS)
    if not isinstance(word, str) or not isinstance(key, str | None):
        return None
    try:
        return Reading(status=SignatureStatus(word), fingerprint=remote_fingerprint(key) if key else None)
    except ValueError:
        return None
