"""What the Cloud API's errors mean: by code, sometimes by subcode, and by HTTP status where no code is recognised.

The status alone misleads: rate limits come as 400, and errors that no repetition cures as 500.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bek_operator.model.answers import Cure, Failure, Pace
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.meanings import (
    BUSY,
    FORBIDDEN,
    REFUSED,
    UNAUTHORIZED,
    UNRECOGNISED,
    Meaning,
    meaning_of_status,
)

PARAMETER: Final = 100
PERMISSIONS: Final = range(200, 300)
LIMITS: Final = frozenset({4, 17, 32, 613, 80007})
"""Codes of limits on calls, which are refused to whoever has the same token."""

_NOT_ELIGIBLE_STATUS = 422
_BUSY_STATUS = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is used of an answer's error.

    Attributes:
        transient: It says that it will pass.
        names_proof: Its text has the word `appsecret_proof`; no more of the text is looked at.
        trace: The API's id of the call.
    """

    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    names_proof: bool = False
    trace: str | None = None


_RENEW = "generate another one for the system user and put it into the Secret"
_WITHDRAWN = Meaning(
    Reason.ACCESS_DENIED, f"the access token was withdrawn, by a password change or the like; {_RENEW}"
)
_PERMISSION = Meaning(
    Reason.ACCESS_DENIED,
    "a permission is missing: the token needs whatsapp_business_messaging, and its system user the number's "
    "business account among its assets",
)
_NUMBER = "check phoneNumberID: it is neither the number nor the id of a business account"
_UNKNOWN_NUMBER = Meaning(Reason.NUMBER_UNKNOWN, f"this token sees no number of this id; {_NUMBER}")
_WRONG_PARAMETER = Meaning(Reason.NUMBER_UNKNOWN, f"the API knows no key of what has this id; {_NUMBER}")
_KEY_REJECTED = Meaning(
    Reason.KEY_REJECTED,
    "the API does not accept the public key (RSA with 2048 bits is needed), or phoneNumberID is not this number's",
)
_LOCKED = Meaning(
    Reason.ACCESS_DENIED, "the business account is restricted or locked; Meta's Business Support tells why"
)
_UNAVAILABLE = Meaning(Reason.SERVICE_NOT_READY, "the API is not available at the moment", Cure.TIME, certain=False)
_UNVERIFIED = Meaning(
    Reason.NOT_REGISTERED, "the number's verification or PIN is not in order; verify and register it anew"
)
_OF_FLOWS = Meaning(
    Reason.INVALID_ANSWER, "an error of sending or editing Flows, which makes no sense here", Cure.BOUNDED
)
_MAINTENANCE = Meaning(Reason.MAINTENANCE, "the number is under maintenance for some minutes", Cure.TIME, Pace.SLOW)
_VERSION = Meaning(
    Reason.UNSUPPORTED,
    "the API does not know this version or path; the version may have ended: set `version` to a current one, "
    "and check the URL",
)

CODES: Final[Mapping[int, Meaning]] = {
    0: Meaning(Reason.TOKEN_EXPIRED, f"the access token does not count, or no longer; {_RENEW}"),
    1: Meaning(
        Reason.SERVICE_NOT_READY,
        "the API failed for a reason that it does not tell; its support may, by the trace in the operator's log",
        Cure.BOUNDED,
        certain=False,
    ),
    2: _UNAVAILABLE,
    3: _PERMISSION,
    4: BUSY,
    10: Meaning(
        Reason.ACCESS_DENIED,
        "the token lacks the permission whatsapp_business_messaging, or the number must be allowed by Meta first",
    ),
    17: BUSY,
    32: BUSY,
    33: _UNKNOWN_NUMBER,
    PARAMETER: _WRONG_PARAMETER,
    102: Meaning(Reason.TOKEN_EXPIRED, f"the access token does not count, or no longer; {_RENEW}"),
    104: Meaning(
        Reason.ACCESS_DENIED, "no access token arrived; check the name of the header, and any proxy in between"
    ),
    190: Meaning(Reason.TOKEN_EXPIRED, f"the access token has expired or is not valid; {_RENEW}"),
    368: _LOCKED,
    613: BUSY,
    803: _UNKNOWN_NUMBER,
    2500: _VERSION,
    2635: _VERSION,
    80007: BUSY,
    130429: Meaning(Reason.RATE_LIMITED, "too many calls for this number at once", Cure.TIME),
    130497: _LOCKED,
    131000: Meaning(
        Reason.SERVICE_NOT_READY,
        "the API could not compute the signature; if it goes on, ask its support, with the trace in the operator's log",
        Cure.BOUNDED,
        certain=False,
    ),
    131005: _PERMISSION,
    131008: Meaning(Reason.UNSUPPORTED, "a parameter is missing: the API does not take this request"),
    131009: _WRONG_PARAMETER,
    131016: _UNAVAILABLE,
    131031: _LOCKED,
    131045: Meaning(Reason.NOT_REGISTERED, "the number's registration failed; register it anew with the Cloud API"),
    131057: _MAINTENANCE,
    132068: _OF_FLOWS,
    132069: _OF_FLOWS,
    133000: Meaning(
        Reason.SERVICE_NOT_READY,
        "the number was deregistered, and not completely; deregister it again if that does not pass",
        Cure.BOUNDED,
    ),
    133004: _UNAVAILABLE,
    133005: _UNVERIFIED,
    133006: _UNVERIFIED,
    133008: _UNVERIFIED,
    133009: _UNVERIFIED,
    133010: Meaning(Reason.NOT_REGISTERED, "the number is not registered with the Cloud API; register it there"),
    133015: Meaning(
        Reason.SERVICE_NOT_READY, "the number was deleted a few minutes ago", Cure.TIME, Pace.SLOW, wait=300.0
    ),
    133016: Meaning(
        Reason.RATE_LIMITED,
        "the number was registered too often, and is locked for up to 72 hours; do not register it again meanwhile",
        Cure.TIME,
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

SUBCODES: Final[Mapping[tuple[int, int], Meaning]] = {
    (PARAMETER, 33): _UNKNOWN_NUMBER,
    (190, 458): _WITHDRAWN,  # the app was removed
    (190, 459): _WITHDRAWN,  # the user must log in somewhere first
    (190, 460): _WITHDRAWN,  # the password was changed
    (190, 463): Meaning(
        Reason.TOKEN_EXPIRED,
        f"the access token has expired; {_RENEW} (a system user's may be made never to expire)",
    ),
    (190, 464): _WITHDRAWN,  # the user is not confirmed
    (190, 467): _WITHDRAWN,  # logged out
}
"""Where a subcode says more than its code; all others say the same."""

_ON_PUBLISH: Final[Mapping[int, Meaning]] = {PARAMETER: _KEY_REJECTED, 131009: _KEY_REJECTED}
_NOT_ELIGIBLE = Meaning(Reason.NOT_ELIGIBLE, "the number is not eligible for an encryption key; ask Meta's support why")
_PROOF_REQUIRED = Meaning(
    Reason.APP_SECRET_PROOF_REQUIRED,
    "the app demands a proof of its secret with every call; name a Secret that holds it in appSecretRef",
)
_PROOF_REFUSED = Meaning(
    Reason.ACCESS_DENIED, "the app secret is not that of the app which the token is of; check the entry of appSecretRef"
)
_NO_SUCCESS = Meaning(
    Reason.SERVICE_NOT_READY,
    "the API answers that it did not take the key, without a reason",
    Cure.BOUNDED,
    certain=False,
)
_PASSING = Meaning(
    Reason.SERVICE_NOT_READY, "the API fails with an error that it does not document", Cure.BOUNDED, certain=False
)
_STATUSES: Final[Mapping[int, Meaning]] = {
    UNAUTHORIZED: Meaning(Reason.ACCESS_DENIED, "access denied: check the token, and the header that it is sent in"),
    FORBIDDEN: Meaning(
        Reason.ACCESS_DENIED, "access denied: check the token and its permissions, and any proxy in between"
    ),
}


def failure(
    status: int, said: Said, *, publish: bool = False, proof_sent: bool = False, retry_after: float | None = None
) -> Failure:
    """Say what an answer means that is not a success."""
    meaning = _meaning(status, said, publish=publish, proof_sent=proof_sent)
    shown = f"HTTP {status}"
    if said.code is not None:
        shown = f"code {said.code}" if said.subcode is None else f"code {said.code}/{said.subcode}"
    return meaning.failure(
        shown,
        code=said.code,
        retry_after=retry_after,
        trace=said.trace,
        unknown=publish and not meaning.certain and (_is_known(said.code) or status not in REFUSED),
    )


def no_success(status: int, said: Said) -> Failure:
    """Say what it means that the answer to a publish denies its success; only a read tells what became of it."""
    return _NO_SUCCESS.failure(f"HTTP {status}", trace=said.trace, unknown=True)


def is_over_limit(status: int, found: Failure) -> bool:
    """Tell whether a call was refused for calls that were made before, with the same token."""
    return found.code in LIMITS if _is_known(found.code) else status == _BUSY_STATUS


def _meaning(status: int, said: Said, *, publish: bool, proof_sent: bool) -> Meaning:
    meaning = _by_code(status, said, publish=publish, proof_sent=proof_sent)
    if meaning is None:
        return _by_status(status, said)
    if said.transient:
        # Whoever says that time will do is given it; what a person should look at is tried some more times at least.
        cures = {Cure.PERSON: Cure.BOUNDED, Cure.BOUNDED: Cure.TIME}
        return replace(meaning, cure=cures.get(meaning.cure, meaning.cure))
    return meaning


def _by_code(status: int, said: Said, *, publish: bool, proof_sent: bool) -> Meaning | None:
    if said.code is None:
        return None
    if said.code == PARAMETER:
        if said.names_proof:
            return _PROOF_REFUSED if proof_sent else _PROOF_REQUIRED
        if status == _NOT_ELIGIBLE_STATUS:
            return _NOT_ELIGIBLE
    if said.subcode is not None and (found := SUBCODES.get((said.code, said.subcode))):
        return found
    if publish and (found := _ON_PUBLISH.get(said.code)):
        return found
    return CODES.get(said.code) or (_PERMISSION if said.code in PERMISSIONS else None)


def _by_status(status: int, said: Said) -> Meaning:
    """Go by the HTTP status; a code that nobody documents may stand for anything, so what it says is bounded."""
    meaning = meaning_of_status(status, _STATUSES, told=said.code is not None)
    if meaning is BUSY or (said.code is None and meaning.cure is Cure.TIME):
        return meaning
    if said.transient or meaning.cure is Cure.TIME:
        return _PASSING
    return UNRECOGNISED if said.code is not None and meaning.reason is Reason.INVALID_ANSWER else meaning


def _is_known(code: int | None) -> bool:
    return code is not None and (code in CODES or code in PERMISSIONS)
