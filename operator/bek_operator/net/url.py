"""https URLs, parsed strictly."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Final

HTTPS: Final = 443
MAX_PORT: Final = 65535
MAX_URL: Final = 1024
_MAX_HOST: Final = 253

_URL = re.compile(
    r"https://(?P<host>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?:/[-A-Za-z0-9._~]+)*)/?"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An https URL in parts; requests are built from these, so that no text is parsed twice.

    Attributes:
        host: Lower-case host name or IPv4 address.
        port: 1 to 65535.
        path: Empty, or starting with a slash and not ending with one.
    """

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Return host and port as the `Host` header has them."""
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"


def parse_url(text: str) -> Url:
    """Parse an https URL strictly: what two parsers could interpret differently is refused.

    Raises:
        ValueError: It is invalid; the message says what is allowed, and quotes nothing.
    """
    found = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if not found:
        raise ValueError(
            "must be https://host, https://host:port or either with a /path; "
            "the host in lower case, no user info, query or fragment"
        )
    if ".." in text or "." in found["path"].split("/"):
        raise ValueError('must not have ".." anywhere, or "." as a part of the path')
    host, port = found["host"], int(found["port"] or HTTPS)
    if port > MAX_PORT:
        raise ValueError(f"must have a port between 1 and {MAX_PORT}")
    check_host(host)
    return Url(host=host, port=port, path=found["path"])


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
