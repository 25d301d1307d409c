"""One HTTP exchange, whatever library carries it: the answer, or the way in which there was none.

    HttpError                    there is no answer that could be looked at
    ├── NotConnectedError        not even a connection: unknown name, refused, unreachable, no TLS
    ├── AddressRefusedError      the name leads to an address that nobody may be made to call
    ├── CertificateRefusedError  the server did not prove to be who it should be
    ├── AuthoritiesError         the certificates to trust cannot be read
    ├── TooSlowError             it took too long, at any stage
    ├── BrokenOffError           the connection broke, or what came was not HTTP
    └── UnacceptableError        an answer that is too large or encoded

Every message is in our own words and may be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol

from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer of a server, untouched and of bounded size.

    Attributes:
        headers: By lower-case name, without overlong ones.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class HttpError(Exception):
    """There is no answer; `sent` tells whether the request may have been carried out all the same."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


class NotConnectedError(HttpError):
    """No connection came about; another address of the same host may do better."""


class AddressRefusedError(HttpError):
    """The host leads to an address that is off limits."""


class CertificateFault(Enum):
    """What is wrong with a certificate, as far as it can be put right on our side."""

    AUTHORITY = "authority"
    NAME = "name"
    OTHER = "other"


class CertificateRefusedError(HttpError):
    """The server's certificate is not trusted; the words name the check that failed."""

    def __init__(self, message: str, fault: CertificateFault = CertificateFault.OTHER) -> None:
        super().__init__(message)
        self.fault = fault


class CABundleError(HttpError):
    """The certificates to trust cannot be used."""


class TooSlowError(HttpError):
    """A time limit passed."""


class BrokenOffError(HttpError):
    """The connection ended in the middle, or what came over it was not HTTP."""


class UnacceptableError(HttpError):
    """An answer came, but one that is not to be read."""


class HttpClient(Protocol):
    """Whoever carries exchanges; the backends know no more of HTTP than this."""

    async def request(
        self,
        method: Literal["GET", "POST"],
        url: Url,
        trust: Trust,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Send one request and return the whole answer, within a bounded time; `query` is shown nowhere.

        Raises:
            HttpError: There is no answer; nothing else is raised for what a server or a network did.
        """
        ...

    async def close(self) -> None:
        """End every connection; a second time does nothing."""
        ...
