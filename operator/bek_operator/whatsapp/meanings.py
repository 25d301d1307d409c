"""What errors mean to us: how one is described, and HTTP statuses where no code of the API's own is recognised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bek_operator.model.answers import Cure, Failure, Pace
from bek_operator.model.reasons import Reason

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
REFUSED: Final = range(400, 500)
SUCCESS: Final = range(200, 300)

_REDIRECT = range(300, 400)
_BROKEN = range(500, 600)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error means.

    Attributes:
        certain: A publish that met it was surely not carried out.
        wait: Seconds to wait before the next try where the server names none.
    """

    reason: Reason
    words: str
    cure: Cure = Cure.PERSON
    pace: Pace = Pace.NORMAL
    certain: bool = True
    wait: float | None = None

    def failure(
        self,
        shown: str,
        *,
        code: int | None = None,
        retry_after: float | None = None,
        trace: str | None = None,
        unknown: bool = False,
    ) -> Failure:
        """Make the failure of a call that met it; `shown` is what the server's own account of it was, in short."""
        return Failure(
            reason=self.reason,
            message=f"{self.words} ({shown})",
            cure=self.cure,
            pace=self.pace,
            retry_after=self.wait if retry_after is None else retry_after,
            code=code,
            trace=trace,
            unknown=unknown,
        )


BUSY: Final = Meaning(
    Reason.RATE_LIMITED, "the API asks for fewer requests; they are repeated more slowly", Cure.TIME, Pace.SLOW
)
UNRECOGNISED: Final = Meaning(
    Reason.INVALID_ANSWER, "the API refuses with an error that it does not document", Cure.BOUNDED, certain=False
)

_STATUSES: Final[Mapping[int, Meaning]] = {
    404: Meaning(
        Reason.INVALID_ANSWER, "nothing is there, and it is not the API that says so; check the URL", Cure.BOUNDED
    ),
    429: BUSY,
}
_REDIRECTED = Meaning(
    Reason.INVALID_ANSWER, "a redirect, which is not followed; check the URL", Cure.BOUNDED, certain=False
)
_SERVER_FAULT = Meaning(
    Reason.SERVICE_NOT_READY, "the API, or a proxy in front of it, is not ready", Cure.TIME, certain=False
)
_NOT_UNDERSTOOD = Meaning(
    Reason.INVALID_ANSWER, "the answer is not this API's; check the URL", Cure.BOUNDED, certain=False
)


def meaning_of_status(status: int, own: Mapping[int, Meaning], *, told: bool) -> Meaning:
    """Go by the HTTP status, `own` meanings of an API first; `told` if there was a code, though no known one."""
    if known := own.get(status) or _STATUSES.get(status):
        return known
    if status in _BROKEN:
        return _SERVER_FAULT
    if status in _REDIRECT:
        return _REDIRECTED
    return UNRECOGNISED if told or status in REFUSED else _NOT_UNDERSTOOD
