"""What it means for a number that its API gave no answer; the same for every API."""

from collections.abc import Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.http.exchange import (
    AddressRefusedError,
    CABundleError,
    CertificateFault,
    CertificateRefusedError,
    HttpError,
    UnacceptableError,
)
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.whatsapp.message_context import MessageContext

_MEANINGS: Final[Mapping[type[HttpError], tuple[Reason, Retry]]] = {
    AddressRefusedError: (Reason.HOST_NOT_ALLOWED, Retry.TERMINAL),
    CABundleError: (Reason.INVALID_CREDENTIALS, Retry.TERMINAL),
    CertificateRefusedError: (Reason.CERTIFICATE_NOT_TRUSTED, Retry.TERMINAL),
    UnacceptableError: (Reason.INVALID_ANSWER, Retry.LIMITED),
}
"""Whatever is not in here comes right with time."""


_ADVICE: Final[Mapping[CertificateFault, str]] = {
    CertificateFault.AUTHORITY: "; name its CA in {ca_bundle}",
    CertificateFault.NAME: "; see {server_name}",
}


def no_answer(error: HttpError, context: MessageContext, *, publish: bool = False) -> Failure:
    """Say what the lack of an answer from this peer means."""
    reason, retry = _MEANINGS.get(type(error), (Reason.UNREACHABLE, Retry.TRANSIENT))
    fault = error.fault if isinstance(error, CertificateRefusedError) else CertificateFault.OTHER
    message = f"{context.host}: {error.message}{context.fill_in(_ADVICE.get(fault, ''))}"
    return Failure(reason=reason, message=message, retry=retry, unknown=publish and error.sent)
