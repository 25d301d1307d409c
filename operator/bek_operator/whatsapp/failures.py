"""What it means for a number that its API gave no answer; the same for every API."""

from collections.abc import Mapping
from typing import Final

from bek_operator.model.answers import Cure, Failure
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.exchange import (
    AddressRefusedError,
    AuthoritiesError,
    CertificateRefusedError,
    HttpError,
    UnacceptableError,
)

_LONGEST_SHOWN = 60

_MEANINGS: Final[Mapping[type[HttpError], tuple[Reason, Cure]]] = {
    AddressRefusedError: (Reason.HOST_NOT_ALLOWED, Cure.PERSON),
    AuthoritiesError: (Reason.INVALID_CREDENTIALS, Cure.PERSON),
    CertificateRefusedError: (Reason.CERTIFICATE_NOT_TRUSTED, Cure.PERSON),
    UnacceptableError: (Reason.INVALID_ANSWER, Cure.BOUNDED),
}
"""Whatever is not in here comes right with time."""


def no_answer(error: HttpError, authority: str, *, publish: bool = False) -> Failure:
    """Say what the lack of an answer from this host means."""
    reason, cure = _MEANINGS.get(type(error), (Reason.UNREACHABLE, Cure.TIME))
    shown = authority if len(authority) <= _LONGEST_SHOWN else f"{authority[: _LONGEST_SHOWN - 1]}…"
    return Failure(reason=reason, message=f"{shown}: {error.words}", cure=cure, unknown=publish and error.sent)
