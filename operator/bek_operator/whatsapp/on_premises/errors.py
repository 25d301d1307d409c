"""The error classes of the On-Premises API: by code, and by HTTP status where no code is recognised."""

from collections.abc import Iterable, Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.error_classes import (
    CLIENT_ERROR,
    FORBIDDEN,
    KEY_MENTIONED,
    RATE_LIMITED,
    UNAUTHORIZED,
    UNDOCUMENTED,
    ErrorClass,
    class_of_status,
)
from bek_operator.whatsapp.message_context import MessageContext

ACCESS_DENIED: Final = 1005
NOT_FOUND: Final = 1006

_REGISTER = "register the number again with this API deployment"
_OLD_CLIENT = "the API client must be version 2.51 or newer"

CODES: Final[Mapping[int, ErrorClass]] = {
    429: RATE_LIMITED,
    430: ErrorClass(Reason.NOT_REGISTERED, f"the number's certificate is not signed; {_REGISTER}"),
    432: ErrorClass(Reason.NOT_REGISTERED, f"the number's certificate has another ID; {_REGISTER}"),
    433: ErrorClass(Reason.NOT_REGISTERED, f"the number's identity changed with a registration; {_REGISTER}"),
    1000: ErrorClass(
        Reason.SERVICE_NOT_READY,
        "internal error of the API; if this persists, look at the logs of its pods",
        Retry.LIMITED,
        certain=False,
    ),
    1004: ErrorClass(Reason.UNSUPPORTED, "unexpected error: resource already exists"),
    ACCESS_DENIED: ErrorClass(
        Reason.ACCESS_DENIED,
        "access denied: check user name and password ({source}), the number's certificate, and whether the API client "
        "expired (the last one on 23 Oct 2025)",
        credentials=True,
    ),
    NOT_FOUND: ErrorClass(
        Reason.UNSUPPORTED, f"the API does not know this path; check {{url}} (it must end before /v1); {_OLD_CLIENT}"
    ),
    1008: ErrorClass(Reason.UNSUPPORTED, f"unexpected error: a parameter is missing; {_OLD_CLIENT}"),
    1009: ErrorClass(Reason.KEY_REJECTED, "the API rejects the public key; it must be RSA with 2048 bits"),
    1010: ErrorClass(Reason.UNSUPPORTED, f"unexpected error: unknown parameter; {_OLD_CLIENT}"),
    1011: ErrorClass(Reason.SERVICE_NOT_READY, "the API is up, but its core is not ready yet", Retry.TRANSIENT),
    1013: ErrorClass(Reason.ACCESS_DENIED, "unknown user; check user name and password ({source})", credentials=True),
    1014: ErrorClass(
        Reason.SERVICE_NOT_READY,
        f"internal error of the API: its core may be down; {_OLD_CLIENT}",
        Retry.LIMITED,
        certain=False,
    ),
    1015: RATE_LIMITED,
    1016: ErrorClass(
        Reason.RATE_LIMITED,
        "the API is overloaded, usually because its webhook does not accept callbacks",
        Retry.TRANSIENT,
        Pace.SLOW,
    ),
    1017: ErrorClass(Reason.SERVICE_NOT_READY, "the API is electing its primary master", Retry.TRANSIENT, Pace.SOON),
    1018: ErrorClass(Reason.SERVICE_NOT_READY, "the API is electing its primary core", Retry.TRANSIENT, Pace.SOON),
    1021: ErrorClass(
        Reason.ACCESS_DENIED, "invalid credentials; check user name and password ({source})", credentials=True
    ),
    1022: ErrorClass(Reason.UNSUPPORTED, "unexpected error: webhook URL required"),
    1023: ErrorClass(
        Reason.SERVICE_NOT_READY, "the API's database is temporarily unavailable", Retry.TRANSIENT, certain=False
    ),
    1024: ErrorClass(
        Reason.PASSWORD_CHANGE_REQUIRED,
        "the user still has its initial password; change it by hand, then put the new one into {source}",
    ),
    1025: ErrorClass(Reason.UNSUPPORTED, f"unexpected error: invalid request; {_OLD_CLIENT}"),
    1031: ErrorClass(Reason.ACCESS_DENIED, "the user is locked; unlock it, or use another one ({source})"),
}

STATUSES: Final[Mapping[int, ErrorClass]] = {
    UNAUTHORIZED: ErrorClass(
        Reason.ACCESS_DENIED, "{host}: access denied: check user name and password ({source})", credentials=True
    ),
    FORBIDDEN: ErrorClass(
        Reason.ACCESS_DENIED, "{host}: access denied: check user name and password ({source}), and any proxy in between"
    ),
}


def failure(
    status: int,
    codes: Iterable[int],
    context: MessageContext,
    *,
    retry_after: float | None = None,
    publish: bool = False,
    mentions_key: bool = False,
) -> Failure:
    """Return the failure for a response that is no success, by the first recognised code or by the HTTP status.

    `mentions_key` is whether its text mentions the public key; it counts only with an undocumented error.
    """
    codes = tuple(codes)
    code = next((code for code in codes if code in CODES), codes[0] if codes else None)
    error_class = CODES.get(code or 0) or class_of_status(status, STATUSES, has_code=bool(codes))
    if error_class is UNDOCUMENTED and publish and mentions_key and status in CLIENT_ERROR:
        error_class = KEY_MENTIONED
    return error_class.failure(
        f"HTTP {status}" if code is None else f"code {code}",
        context,
        code=code,
        retry_after=retry_after,
        unknown=publish and not error_class.certain and status not in CLIENT_ERROR,
    )


def is_expired_token(status: int, failure: Failure) -> bool:
    """Return whether a new login may help."""
    return failure.code == ACCESS_DENIED or (failure.code not in CODES and status == UNAUTHORIZED)
