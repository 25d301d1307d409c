"""JSON documents as APIs answer them, read with suspicion: anything may come in any form."""

import json
from collections.abc import Mapping
from typing import Any, Final

from bek_operator.model.answers import Reading, SignatureStatus
from bek_operator.model.key import remote_fingerprint

Document = Mapping[str, Any]

KEY: Final = "business_public_key"
STATUS: Final = "business_public_key_signature_status"


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
