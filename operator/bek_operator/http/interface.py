"""The HTTP client's interface, independent of the library underneath."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; what can hold credentials is not in its repr, and in no message or log.

    Attributes:
        query: Query parameters, not encoded yet.
        content: The body; never with a GET.
    """

    method: Literal["GET", "POST"]
    url: Url
    trust: ServerTrust
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole response of bounded size.

    Attributes:
        headers: By lower-case name; overlong ones are left out.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class HttpClient(Protocol):
    """Sends requests; all that the backends know of HTTP."""

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole response, within a bounded time.

        Raises:
            HttpError: There is no usable response; nothing else is raised for a fault of a server or the network.
        """
        ...

    async def close(self) -> None:
        """Close every connection; a second call does nothing."""
        ...
