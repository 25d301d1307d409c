"""What it means for a number that its API gave no answer; the same for every API."""

from collections.abc import Mapping
from typing import Final

from bek_operator.model.answers import Cure, Failure
from bek_operator.model.reasons import Reason
from bek_operator.whatsapp.exchange import (
    AddressRefusedError,
    AuthoritiesError,
    CertificateRefusedError,
    Doubt,
    HttpError,
    UnacceptableError,
)
from bek_operator.whatsapp.peer import Peer

_MEANINGS: Final[Mapping[type[HttpError], tuple[Reason, Cure]]] = {
    AddressRefusedError: (Reason.HOST_NOT_ALLOWED, Cure.PERSON),
    AuthoritiesError: (Reason.INVALID_CREDENTIALS, Cure.PERSON),
    CertificateRefusedError: (Reason.CERTIFICATE_NOT_TRUSTED, Cure.PERSON),
    UnacceptableError: (Reason.INVALID_ANSWER, Cure.BOUNDED),
}
"""Whatever is not in here comes right with time."""


_ADVICE: Final[Mapping[Doubt, str]] = {
    Doubt.AUTHORITY: "; name its CA in {authorities}",
    Doubt.NAME: "; see {server_name}",
}


def no_answer(error: HttpError, peer: Peer, *, publish: bool = False) -> Failure:
    """Say what the lack of an answer from this peer means."""
    reason, cure = _MEANINGS.get(type(error), (Reason.UNREACHABLE, Cure.TIME))
    doubt = error.doubt if isinstance(error, CertificateRefusedError) else Doubt.OTHER
    message = f"{peer.host}: {error.words}{peer.fill_in(_ADVICE.get(doubt, ''))}"
    return Failure(reason=reason, message=message, cure=cure, unknown=publish and error.sent)
