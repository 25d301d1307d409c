"""What the On-Premises API's errors mean: the documented codes, and HTTP statuses where no code is recognised."""

from collections.abc import Iterable, Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.error_classes import (
    BUSY,
    FORBIDDEN,
    KEY_NAMED,
    REFUSED,
    UNAUTHORIZED,
    UNRECOGNISED,
    ErrorClass,
    class_of_status,
)
from bek_operator.whatsapp.message_context import MessageContext

ACCESS_DENIED: Final = 1005
NOT_FOUND: Final = 1006

_UNREGISTERED = "the number must be registered anew with this API deployment"
_MISUNDERSTOOD = "the API does not take this request; it takes client version 2.51 or newer"

CODES: Final[Mapping[int, ErrorClass]] = {
    429: BUSY,
    430: ErrorClass(Reason.NOT_REGISTERED, f"the number's certificate is not signed; {_UNREGISTERED}"),
    432: ErrorClass(Reason.NOT_REGISTERED, f"the number's certificate has another id; {_UNREGISTERED}"),
    433: ErrorClass(Reason.NOT_REGISTERED, f"the number's identity changed by a registration; {_UNREGISTERED}"),
    1000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "the API failed for a reason of its own; if it goes on, look at the pods' logs",
        Retry.LIMITED,
        certain=False,
    ),
    1004: ErrorClass(Reason.UNSUPPORTED, "the API says that it exists already, which makes no sense here"),
    ACCESS_DENIED: ErrorClass(
        Reason.ACCESS_DENIED,
        "access denied: check user name and password ({source}), the number's certificate, and whether the client "
        "expired (the last did on 23 Oct 2025)",
        credentials=True,
    ),
    NOT_FOUND: ErrorClass(
        Reason.UNSUPPORTED,
        "the API does not know this path; check {url}, which ends before /v1, and for client version 2.51 or newer",
    ),
    1008: ErrorClass(Reason.UNSUPPORTED, f"a parameter is missing: {_MISUNDERSTOOD}"),
    1009: ErrorClass(Reason.KEY_REJECTED, "the API does not accept the public key; RSA with 2048 bits is needed"),
    1010: ErrorClass(Reason.UNSUPPORTED, f"a parameter is not known: {_MISUNDERSTOOD}"),
    1011: ErrorClass(Reason.SERVICE_NOT_READY, "the API is up, its core is not ready yet", Retry.TRANSIENT),
    1013: ErrorClass(
        Reason.ACCESS_DENIED,
        "the API does not know this user; check user name and password ({source})",
        credentials=True,
    ),
    1014: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "internal error of the API: its core may be down, or the client older than version 2.51",
        Retry.LIMITED,
        certain=False,
    ),
    1015: BUSY,
    1016: ErrorClass(
        Reason.RATE_LIMITED,
        "the API is overloaded, usually by callbacks that its webhook does not take",
        Retry.TRANSIENT,
        Pace.SLOW,
    ),
    1017: ErrorClass(Reason.SERVICE_NOT_READY, "the API is electing its primary master", Retry.TRANSIENT, Pace.SOON),
    1018: ErrorClass(Reason.SERVICE_NOT_READY, "the API is electing its primary core", Retry.TRANSIENT, Pace.SOON),
    1021: ErrorClass(
        Reason.ACCESS_DENIED, "the API refuses this user; check user name and password ({source})", credentials=True
    ),
    1022: ErrorClass(Reason.UNSUPPORTED, "the API wants a webhook URL, which makes no sense here"),
    1023: ErrorClass(
        Reason.SERVICE_NOT_READY, "the API cannot use its database at the moment", Retry.TRANSIENT, certain=False
    ),
    1024: ErrorClass(
        Reason.PASSWORD_CHANGE_REQUIRED,
        "the user's first password must be changed by hand, then put into {source}",
    ),
    1025: ErrorClass(Reason.UNSUPPORTED, f"the request is not valid: {_MISUNDERSTOOD}"),
    1031: ErrorClass(Reason.ACCESS_DENIED, "the user is locked; unlock it, or log in as another ({source})"),
}

_STATUSES: Final[Mapping[int, ErrorClass]] = {
    UNAUTHORIZED: ErrorClass(
        Reason.ACCESS_DENIED, "{host}: access denied: check user name and password ({source})", credentials=True
    ),
    FORBIDDEN: ErrorClass(
        Reason.ACCESS_DENIED,
        "{host}: access denied: check user name and password ({source}), and any proxy in between",
    ),
}


def failure(
    status: int,
    codes: Iterable[int],
    context: MessageContext,
    *,
    retry_after: float | None = None,
    publish: bool = False,
    names_key: bool = False,
) -> Failure:
    """Say what an answer means that is not a success: the first code that is recognised, or else its HTTP status.

    `names_key` tells that its text speaks of the public key, which is what an error is for that nobody documents.
    """
    codes = tuple(codes)
    code = next((code for code in codes if code in CODES), codes[0] if codes else None)
    error_class = CODES.get(code or 0) or class_of_status(status, _STATUSES, told=bool(codes))
    if error_class is UNRECOGNISED and publish and names_key and status in REFUSED:
        error_class = KEY_NAMED
    return error_class.failure(
        f"HTTP {status}" if code is None else f"code {code}",
        context,
        code=code,
        retry_after=retry_after,
        unknown=publish and not error_class.certain and status not in REFUSED,
    )


def is_expired_token(status: int, found: Failure) -> bool:
    """Tell whether a new login may help."""
    return found.code == ACCESS_DENIED or (found.code not in CODES and status == UNAUTHORIZED)
