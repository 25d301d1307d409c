"""The classes of errors that providers report by a message of their own instead of a Cloud API code.

A message is only searched for documented phrases; nothing of it is kept or shown.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bek_operator.crd.reasons import Reason
from bek_operator.whatsapp.error_classes import RATE_LIMITED, ErrorClass

_MAX_LENGTH = 500
_MEMBERS = ("developerMessage", "developer_message")

# 360dialog answers {"meta": {"httpCode": 400, "developerMessage": "…", "success": false}}, or with underscores:
# https://docs.360dialog.com/docs/support/api-error-message-list
# https://docs.360dialog.com/partner/help-and-support/error-messages
# Its other documented errors (500, 502) add nothing to their HTTP status.
DOCUMENTED: Final[tuple[tuple[str, ErrorClass], ...]] = (
    (r"exceeded the (endpoint rate limit|limit of )", RATE_LIMITED),
    (
        "api has been disabled",
        ErrorClass(Reason.ACCESS_DENIED, "the provider has disabled the API for this number; ask its support"),
    ),
    (
        "lack of payment",
        ErrorClass(Reason.ACCESS_DENIED, "the provider does not serve this number until its invoices are paid"),
    ),
    (
        "is blocked",
        ErrorClass(
            Reason.ACCESS_DENIED,
            "the provider blocks whatsapp_business_encryption for the API key in {source}; ask its support to allow it",
        ),
    ),
    (
        "invalid api[ _-]?key",
        ErrorClass(
            Reason.TOKEN_EXPIRED,
            "the provider rejects the API key; put a valid one into {source} (`apiKeySecretRef`), or check "
            "`apiKeyHeader`",
            credentials=True,
        ),
    ),
)
"""Patterns of lower-case messages, and their classes."""


def class_of_message(document: Mapping[str, Any]) -> ErrorClass | None:
    """Return the class of a response by its message; `None` if that is undocumented."""
    meta = document.get("meta")
    members = meta if isinstance(meta, dict) else {}
    for name in _MEMBERS:
        if isinstance(text := members.get(name), str):
            message = text[:_MAX_LENGTH].lower()
            return next((error_class for pattern, error_class in DOCUMENTED if re.search(pattern, message)), None)
    return None
