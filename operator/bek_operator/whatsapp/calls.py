"""One API call: send it, parse its response, log the outcome."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from bek_operator.http.errors import HttpError
from bek_operator.http.interface import HttpClient, Request, Response
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.response_shape import shape_of
from bek_operator.whatsapp.transport_errors import transport_failure

R = TypeVar("R")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An API call.

    Attributes:
        limiter_key: Names the limiter that the call counts against; for the log.
        context: What messages about a failure name.
    """

    kind: Literal["login", "read", "publish", "ping"]
    limiter_key: str
    context: MessageContext
    request: Request


CallObserver = Callable[[Call, Response | None, Failure | None, float], None]
"""Takes a call, its response, why it failed, and how many seconds it took."""


def not_observed(call: Call, response: Response | None, failure: Failure | None, seconds: float) -> None:
    """Do nothing."""


async def send(
    http: HttpClient, call: Call, parse: Callable[[Response], R | Failure], observe: CallObserver = not_observed
) -> tuple[R | Failure, Response | None]:
    """Make one call; return its parsed outcome, and the response if there was one."""
    started = time.monotonic()
    response: Response | None = None
    outcome: R | Failure
    try:
        response = await http.send(call.request)
    except HttpError as error:
        outcome = transport_failure(error, call.context, publish=call.kind == "publish")
    else:
        outcome = parse(response)
    failure, seconds = outcome if isinstance(outcome, Failure) else None, time.monotonic() - started
    observe(call, response, failure, seconds)
    _log_call(call, response, failure, seconds)
    return outcome, response


def _log_call(call: Call, response: Response | None, failure: Failure | None, seconds: float) -> None:
    """Log at WARNING what may need the API's support, which asks for the trace; all else at DEBUG."""
    is_lasting = failure is not None and failure.trace is not None and failure.retry is not Retry.TRANSIENT
    level = logging.WARNING if is_lasting else logging.DEBUG
    if _log.isEnabledFor(level):
        with_shape = response and failure and _log.isEnabledFor(logging.DEBUG)
        fields = {
            "limiter": call.limiter_key,
            "kind": call.kind,
            "status": response.status if response else None,
            "code": failure.code if failure else None,
            "reason": failure.reason.value if failure else None,
            "trace": failure.trace if failure else None,
            "shape": shape_of(response.body) if response and with_shape else None,
            "ms": round(seconds * 1000),
        }
        extra = {name: value for name, value in fields.items() if value is not None}
        if failure:
            _log.log(level, "%s failed", call.kind, extra=extra)
        else:
            _log.debug("%s answered", call.kind, extra=extra)
