"""Calls: send one, read its answer, and tell the log how it went."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from bek_operator.http.exchange import HttpClient, HttpError, Response
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.whatsapp.answer_form import form_of_answer
from bek_operator.whatsapp.message_context import MessageContext
from bek_operator.whatsapp.transport_errors import no_answer

R = TypeVar("R")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is to be sent.

    Attributes:
        kind: What for.
        lane: What the call shares a limit with; for the log.
        peer: Whom a failure is told of.
        query: Parameters behind the path, not encoded yet.
        content: The body; without one and for a read there is none.
    """

    kind: Literal["login", "read", "publish"]
    limiter_key: str
    context: MessageContext
    url: Url
    trust: Trust
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)


async def make(
    http: HttpClient, call: Call, parse: Callable[[Response], R | Failure]
) -> tuple[R | Failure, Response | None]:
    """Make one call; return what it said, and the answer itself if there was one."""
    begun = time.monotonic()
    answer: Response | None = None
    found: R | Failure
    try:
        answer = await http.request(
            "GET" if call.kind == "read" else "POST",
            call.url,
            call.trust,
            headers=call.headers,
            query=call.query,
            content=call.content,
        )
    except HttpError as error:
        found = no_answer(error, call.context, publish=call.kind == "publish")
    else:
        found = parse(answer)
    _tell(call, answer, found if isinstance(found, Failure) else None, time.monotonic() - begun)
    return found, answer


def _tell(call: Call, answer: Response | None, failed: Failure | None, seconds: float) -> None:
    """Tell the log; what does not pass by itself may end at the API's support, which asks for the trace."""
    lasting = failed is not None and failed.trace is not None and failed.retry is not Retry.TRANSIENT
    level = logging.WARNING if lasting else logging.DEBUG
    if _log.isEnabledFor(level):
        told = {
            "lane": call.limiter_key,
            "kind": call.kind,
            "status": answer.status if answer else None,
            "code": failed.code if failed else None,
            "reason": failed.reason.value if failed else None,
            "trace": failed.trace if failed else None,
            "form": form_of_answer(answer.body) if answer and failed and _log.isEnabledFor(logging.DEBUG) else None,
            "ms": round(seconds * 1000),
        }
        _log.log(level, "Called an API.", extra={name: one for name, one in told.items() if one is not None})
