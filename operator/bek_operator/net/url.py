"""https URLs, parsed strictly."""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Final

HTTPS: Final = 443
MAX_PORT: Final = 65535
MAX_URL: Final = 1024
_MAX_HOST: Final = 253

_ORIGIN = r"https://(?P<host>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?::(?P<port>[1-9][0-9]{0,4}))?"
_BASE = re.compile(rf"{_ORIGIN}(?P<path>(?:/[-A-Za-z0-9._~]+)*)/?(?P<query>)")
# RFC 3986, without the apostrophe, which some parsers escape, and without escapes of control characters and of dots.
_ESCAPE = r"%(?:2[0-9A-DFa-df]|[3-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e])"
_PLAIN = r"-A-Za-z0-9._~!$&()*+,;=:@"
_PART = rf"(?:[{_PLAIN}]|{_ESCAPE})+"
_FULL = re.compile(
    rf"{_ORIGIN}(?:(?P<path>/(?:{_PART}(?:/{_PART})*/?)?)(?:[?](?P<query>(?:[{_PLAIN}/?]|{_ESCAPE})+))?)?"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An https URL in parts; requests are built from these, so that no text is parsed twice.

    Attributes:
        host: Lower-case host name or IPv4 address.
        port: 1 to 65535.
        path: Empty, or starting with a slash; escaped, as it is sent.
        query: Escaped, as it is sent; it may hold a password, so it is not in the repr, nor in the text.
    """

    host: str
    port: int
    path: str
    query: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"

    @property
    def target(self) -> str:
        """Return path and query as the request line has them."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")

    @property
    def authority(self) -> str:
        """Return host and port as the `Host` header has them."""
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"


def parse_url(text: str) -> Url:
    """Parse the https URL of an API strictly: what two parsers could interpret differently is refused.

    It is a base, to which paths are added: a slash at its end means nothing, and it has no query.

    Raises:
        ValueError: It is invalid; the message says what is allowed, and quotes nothing.
    """
    found = _BASE.fullmatch(text) if len(text) <= MAX_URL else None
    if not found:
        raise ValueError(
            "must be https://host, https://host:port or either with a /path; "
            "the host in lower case, no user info, query or fragment"
        )
    return _url(text, found)


def parse_full_url(text: str) -> Url:
    """Parse an https URL that is called as it is written, as strictly; it may have escapes and a query.

    Raises:
        ValueError: It is invalid; the message says what is allowed, and quotes nothing.
    """
    found = _FULL.fullmatch(text) if len(text) <= MAX_URL else None
    if not found:
        raise ValueError(
            f"must be https://host or https://host:port, with a /path and then a ?query if needed, at most {MAX_URL} "
            "characters; the host in lower case, no user info or fragment, and special characters escaped with %, but "
            "no control characters or dots"
        )
    return _url(text, found)


def _url(text: str, found: re.Match[str]) -> Url:
    path = found["path"] or ""
    if ".." in text or "." in path.split("/"):
        raise ValueError('must not have ".." anywhere, or "." as a part of the path')
    host, port = found["host"], int(found["port"] or HTTPS)
    if port > MAX_PORT:
        raise ValueError(f"must have a port between 1 and {MAX_PORT}")
    check_host(host)
    return Url(host=host, port=port, path="" if path == "/" else path, query=found["query"] or "")


def check_host(host: str) -> None:
    """Check that a host is a DNS name or a dotted quad, and not an address in another notation.

    Raises:
        ValueError: It is neither.
    """
    if len(host) > _MAX_HOST or not all(map(_LABEL.fullmatch, host.split("."))):
        raise ValueError(
            f"must have a host of at most {_MAX_HOST} characters, its parts of a-z, 0-9 and inner "
            "hyphens, at most 63 each, and no dot at the end"
        )
    if is_numeric(host):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise ValueError(
                "must have a host that is a name, or an IPv4 address of four plain decimal numbers"
            ) from None


def is_numeric(host: str) -> bool:
    """Return whether a resolver may take the host for an address, which the last label decides."""
    return _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None
