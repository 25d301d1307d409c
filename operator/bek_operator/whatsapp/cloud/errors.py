"""What an error of the Cloud API means: by code, sometimes by subcode, and by HTTP status where no code is recognised.

The status alone misleads: rate limits come as 400, and errors that no repetition cures as 500.
"""

from dataclasses import dataclass, replace

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.cloud.codes import (
    LIMIT_SUBCODE,
    NO_SUCCESS,
    NOT_ELIGIBLE,
    ON_PUBLISH,
    PARAMETER,
    PASSING,
    PROOF_REFUSED,
    PROOF_REQUIRED,
    STATUSES,
    SUBCODES,
    meaning_of_code,
)
from bek_operator.whatsapp.error_classes import BUSY, KEY_NAMED, REFUSED, UNRECOGNISED, ErrorClass, class_of_status
from bek_operator.whatsapp.message_context import MessageContext

_NOT_ELIGIBLE_STATUS = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """What is used of an answer's error; of its texts no more than whether they have certain words.

    Attributes:
        transient: It says that it will pass.
        names_proof: Its text has the word `appsecret_proof`.
        names_key: Its text speaks of the public key.
        used_up: The headers beside it tell that a limit on calls is used up.
        own: What words of a provider's own mean, where they are documented.
        trace: The API's id of the call.
    """

    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    names_proof: bool = False
    names_key: bool = False
    used_up: bool = False
    own: ErrorClass | None = None
    trace: str | None = None


def failure(
    status: int,
    error: ApiError,
    context: MessageContext,
    *,
    publish: bool = False,
    proof_sent: bool = False,
    retry_after: float | None = None,
) -> Failure:
    """Say what an answer means that is not a success."""
    error_class = _error_class(status, error, publish=publish, proof_sent=proof_sent)
    return error_class.failure(
        _shown(status, error),
        context,
        code=error.code,
        retry_after=retry_after,
        trace=error.trace,
        unknown=publish and not error_class.certain and (_is_known(error.code) or status not in REFUSED),
    )


def no_success(status: int, error: ApiError, context: MessageContext) -> Failure:
    """Say what it means that the answer to a publish denies its success; only a read tells what became of it."""
    return NO_SUCCESS.failure(f"HTTP {status}", context, trace=error.trace, unknown=True)


def _shown(status: int, error: ApiError) -> str:
    """Return the server's own account in short; a code that nobody documents says little without the HTTP status."""
    if error.code is None:
        return f"HTTP {status}"
    if not _is_known(error.code):
        return f"HTTP {status}, code {error.code}"
    return f"code {error.code}" if error.subcode is None else f"code {error.code}/{error.subcode}"


def _error_class(status: int, error: ApiError, *, publish: bool, proof_sent: bool) -> ErrorClass:
    error_class = _by_code(status, error, publish=publish, proof_sent=proof_sent) or error.own
    if error_class is None:
        return _by_status(status, error, publish=publish)
    if error.transient:
        # Whoever says that time will do is given it; what a person should look at is tried some more times at least.
        cures = {Retry.TERMINAL: Retry.LIMITED, Retry.LIMITED: Retry.TRANSIENT}
        return replace(error_class, retry=cures.get(error_class.retry, error_class.retry))
    return error_class


def _by_code(status: int, error: ApiError, *, publish: bool, proof_sent: bool) -> ErrorClass | None:
    if error.code is None:
        return None
    if error.code == PARAMETER:
        if error.names_proof:
            return PROOF_REFUSED if proof_sent else PROOF_REQUIRED
        if status == _NOT_ELIGIBLE_STATUS:
            return NOT_ELIGIBLE
    if error.subcode is not None and (found := SUBCODES.get((error.code, error.subcode))):
        return found
    if publish and (found := ON_PUBLISH.get(error.code)):
        return found
    return meaning_of_code(error.code) or (BUSY if error.subcode == LIMIT_SUBCODE else None)


def _by_status(status: int, error: ApiError, *, publish: bool) -> ErrorClass:
    """Go by the HTTP status and what is beside it.

    A code that nobody documents may stand for anything. What it says of the key is bounded to a publish, and to an
    error that names the key; where it says that it will pass, it may be one more limit, and is met as slowly.
    """
    refused = status in REFUSED
    if error.used_up and (refused or error.code is not None):
        return BUSY
    error_class = class_of_status(status, STATUSES, told=error.code is not None)
    if error_class is BUSY or (error.code is None and error_class.retry is Retry.TRANSIENT):
        return error_class
    if error.transient:
        return replace(PASSING, retry=Retry.TRANSIENT, pace=Pace.SLOW)
    if error_class.retry is Retry.TRANSIENT:
        return PASSING
    if error.code is not None and error_class.reason is Reason.INVALID_ANSWER:
        error_class = UNRECOGNISED
    return KEY_NAMED if error_class is UNRECOGNISED and publish and error.names_key and refused else error_class


def _is_known(code: int | None) -> bool:
    return code is not None and meaning_of_code(code) is not None
