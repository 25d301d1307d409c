"""The error classes of the Cloud API: by code, by subcode, and by HTTP status where no code is recognised.

Providers that speak its protocol have no access tokens, system users or apps, only API keys. Where the message for
Meta would be wrong for them, the class has a message `at_provider`.
"""

from collections.abc import Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Pace, Retry
from bek_operator.whatsapp.error_classes import FORBIDDEN, RATE_LIMITED, UNAUTHORIZED, ErrorClass

PARAMETER: Final = 100
PERMISSIONS: Final = range(200, 300)
BUSINESS_LIMITS: Final = range(80000, 80015)
"""Business use case rate limits; 80007 and 80008 are those of WhatsApp.

https://developers.facebook.com/docs/graph-api/overview/rate-limiting and the references of single edges; some of the
codes in between are undocumented, and none of them is documented for anything else.
"""
LIMIT_SUBCODE: Final = 2446079
"""The subcode of a rate limit, whatever its code: seen with 4, 17, 80000 and 80004."""


def _new_token(message: str, *, was_valid: bool = False) -> ErrorClass:
    """Return the class of a token that must be replaced, whatever ended it, so that one alert catches all.

    `was_valid` if the API says that the token was valid once, so that its text has no flaw.
    """
    return ErrorClass(
        Reason.TOKEN_EXPIRED,
        f"{message}; generate another one for the system user and put it into {{source}}",
        at_provider="the provider rejects the API key; put a valid one into {source} (`apiKeySecretRef`)",
        credentials=not was_valid,
    )


_INVALID = _new_token("the access token is invalid or was revoked")
_EXPIRED = _new_token("the access token has expired or is invalid")
_REVOKED = _new_token("the access token was revoked, by a password change or the like", was_valid=True)
_NOT_ALLOWED = "the API key lacks a permission; ask the provider, and check {source} (`apiKeySecretRef`)"
PERMISSION = ErrorClass(
    Reason.ACCESS_DENIED,
    "grant the token in {source} whatsapp_business_messaging, and assign the number's business account to its system "
    "user",
    at_provider=_NOT_ALLOWED,
)
_NUMBER = "it must be a phone number id, not a phone number or the id of a business account"
_NO_NUMBER = (
    "the API key does not give access to this number; check {url}, phoneNumberID and {source} (`apiKeySecretRef`)"
)
_UNKNOWN_NUMBER = ErrorClass(
    Reason.NUMBER_UNKNOWN,
    f"no phone number with this phoneNumberID is visible to the token; {_NUMBER}",
    at_provider=_NO_NUMBER,
)
_WRONG_PARAMETER = ErrorClass(
    Reason.NUMBER_UNKNOWN, f"the API refuses this phoneNumberID; {_NUMBER}", at_provider=_NO_NUMBER
)
_KEY_REJECTED = ErrorClass(
    Reason.KEY_REJECTED,
    "the API rejects the public key (it must be RSA with 2048 bits), or phoneNumberID belongs to another number",
    at_provider=(
        "the provider rejects the public key (it must be RSA with 2048 bits), or the API key in {source} belongs to "
        "another number"
    ),
)
_LOCKED = ErrorClass(Reason.ACCESS_DENIED, "the business account is restricted or locked; ask Meta's Business Support")
_UNAVAILABLE = ErrorClass(
    Reason.SERVICE_NOT_READY, "the API is temporarily unavailable", Retry.TRANSIENT, certain=False
)
_UNVERIFIED = ErrorClass(
    Reason.NOT_REGISTERED, "the number's verification or PIN is invalid; verify and register it again"
)
_OF_FLOWS = ErrorClass(Reason.INVALID_ANSWER, "unexpected error code (belongs to the Flows API)", Retry.LIMITED)
_MAINTENANCE = ErrorClass(
    Reason.MAINTENANCE, "the number is under maintenance, usually for a few minutes", Retry.TRANSIENT, Pace.SLOW
)
_VERSION = ErrorClass(
    Reason.UNSUPPORTED,
    "the API does not know this path or version; set `version` to a supported one",
    at_provider="the provider does not know this path; check {url} (it must end before /whatsapp_business_encryption)",
)

CODES: Final[Mapping[int, ErrorClass]] = {
    0: _INVALID,
    1: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the API failed without a reason; if this persists, ask its support with the trace in the operator's log",
        Retry.LIMITED,
        certain=False,
    ),
    2: _UNAVAILABLE,
    3: PERMISSION,
    4: RATE_LIMITED,
    10: ErrorClass(
        Reason.ACCESS_DENIED,
        "the token in {source} lacks the permission whatsapp_business_messaging, or Meta must allow the number first",
        at_provider=_NOT_ALLOWED,
    ),
    17: RATE_LIMITED,
    32: RATE_LIMITED,
    33: _UNKNOWN_NUMBER,
    PARAMETER: _WRONG_PARAMETER,
    102: _INVALID,
    104: ErrorClass(
        Reason.ACCESS_DENIED,
        "the API received no access token; check {source}, and any proxy in between",
        at_provider="the provider received no API key; check `apiKeyHeader`, and any proxy in between",
    ),
    190: _EXPIRED,
    368: _LOCKED,
    613: RATE_LIMITED,
    803: _UNKNOWN_NUMBER,
    2500: _VERSION,
    2635: _VERSION,
    130429: ErrorClass(Reason.RATE_LIMITED, "too many calls for this number; retrying with back-off", Retry.TRANSIENT),
    130497: _LOCKED,
    131000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the API cannot compute the signature; if this persists, ask its support with the trace in the operator's log",
        Retry.LIMITED,
        certain=False,
    ),
    131005: PERMISSION,
    131008: ErrorClass(Reason.UNSUPPORTED, "unexpected error: a parameter is missing"),
    131009: _WRONG_PARAMETER,
    131016: _UNAVAILABLE,
    131031: _LOCKED,
    131045: ErrorClass(Reason.NOT_REGISTERED, "the number's registration failed; register it again with the Cloud API"),
    131057: _MAINTENANCE,
    132068: _OF_FLOWS,
    132069: _OF_FLOWS,
    133000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the number's deregistration is incomplete; if this persists, deregister it again",
        Retry.LIMITED,
    ),
    133004: _UNAVAILABLE,
    133005: _UNVERIFIED,
    133006: _UNVERIFIED,
    133008: _UNVERIFIED,
    133009: _UNVERIFIED,
    133010: ErrorClass(Reason.NOT_REGISTERED, "the number is not registered with the Cloud API; register it"),
    133015: ErrorClass(
        Reason.SERVICE_NOT_READY, "the number was deleted a few minutes ago", Retry.TRANSIENT, Pace.SLOW, wait=300.0
    ),
    133016: ErrorClass(
        Reason.RATE_LIMITED,
        "the number was registered too often and is locked for up to 72 hours; do not register it again until then",
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
    (190, 458): _REVOKED,  # the app was removed
    (190, 459): _REVOKED,  # the user must log in at Facebook first
    (190, 460): _REVOKED,  # the password was changed
    (190, 463): _new_token("the access token has expired", was_valid=True),
    (190, 464): _REVOKED,  # the user is not confirmed
    (190, 467): _REVOKED,  # logged out
}
"""The subcodes that say more than their code."""

RANGES: Final = ((PERMISSIONS, PERMISSION), (BUSINESS_LIMITS, RATE_LIMITED))
"""Ranges of codes with one meaning."""

ON_PUBLISH: Final[Mapping[int, ErrorClass]] = {PARAMETER: _KEY_REJECTED, 131009: _KEY_REJECTED}
NOT_ELIGIBLE = ErrorClass(
    Reason.NOT_ELIGIBLE, "the number is not eligible for an encryption key; ask Meta's support why"
)
PROOF_REQUIRED = ErrorClass(
    Reason.APP_SECRET_PROOF_REQUIRED,
    "the app requires appsecret_proof; set appSecretRef to a Secret with the app secret",
    at_provider="the provider requires appsecret_proof, which only apis of type Cloud support",
)
PROOF_REFUSED = ErrorClass(
    Reason.ACCESS_DENIED, "the app secret does not belong to the token's app; check the Secret of appSecretRef"
)
SUCCESS_FALSE = ErrorClass(
    Reason.SERVICE_NOT_READY,
    "the API reports that the publish did not succeed, without a reason",
    Retry.LIMITED,
    certain=False,
)
API_FAILURE = ErrorClass(
    Reason.SERVICE_NOT_READY,
    "the API fails with an undocumented error",
    Retry.LIMITED,
    certain=False,
    at_provider="the provider fails with an undocumented error; if this persists, ask its support",
)
_ACCOUNT_PERMISSION: Final = (
    "grant the token in {source} whatsapp_business_management, and assign the business account to its system user"
)
_NO_ACCOUNT: Final = (
    "no WhatsApp Business Account with this id is visible to the token; it must not be the id of a phone number, an "
    "app or a business portfolio"
)
_ACCOUNT_FAILURE: Final = "the API failed without a reason; try again later"
ON_ACCOUNT: Final[Mapping[str, str]] = {
    PERMISSION.message: _ACCOUNT_PERMISSION,
    CODES[10].message: _ACCOUNT_PERMISSION,
    _UNKNOWN_NUMBER.message: _NO_ACCOUNT,
    _WRONG_PARAMETER.message: _NO_ACCOUNT,
    _VERSION.message: "the API does not know this path or version; set --api-version to a supported one",
    CODES[1].message: _ACCOUNT_FAILURE,
    CODES[131000].message: _ACCOUNT_FAILURE,
    RATE_LIMITED.message: "the API's rate limit is reached; try again later",
    PROOF_REQUIRED.message: "the app requires appsecret_proof; name the Secret with the app secret by --app-secret",
    PROOF_REFUSED.message: "the app secret does not belong to the token's app; check the Secret of --app-secret",
}
"""The messages for a list of an account's numbers, which a person asks for, in place of those for a number."""
STATUSES: Final[Mapping[int, ErrorClass]] = {
    UNAUTHORIZED: ErrorClass(
        Reason.ACCESS_DENIED,
        "{host}: access denied: check the token in {source}, and any proxy in between",
        at_provider="{host} rejects the API key; check {source} (`apiKeySecretRef`) and `apiKeyHeader`",
        credentials=True,
    ),
    FORBIDDEN: ErrorClass(
        Reason.ACCESS_DENIED,
        "{host}: access denied: check {source}, the permissions, and any proxy in between",
        at_provider="{host}: access denied: check {source} (`apiKeySecretRef`) and any proxy",
    ),
}


def class_of_code(code: int) -> ErrorClass | None:
    """Return the class of a code; `None` if it is undocumented."""
    return CODES.get(code) or next((error_class for codes, error_class in RANGES if code in codes), None)
