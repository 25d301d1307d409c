"""What errors mean to us: how one is described, and HTTP statuses where no code of the API's own is recognised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.message_context import MessageContext

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
REFUSED: Final = range(400, 500)
SUCCESS: Final = range(200, 300)

_REDIRECT = range(300, 400)
_BROKEN = range(500, 600)


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """What an error means.

    Attributes:
        words: What to tell; `Peer` fills the gaps.
        certain: A publish that met it was surely not carried out.
        wait: Seconds to wait before the next try where the server names none.
        at_provider: What to tell instead where a provider says it.
        shared: It is a limit on calls, which every call with the same credentials meets.
        credentials: Their text is what was refused, as far as anybody knows.
    """

    reason: Reason
    message: str
    retry: Retry = Retry.TERMINAL
    pace: Pace = Pace.NORMAL
    certain: bool = True
    wait: float | None = None
    at_provider: str = ""
    shared: bool = False
    credentials: bool = False

    def failure(
        self,
        shown: str,
        context: MessageContext,
        *,
        code: int | None = None,
        retry_after: float | None = None,
        trace: str | None = None,
        unknown: bool = False,
    ) -> Failure:
        """Make the failure of a call that met it; `shown` is what the server's own account of it was, in short."""
        message = context.fill_in((context.provider and self.at_provider) or self.message)
        if self.credentials and context.flaw:
            message = f"access denied: {context.flaw}; correct it in {context.source}"
        return Failure(
            reason=self.reason,
            message=f"{message} ({shown})",
            retry=self.retry,
            pace=self.pace,
            retry_after=self.wait if retry_after is None else retry_after,
            code=code,
            trace=trace,
            unknown=unknown,
            shared=self.shared,
        )


BUSY: Final = ErrorClass(
    Reason.RATE_LIMITED,
    "the API asks for fewer requests; they are repeated more slowly",
    Retry.TRANSIENT,
    Pace.SLOW,
    shared=True,
)
UNRECOGNISED: Final = ErrorClass(
    Reason.INVALID_ANSWER,
    "{host}: the API refuses with an error that it does not document",
    Retry.LIMITED,
    certain=False,
    at_provider="{host}: the provider refuses with an error of its own, which it does not document; ask its support",
)
CONTRADICTORY: Final = ErrorClass(
    Reason.INVALID_ANSWER,
    "{host}: the API says VALID and shows no key that can be read, so nothing is published; if that stays, ask its "
    "support",
    Retry.LIMITED,
)
KEY_NAMED: Final = ErrorClass(
    Reason.KEY_REJECTED,
    "{host}: the API refuses the publish with an error that it does not document, and that names the public key",
    at_provider="{host}: the provider refuses the publish with an error of its own that names the public key",
)

_STATUSES: Final[Mapping[int, ErrorClass]] = {
    404: ErrorClass(
        Reason.INVALID_ANSWER,
        "{host}: nothing is there, and it is not the API that says so; check {url}",
        Retry.LIMITED,
    ),
    429: BUSY,
}
_REDIRECTED = ErrorClass(
    Reason.INVALID_ANSWER, "{host}: a redirect, which is not followed; check {url}", Retry.LIMITED, certain=False
)
_SERVER_FAULT = ErrorClass(
    Reason.SERVICE_NOT_READY, "{host}: the API, or a proxy in front of it, is not ready", Retry.TRANSIENT, certain=False
)
_NOT_UNDERSTOOD = ErrorClass(
    Reason.INVALID_ANSWER, "{host}: the answer is not this API's; check {url}", Retry.LIMITED, certain=False
)


def class_of_status(status: int, own: Mapping[int, ErrorClass], *, told: bool) -> ErrorClass:
    """Go by the HTTP status, `own` meanings of an API first; `told` if there was a code, though no known one."""
    if known := own.get(status) or _STATUSES.get(status):
        return known
    if status in _BROKEN:
        return _SERVER_FAULT
    if status in _REDIRECT:
        return _REDIRECTED
    return UNRECOGNISED if told or status in REFUSED else _NOT_UNDERSTOOD
