"""Why there is no usable response.

    HttpError                    no usable response
    ├── NotConnectedError        no connection: unknown name, refused, unreachable, no TLS
    ├── NotSentError             a request that must not be sent any more
    ├── AddressRefusedError      the name resolves to an address that must not be called
    ├── CertificateRefusedError  the server's certificate was not accepted
    ├── CABundleError            the CA bundle cannot be used
    ├── TooSlowError             a time limit passed, at any stage
    ├── BrokenOffError           the connection broke before the response was complete
    └── UnacceptableError        a response that is not HTTP, too large or encoded

No message contains text of a server, so all can be shown to users.
"""

from enum import Enum


class HttpError(Exception):
    """No usable response; `sent` is whether the server may have processed the request all the same."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


class NotConnectedError(HttpError):
    """No connection; another address of the same host may work."""


class NotSentError(HttpError):
    """The client must not send anything any more."""


class AddressRefusedError(HttpError):
    """The host resolves to an address that must not be called."""


class CertificateFault(Enum):
    """What is wrong with a certificate, as far as the configuration can be at fault."""

    AUTHORITY = "authority"
    NAME = "name"
    OTHER = "other"


class CertificateRefusedError(HttpError):
    """The server's certificate is not trusted; the message names the check that failed."""

    def __init__(self, message: str, fault: CertificateFault = CertificateFault.OTHER) -> None:
        super().__init__(message)
        self.fault = fault


class CABundleError(HttpError):
    """The CA bundle cannot be used."""


class TooSlowError(HttpError):
    """A time limit passed."""


class BrokenOffError(HttpError):
    """The connection ended early, or the body is not as the head says."""


class UnacceptableError(HttpError):
    """A response came, but it is not HTTP, too large or encoded."""
