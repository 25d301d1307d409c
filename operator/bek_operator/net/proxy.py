"""Proxies: how the one that Cloud calls may go through is written."""

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
    """A proxy that opens tunnels (CONNECT), and as whom it is asked for them.

    Attributes:
        scheme: How the proxy itself is spoken to.
        password: Empty where there is a user name alone.
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
    """Read `http://host:port` or `https://host:port`, with `user:password@` where needed; http may be left out.

    Raises:
        ValueError: It is not one; the message says what is allowed and shows nothing of it.
    """
    refusal = ValueError("must be http://host:port or https://host:port, with user:password@ before the host if needed")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port, scheme = parts.hostname or "", parts.port, parts.scheme
    except ValueError:
        # The library's own words show what was found.
        raise refusal from None
    beyond = parts.path not in {"", "/"} or parts.query or parts.fragment
    # The library drops some control characters silently.
    if scheme not in _PORTS or beyond or port == 0 or not text.isprintable():
        raise refusal
    if not (_HOST.fullmatch(host) or _is_ipv6(host)):
        raise refusal
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
