"""Request forms, and the parsing of JSON responses, which may hold anything."""

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
from bek_operator.whatsapp.error_classes import VALID_WITHOUT_KEY, ErrorClass

Document = Mapping[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
KEY: Final = "business_public_key"
STATUS: Final = "business_public_key_signature_status"

_STATUSES = frozenset(SignatureStatus)
_MENTIONS_PUBLIC_KEY = re.compile("public[ _-]?key", re.IGNORECASE)


def encode_form(field: str, public_key: str, more: Mapping[str, str] | None = None) -> bytes:
    """Return a form with a public key (PEM) in `field`, and more fields."""
    rest = f"&{urlencode(more)}" if more else ""
    return f"{field}={_quoted(public_key)}{rest}".encode()


@lru_cache(16)
def _quoted(public_key: str) -> str:
    # Quoting is slow, and many numbers get the same key.
    return quote_plus(public_key)


def parse_object(body: bytes) -> Document | None:
    """Return the JSON object in a body; `None` for anything else."""
    try:
        document = json.loads(body)
    # A few kilobytes of brackets exceed the parser's recursion limit.
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def parse_code(value: object, max_digits: int) -> int | None:
    """Return an error code, which some servers write as text; a longer number could be an echoed credential."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= max_digits else None


def mentions_public_key(*texts: object) -> bool:
    """Return whether one of an error's texts mentions the public key; nothing else is taken from them."""
    return any(isinstance(text, str) and _MENTIONS_PUBLIC_KEY.search(text) for text in texts)


def reading_from_members(members: Document) -> Reading | ErrorClass | None:
    """Parse the members for key and signature status; `None` if they are malformed.

    Text that is not a key, for example a damaged one, is a foreign key. VALID without a readable key is a
    contradiction, returned as an error class.
    """
    key, word = members.get(KEY), members.get(STATUS)
    if not isinstance(word, str) or word not in _STATUSES or not isinstance(key, str | None):
        return None
    status = SignatureStatus(word)
    try:
        fingerprint = remote_fingerprint(key) if key else None
    except UnreadableKey:
        if status is SignatureStatus.VALID:
            return VALID_WITHOUT_KEY
        return Reading(status=status, fingerprint=_fingerprint_of_text(key or ""))
    if status is SignatureStatus.VALID and fingerprint is None:
        return VALID_WITHOUT_KEY
    return Reading(status=status, fingerprint=fingerprint, public_key=_shared(key) if key else "")


# All numbers of an object return the same text, check after check.
@lru_cache(maxsize=1024)
def _shared(text: str) -> str:
    """Return a text that equals this one, so that it is in memory once."""
    return text


def _fingerprint_of_text(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
