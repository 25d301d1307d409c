"""What each error of the Cloud API means, as tables: by code, by subcode, and by HTTP status where no code is known.

Providers that speak its protocol say the same for other reasons: they know no access token, system user or app, only an
API key. What Meta's words would say wrongly of them has words of its own, `at_provider`.
"""

from collections.abc import Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Pace, Retry
from bek_operator.whatsapp.error_classes import BUSY, FORBIDDEN, UNAUTHORIZED, ErrorClass

PARAMETER: Final = 100
PERMISSIONS: Final = range(200, 300)
BUSINESS_LIMITS: Final = range(80000, 80015)
"""Limits on calls by what a business calls for, each with a code of its own: 80007 and 80008 are those of WhatsApp.

https://developers.facebook.com/docs/graph-api/overview/rate-limiting and the references of single edges; some of the
codes in between are documented nowhere, and none of them for anything else.
"""
LIMIT_SUBCODE: Final = 2446079
"""What limits say beside their code, whatever that is: seen with 4, 17, 80000 and 80004."""


def _new_token(message: str, *, was_one: bool = False) -> ErrorClass:
    """Return that only another token helps; an alert on `TokenExpired` is to catch every way in which one has ended.

    `was_one` tells that the API knows what became of it, so that its text is none to wonder about.
    """
    return ErrorClass(
        Reason.TOKEN_EXPIRED,
        f"{message}; generate another one for the system user and put it into {{source}}",
        at_provider="the provider refuses the API key; put a valid one into {source} (`apiKeySecretRef`)",
        credentials=not was_one,
    )


_INVALID = _new_token("the access token does not count, or no longer")
_EXPIRED = _new_token("the access token has expired or is not valid")
_WITHDRAWN = _new_token("the access token was withdrawn, by a password change or the like", was_one=True)
_NOT_ALLOWED = "the provider does not let this API key do that; ask it, and check {source} (`apiKeySecretRef`)"
PERMISSION = ErrorClass(
    Reason.ACCESS_DENIED,
    "the token in {source} needs whatsapp_business_messaging, and its system user the number's business account "
    "among its assets",
    at_provider=_NOT_ALLOWED,
)
_NUMBER = "put the phone number id there, not the phone number or the id of a business account"
_NO_NUMBER = (
    "the provider knows no such number for this API key; check {url}, phoneNumberID and {source} (`apiKeySecretRef`)"
)
_UNKNOWN_NUMBER = ErrorClass(
    Reason.NUMBER_UNKNOWN, f"the token sees no number of the id in phoneNumberID; {_NUMBER}", at_provider=_NO_NUMBER
)
_WRONG_PARAMETER = ErrorClass(
    Reason.NUMBER_UNKNOWN, f"the API knows no key of the id in phoneNumberID; {_NUMBER}", at_provider=_NO_NUMBER
)
_KEY_REJECTED = ErrorClass(
    Reason.KEY_REJECTED,
    "the API does not accept the public key (RSA with 2048 bits is needed), or phoneNumberID is not this number's",
    at_provider=(
        "the provider does not accept the public key (RSA with 2048 bits is needed), or the API key in {source} is "
        "not this number's"
    ),
)
_LOCKED = ErrorClass(
    Reason.ACCESS_DENIED, "the business account is restricted or locked; Meta's Business Support tells why"
)
_UNAVAILABLE = ErrorClass(
    Reason.SERVICE_NOT_READY, "the API is not available at the moment", Retry.TRANSIENT, certain=False
)
_UNVERIFIED = ErrorClass(
    Reason.NOT_REGISTERED, "the number's verification or PIN is not in order; verify and register it anew"
)
_OF_FLOWS = ErrorClass(
    Reason.INVALID_ANSWER, "an error of sending or editing Flows, which makes no sense here", Retry.LIMITED
)
_MAINTENANCE = ErrorClass(
    Reason.MAINTENANCE, "the number is under maintenance for some minutes", Retry.TRANSIENT, Pace.SLOW
)
_VERSION = ErrorClass(
    Reason.UNSUPPORTED,
    "the API does not know this version or path; it may have ended: set `version` to a current one",
    at_provider="the provider does not know this path; check {url}, which ends before /whatsapp_business_encryption",
)

CODES: Final[Mapping[int, ErrorClass]] = {
    0: _INVALID,
    1: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the API failed for a reason that it does not tell; its support may, by the trace in the operator's log",
        Retry.LIMITED,
        certain=False,
    ),
    2: _UNAVAILABLE,
    3: PERMISSION,
    4: BUSY,
    10: ErrorClass(
        Reason.ACCESS_DENIED,
        "the token in {source} lacks the permission whatsapp_business_messaging, or the number must be allowed by "
        "Meta first",
        at_provider=_NOT_ALLOWED,
    ),
    17: BUSY,
    32: BUSY,
    33: _UNKNOWN_NUMBER,
    PARAMETER: _WRONG_PARAMETER,
    102: _INVALID,
    104: ErrorClass(
        Reason.ACCESS_DENIED,
        "no access token arrived; check {source}, and any proxy in between",
        at_provider="no API key arrived; check `apiKeyHeader`, and any proxy in between",
    ),
    190: _EXPIRED,
    368: _LOCKED,
    613: BUSY,
    803: _UNKNOWN_NUMBER,
    2500: _VERSION,
    2635: _VERSION,
    130429: ErrorClass(Reason.RATE_LIMITED, "too many calls for this number at once", Retry.TRANSIENT),
    130497: _LOCKED,
    131000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the API could not compute the signature; if it goes on, ask its support, with the trace in the operator's log",
        Retry.LIMITED,
        certain=False,
    ),
    131005: PERMISSION,
    131008: ErrorClass(Reason.UNSUPPORTED, "a parameter is missing: the API does not take this request"),
    131009: _WRONG_PARAMETER,
    131016: _UNAVAILABLE,
    131031: _LOCKED,
    131045: ErrorClass(Reason.NOT_REGISTERED, "the number's registration failed; register it anew with the Cloud API"),
    131057: _MAINTENANCE,
    132068: _OF_FLOWS,
    132069: _OF_FLOWS,
    133000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the number was deregistered, and not completely; deregister it again if that does not pass",
        Retry.LIMITED,
    ),
    133004: _UNAVAILABLE,
    133005: _UNVERIFIED,
    133006: _UNVERIFIED,
    133008: _UNVERIFIED,
    133009: _UNVERIFIED,
    133010: ErrorClass(Reason.NOT_REGISTERED, "the number is not registered with the Cloud API; register it there"),
    133015: ErrorClass(
        Reason.SERVICE_NOT_READY, "the number was deleted a few minutes ago", Retry.TRANSIENT, Pace.SLOW, wait=300.0
    ),
    133016: ErrorClass(
        Reason.RATE_LIMITED,
        "the number was registered too often, and is locked for up to 72 hours; do not register it again meanwhile",
        Retry.TRANSIENT,
        Pace.SLOW,
        wait=3600.0,
    ),
    139000: _OF_FLOWS,
    139001: _OF_FLOWS,
    139002: _OF_FLOWS,
    139003: _OF_FLOWS,
    139004: _OF_FLOWS,
    139006: _OF_FLOWS,
    2494100: _MAINTENANCE,
}

SUBCODES: Final[Mapping[tuple[int, int], ErrorClass]] = {
    (PARAMETER, 33): _UNKNOWN_NUMBER,
    (190, 458): _WITHDRAWN,  # the app was removed
    (190, 459): _WITHDRAWN,  # the user must log in somewhere first
    (190, 460): _WITHDRAWN,  # the password was changed
    (190, 463): _new_token("the access token has expired", was_one=True),
    (190, 464): _WITHDRAWN,  # the user is not confirmed
    (190, 467): _WITHDRAWN,  # logged out
}
"""Where a subcode says more than its code; all others say the same."""

RANGES: Final = ((PERMISSIONS, PERMISSION), (BUSINESS_LIMITS, BUSY))
"""Codes that mean the same as all others in between."""

ON_PUBLISH: Final[Mapping[int, ErrorClass]] = {PARAMETER: _KEY_REJECTED, 131009: _KEY_REJECTED}
NOT_ELIGIBLE = ErrorClass(
    Reason.NOT_ELIGIBLE, "the number is not eligible for an encryption key; ask Meta's support why"
)
PROOF_REQUIRED = ErrorClass(
    Reason.APP_SECRET_PROOF_REQUIRED,
    "the app demands a proof of its secret with every call; name a Secret that holds it in appSecretRef",
    at_provider="the provider demands a proof of an app's secret, which only apis of type Cloud can give",
)
PROOF_REFUSED = ErrorClass(
    Reason.ACCESS_DENIED, "the app secret is not that of the app which the token is of; check the entry of appSecretRef"
)
NO_SUCCESS = ErrorClass(
    Reason.SERVICE_NOT_READY,
    "the API answers that it did not take the key, without a reason",
    Retry.LIMITED,
    certain=False,
)
PASSING = ErrorClass(
    Reason.SERVICE_NOT_READY,
    "the API fails with an error that it does not document",
    Retry.LIMITED,
    certain=False,
    at_provider="the provider fails with an error of its own; if it goes on, ask its support",
)
STATUSES: Final[Mapping[int, ErrorClass]] = {
    UNAUTHORIZED: ErrorClass(
        Reason.ACCESS_DENIED,
        "{host}: access denied: check the token in {source}, and any proxy in between",
        at_provider="{host} refuses the API key; check {source} (`apiKeySecretRef`) and `apiKeyHeader`",
        credentials=True,
    ),
    FORBIDDEN: ErrorClass(
        Reason.ACCESS_DENIED,
        "{host}: access denied: check {source}, the permissions, and any proxy in between",
        at_provider="{host}: access denied: check {source} (`apiKeySecretRef`) and any proxy between",
    ),
}


def meaning_of_code(code: int) -> ErrorClass | None:
    """Return what a code means; `None` for one that nobody documents."""
    return CODES.get(code) or next((error_class for codes, error_class in RANGES if code in codes), None)
