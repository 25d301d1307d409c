"""Failures of calls without a response; the same for every API."""

from collections.abc import Mapping
from typing import Final

from bek_operator.crd.reasons import Reason
from bek_operator.http.errors import (
    AddressRefusedError,
    CABundleError,
    CertificateFault,
    CertificateRefusedError,
    HttpError,
    UnacceptableError,
)
from bek_operator.numbers.answers import Failure, Retry
from bek_operator.whatsapp.message_context import MessageContext

_CLASSES: Final[Mapping[type[HttpError], tuple[Reason, Retry]]] = {
    AddressRefusedError: (Reason.HOST_NOT_ALLOWED, Retry.TERMINAL),
    CABundleError: (Reason.INVALID_CREDENTIALS, Retry.TERMINAL),
    CertificateRefusedError: (Reason.CERTIFICATE_NOT_TRUSTED, Retry.TERMINAL),
    UnacceptableError: (Reason.INVALID_ANSWER, Retry.LIMITED),
}
"""All others are `Unreachable` and transient."""


_ADVICE: Final[Mapping[CertificateFault | type[HttpError], str]] = {
    CABundleError: "; correct {ca_bundle}",
    CertificateFault.AUTHORITY: "; put its CA into {ca_bundle}",
    CertificateFault.NAME: "; check {server_name}",
}


def transport_failure(error: HttpError, context: MessageContext, *, publish: bool = False) -> Failure:
    """Return the failure of a call without a response."""
    reason, retry = _CLASSES.get(type(error), (Reason.UNREACHABLE, Retry.TRANSIENT))
    fault = error.fault if isinstance(error, CertificateRefusedError) else type(error)
    message = f"{context.host}: {error.message}{context.render(_ADVICE.get(fault, ''))}"
    return Failure(reason=reason, message=message, retry=retry, unknown=publish and error.sent, sent=error.sent)
