"""Error classes: what an error means, and the classes of HTTP statuses where no error code is recognised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.whatsapp.message_context import MessageContext

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
CLIENT_ERROR: Final = range(400, 500)
SUCCESS: Final = range(200, 300)

_REDIRECTION = range(300, 400)
_SERVER_ERROR = range(500, 600)


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """What an error means.

    Attributes:
        message: A template that `MessageContext` renders.
        certain: A publish that failed with it was certainly not carried out.
        wait: Seconds to wait before the next attempt if the server names none.
        at_provider: The message template for a provider, if it differs.
        shared: It is a rate limit that applies to all calls with the same credentials.
        credentials: The API refused the credentials, so a flaw in their text is the probable cause.
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

    def render(self, context: MessageContext) -> str:
        """Return the message, which names a flaw of the credentials if that is the probable cause."""
        if self.credentials and context.flaw:
            return f"access denied: {context.flaw}; correct it in {context.source}"
        return context.render((context.provider and self.at_provider) or self.message)

    def failure(
        self,
        summary: str,
        context: MessageContext,
        *,
        code: int | None = None,
        retry_after: float | None = None,
        trace: str | None = None,
        unknown: bool = False,
    ) -> Failure:
        """Return the failure of a call; `summary` is the error code or HTTP status in short."""
        return Failure(
            reason=self.reason,
            message=f"{self.render(context)} ({summary})",
            retry=self.retry,
            pace=self.pace,
            retry_after=self.wait if retry_after is None else retry_after,
            code=code,
            trace=trace,
            unknown=unknown,
            shared=self.shared,
        )


RATE_LIMITED: Final = ErrorClass(
    Reason.RATE_LIMITED, "rate limited; retrying with back-off", Retry.TRANSIENT, Pace.SLOW, shared=True
)
UNDOCUMENTED: Final = ErrorClass(
    Reason.INVALID_ANSWER,
    "{host}: the API returned an undocumented error",
    Retry.LIMITED,
    certain=False,
    at_provider="{host}: the provider returned an undocumented error; ask its support",
)
VALID_WITHOUT_KEY: Final = ErrorClass(
    Reason.INVALID_ANSWER,
    "{host}: the API reports VALID without a readable key, so nothing is published; if this persists, ask its support",
    Retry.LIMITED,
)
KEY_MENTIONED: Final = ErrorClass(
    Reason.KEY_REJECTED,
    "{host}: the API refused the publish with an undocumented error that mentions the public key",
    at_provider="{host}: the provider refused the publish with an undocumented error that mentions the public key",
)
REDIRECT: Final = ErrorClass(
    Reason.INVALID_ANSWER, "{host}: redirects are not followed; check {url}", Retry.LIMITED, certain=False
)
SERVER_ERROR: Final = ErrorClass(
    Reason.SERVICE_NOT_READY, "{host}: the API or a proxy is unavailable", Retry.TRANSIENT, certain=False
)
NOT_FOUND: Final = ErrorClass(
    Reason.INVALID_ANSWER, "{host}: HTTP 404, not from the WhatsApp API; check {url}", Retry.LIMITED
)
NOT_THIS_API: Final = ErrorClass(
    Reason.INVALID_ANSWER,
    "{host}: the response is not from the WhatsApp API; check {url}",
    Retry.LIMITED,
    certain=False,
)

_STATUSES: Final[Mapping[int, ErrorClass]] = {404: NOT_FOUND, 429: RATE_LIMITED}


def class_of_status(status: int, statuses: Mapping[int, ErrorClass], *, has_code: bool) -> ErrorClass:
    """Return the class of an HTTP status; `statuses` of one API go first, `has_code` is whether there was any code."""
    if known := statuses.get(status) or _STATUSES.get(status):
        return known
    if status in _SERVER_ERROR:
        return SERVER_ERROR
    if status in _REDIRECTION:
        return REDIRECT
    return UNDOCUMENTED if has_code or status in CLIENT_ERROR else NOT_THIS_API
