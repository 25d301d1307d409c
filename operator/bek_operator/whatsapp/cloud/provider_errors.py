"""What providers say in words of their own, where the Cloud API's protocol has codes.

A text is only searched for what a provider documents; nothing of it is kept or shown.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bek_operator.crd.reasons import Reason
from bek_operator.whatsapp.error_classes import BUSY, ErrorClass

_LONGEST = 500
_MEMBERS = ("developerMessage", "developer_message")

# 360dialog answers {"meta": {"httpCode": 400, "developerMessage": "…", "success": false}}, or with underscores:
# https://docs.360dialog.com/docs/support/api-error-message-list
# https://docs.360dialog.com/partner/help-and-support/error-messages
# Its other documented errors (500, 502) say no more than their HTTP status.
DOCUMENTED: Final[tuple[tuple[str, ErrorClass], ...]] = (
    (r"exceeded the (endpoint rate limit|limit of )", BUSY),
    (
        "api has been disabled",
        ErrorClass(Reason.ACCESS_DENIED, "the provider has disabled the API for this number; ask its support"),
    ),
    (
        "lack of payment",
        ErrorClass(Reason.ACCESS_DENIED, "the provider does not serve this number before its invoices are paid"),
    ),
    (
        "is blocked",
        ErrorClass(
            Reason.ACCESS_DENIED,
            "the provider blocks whatsapp_business_encryption for the API key in {source}; ask its support to open it",
        ),
    ),
    (
        "invalid api[ _-]?key",
        ErrorClass(
            Reason.TOKEN_EXPIRED,
            "the provider refuses the API key; put a valid one into {source} (`apiKeySecretRef`), or check "
            "`apiKeyHeader`",
            credentials=True,
        ),
    ),
)
"""What the words are, in lower case, and what they mean."""


def meaning_of_words(document: Mapping[str, Any]) -> ErrorClass | None:
    """Return what an answer's words mean, where they are those of a provider's documentation."""
    meta = document.get("meta")
    members = meta if isinstance(meta, dict) else {}
    for name in _MEMBERS:
        if isinstance(text := members.get(name), str):
            message = text[:_LONGEST].lower()
            return next((error_class for pattern, error_class in DOCUMENTED if re.search(pattern, message)), None)
    return None
