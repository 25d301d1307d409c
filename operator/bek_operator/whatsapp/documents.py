"""Documents: the forms that APIs are sent, and the JSON that they answer, read with suspicion: it may be anything."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from bek_operator.crd.types import SignatureStatus
from bek_operator.keys.public_key import UnreadableKey, remote_fingerprint
from bek_operator.numbers.answers import Reading
from bek_operator.whatsapp.error_classes import CONTRADICTORY, ErrorClass

Document = Mapping[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
KEY: Final = "business_public_key"
STATUS: Final = "business_public_key_signature_status"

_STATUSES = frozenset(SignatureStatus)
_KEY_WORDS = re.compile("public[ _-]?key", re.IGNORECASE)


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


def names_the_key(*texts: object) -> bool:
    """Return whether one of the texts of an error speaks of the public key; no more of them is looked at."""
    return any(isinstance(text, str) and _KEY_WORDS.search(text) for text in texts)


def reading_of(members: Document) -> Reading | ErrorClass | None:
    """Return what the two members tell that speak of a number's key.

    A text that is no key, such as one that was damaged on its way, is somebody's key as long as the API does not call
    it VALID: the number lacks ours. What the members mean where they contradict each other is returned as well;
    `None` where they are not in order.
    """
    key, word = members.get(KEY), members.get(STATUS)
    if not isinstance(word, str) or word not in _STATUSES or not isinstance(key, str | None):
        return None
    status = SignatureStatus(word)
    try:
        fingerprint = remote_fingerprint(key) if key else None
    except UnreadableKey:
        if status is SignatureStatus.VALID:
            return CONTRADICTORY
        return Reading(status=status, fingerprint=_fingerprint_of_text(key or ""))
    if status is SignatureStatus.VALID and fingerprint is None:
        return CONTRADICTORY
    return Reading(status=status, fingerprint=fingerprint)


def _fingerprint_of_text(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
