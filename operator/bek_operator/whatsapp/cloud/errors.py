"""The class of a Cloud API error: by code, sometimes by subcode, and by HTTP status where no code is recognised.

The status alone misleads: rate limits come as 400, and permanent errors as 500.
"""

from dataclasses import dataclass, replace

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.cloud.codes import (
    API_FAILURE,
    LIMIT_SUBCODE,
    NOT_ELIGIBLE,
    ON_ACCOUNT,
    ON_PUBLISH,
    PARAMETER,
    PROOF_REFUSED,
    PROOF_REQUIRED,
    STATUSES,
    SUBCODES,
    SUCCESS_FALSE,
    class_of_code,
)
from bek_operator.whatsapp.error_classes import (
    CLIENT_ERROR,
    KEY_MENTIONED,
    RATE_LIMITED,
    UNDOCUMENTED,
    ErrorClass,
    class_of_status,
)
from bek_operator.whatsapp.message_context import MessageContext

_NOT_ELIGIBLE_STATUS = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """What is used of an error response; of its texts only whether they contain certain words.

    Attributes:
        transient: The response says that the error is transient.
        mentions_proof: Its text has the word `appsecret_proof`.
        mentions_key: Its text mentions the public key.
        limit_reached: The usage headers report a rate limit as reached.
        provider_class: The class of a provider's documented message.
        trace: The API's id of the call.
    """

    code: int | None = None
    subcode: int | None = None
    transient: bool = False
    mentions_proof: bool = False
    mentions_key: bool = False
    limit_reached: bool = False
    provider_class: ErrorClass | None = None
    trace: str | None = None


def failure(
    status: int,
    error: ApiError,
    context: MessageContext,
    *,
    publish: bool = False,
    of_account: bool = False,
    proof_sent: bool = False,
    retry_after: float | None = None,
) -> Failure:
    """Return the failure for a response that is no success."""
    error_class = _error_class(status, error, publish=publish, proof_sent=proof_sent)
    if of_account:
        error_class = replace(error_class, message=ON_ACCOUNT.get(error_class.message, error_class.message))
    return error_class.failure(
        _summary(status, error),
        context,
        code=error.code,
        retry_after=retry_after,
        trace=error.trace,
        unknown=publish and not error_class.certain and (_is_known(error.code) or status not in CLIENT_ERROR),
    )


def success_false(status: int, error: ApiError, context: MessageContext) -> Failure:
    """Return the failure for a publish that was answered with `success: false`; only a read shows its effect."""
    return SUCCESS_FALSE.failure(f"HTTP {status}", context, trace=error.trace, unknown=True)


def _summary(status: int, error: ApiError) -> str:
    """Return the error code in short; with an undocumented code, or without one, the HTTP status."""
    if error.code is None:
        return f"HTTP {status}"
    if not _is_known(error.code):
        return f"HTTP {status}, code {error.code}"
    return f"code {error.code}" if error.subcode is None else f"code {error.code}/{error.subcode}"


def _error_class(status: int, error: ApiError, *, publish: bool, proof_sent: bool) -> ErrorClass:
    error_class = _by_code(status, error, publish=publish, proof_sent=proof_sent) or error.provider_class
    if error_class is None:
        return _by_status(status, error, publish=publish)
    if error.transient:
        # The API says that it is transient: retried one step longer than its class says.
        longer = {Retry.TERMINAL: Retry.LIMITED, Retry.LIMITED: Retry.TRANSIENT}
        return replace(error_class, retry=longer.get(error_class.retry, error_class.retry))
    return error_class


def _by_code(status: int, error: ApiError, *, publish: bool, proof_sent: bool) -> ErrorClass | None:
    if error.code is None:
        return None
    if error.code == PARAMETER:
        if error.mentions_proof:
            return PROOF_REFUSED if proof_sent else PROOF_REQUIRED
        if status == _NOT_ELIGIBLE_STATUS:
            return NOT_ELIGIBLE
    if error.subcode is not None and (found := SUBCODES.get((error.code, error.subcode))):
        return found
    if publish and (found := ON_PUBLISH.get(error.code)):
        return found
    return class_of_code(error.code) or (RATE_LIMITED if error.subcode == LIMIT_SUBCODE else None)


def _by_status(status: int, error: ApiError, *, publish: bool) -> ErrorClass:
    """Return the class by the HTTP status, the usage headers and the error's flags.

    An undocumented error says something about the key only in response to a publish, and if it mentions the key. If it
    is marked as transient it may be a rate limit, and is retried as slowly.
    """
    is_client_error = status in CLIENT_ERROR
    if error.limit_reached and (is_client_error or error.code is not None):
        return RATE_LIMITED
    error_class = class_of_status(status, STATUSES, has_code=error.code is not None)
    if error_class is RATE_LIMITED or (error.code is None and error_class.retry is Retry.TRANSIENT):
        return error_class
    if error.transient:
        return replace(API_FAILURE, retry=Retry.TRANSIENT, pace=Pace.SLOW)
    if error_class.retry is Retry.TRANSIENT:
        return API_FAILURE
    if error.code is not None and error_class.reason is Reason.INVALID_ANSWER:
        error_class = UNDOCUMENTED
    blames_key = publish and is_client_error and error.mentions_key
    return KEY_MENTIONED if error_class is UNDOCUMENTED and blames_key else error_class


def _is_known(code: int | None) -> bool:
    return code is not None and class_of_code(code) is not None
