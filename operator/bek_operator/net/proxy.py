"""Parses the URL of the proxy for calls to the Cloud API and to providers."""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from bek_operator.secret_str import SecretStr

_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._]{0,251}[A-Za-z0-9])?")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy for CONNECT tunnels, and its credentials.

    Attributes:
        scheme: Whether the connection to the proxy itself uses TLS.
        password: Empty for a user name without password.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: SecretStr = field(default_factory=lambda: SecretStr(""), repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """Parse `http://host:port` or `https://host:port`, optionally with `user:password@`; `http://` is optional.

    Raises:
        ValueError: It is invalid; the message says what is allowed and quotes nothing.
    """
    invalid = ValueError("must be http://host:port or https://host:port, with user:password@ before the host if needed")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port, scheme = parts.hostname or "", parts.port, parts.scheme
    except ValueError:
        # The library's message quotes the text.
        raise invalid from None
    extra = parts.path not in {"", "/"} or parts.query or parts.fragment
    # urlsplit drops some control characters silently.
    if scheme not in _PORTS or extra or port == 0 or not text.isprintable():
        raise invalid
    if not (_HOST.fullmatch(host) or _is_ipv6(host)):
        raise invalid
    return Proxy(
        scheme="https" if scheme == "https" else "http",
        host=host,
        port=port or _PORTS[scheme],
        username=None if parts.username is None else unquote(parts.username),
        password=SecretStr(unquote(parts.password or "")),
    )


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True
