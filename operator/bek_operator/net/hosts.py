"""Hosts: how a URL is written in a spec, and which hosts an object may make the operator call.

Everything here judges spelling only; the address that a name leads to is judged where the connection is made.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

from bek_operator.net.url import Url

IPAddress = IPv4Address | IPv6Address

HTTPS: Final = 443
LONGEST_URL: Final = 1024

METADATA: Final[frozenset[IPAddress]] = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "169.254.169.254",
            "169.254.170.2",  # Amazon ECS
            "169.254.170.23",  # Amazon EKS
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::23",  # Amazon EKS
            "fd00:ec2::254",  # Amazon
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Where clouds hand out the credentials of their machines to whoever asks from there."""

NO_API_THERE: Final = "no API is there, and nobody should be made to call it"

_METADATA_NAMES: Final = frozenset(
    {"metadata.google.internal", "metadata.azure.internal", "instance-data.ec2.internal"}
)
_LONGEST_HOST = 253
_LONGEST_SHOWN = 66
_MAX_PORT = 65535
_ANY = "*"

_URL = re.compile(
    r"https://(?P<host>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?:/[-A-Za-z0-9._~]+)*)/?"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[-a-z0-9.*_]+)(?::(?P<port>[1-9][0-9]{0,4}|\*))?")


def parse_url(text: str) -> Url:
    """Take an https URL apart, strictly: what two parsers could see differently is refused.

    Raises:
        ValueError: It is not one; the message says what is allowed and may be shown.
    """
    found = _URL.fullmatch(text) if len(text) <= LONGEST_URL else None
    if not found:
        raise ValueError(
            "must be https://host, https://host:port or either with a /path; "
            "the host in lower case, no user info, query or fragment"
        )
    if ".." in text or "." in found["path"].split("/"):
        raise ValueError('must not have ".." anywhere, or "." as a part of the path')
    host, port = found["host"], int(found["port"] or HTTPS)
    if port > _MAX_PORT:
        raise ValueError(f"must have a port between 1 and {_MAX_PORT}")
    _check_host(host)
    return Url(host=host, port=port, path=found["path"])


def qualify(host: str, namespace: str) -> str:
    """Return the name to call: a host without a dot is a Service of the object's own namespace."""
    return host if "." in host else f"{host}.{namespace}.svc"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """What `--allow-host` allows, beside Services of an object's own namespace on port 443."""

    entries: tuple["_Entry", ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "AllowedHosts":
        """Read entries: `host`, `host:port`, `host:*`; a host is a name, `*.name`, IPv4 or `[IPv6]` address.

        Without a port an entry stands for 443; `*.name` stands for every name below it, however deep.

        Raises:
            ValueError: Some are no such entries; the message names each of them.
        """
        entries, faults = [], []
        for text in texts:
            try:
                entries.append(_parse_entry(text.strip().lower()))
            except ValueError as fault:
                faults.append(f"{_shown(text)!r} {fault}")
        if faults:
            raise ValueError("; ".join(faults))
        return cls(tuple(entries))

    def allows(self, url: Url, namespace: str, *, cloud_host: str | None = None) -> bool:
        """Tell whether an object of the namespace may make the operator call this URL.

        `cloud_host` is the authority of the operator's own `--cloud-url`, which needs no entry.
        """
        if url.authority == cloud_host or (url.port == HTTPS and _is_own_service(url.host, namespace)):
            return True
        return any(entry.covers_port(url.port) and entry.covers(url.host) for entry in self.entries)

    def names_address(self, address: IPAddress, port: int) -> bool:
        """Tell whether an entry is this very address, so that even a loopback one is meant."""
        return any(entry.covers_port(port) and entry.address == address for entry in self.entries)

    def refusal(self, url: Url) -> str:
        """Say what would allow a URL that is not allowed, unless nobody should."""
        if _is_metadata(url.host):
            return f"host {_shown(url.host)} is a cloud's metadata service; {NO_API_THERE}"
        flag = _shown(url.authority)
        return f"host {_shown(url.host)} is not allowed; start the operator with --allow-host={flag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry: exactly one of `address`, `name` and `suffix` is set; no `port` means any."""

    port: int | None
    address: IPAddress | None = None
    name: str | None = None
    suffix: str | None = None

    def covers_port(self, port: int) -> bool:
        return self.port in (None, port)

    def covers(self, host: str) -> bool:
        if self.suffix is not None:
            return host.endswith(self.suffix) and len(host) > len(self.suffix)
        return host == (self.name if self.name is not None else str(self.address))


def _parse_entry(text: str) -> _Entry:
    found = _ENTRY.fullmatch(text)
    if not found:
        raise ValueError(
            "is not a host, host:port or host:*, where a host is a name, *.name, an IPv4 or an [IPv6] address"
        )
    host, written = found["host"], found["port"]
    port = None if written == _ANY else int(written or HTTPS)
    if port is not None and port > _MAX_PORT:
        raise ValueError(f"has a port beyond {_MAX_PORT}")
    if host.startswith("["):
        try:
            return _Entry(port=port, address=IPv6Address(host[1:-1]))
        except AddressValueError:
            raise ValueError("has brackets around something that is not an IPv6 address") from None
    if host.startswith("*."):
        _check_host(host[2:])
        if _is_numeric(host):
            raise ValueError("is a pattern of addresses; patterns are for names")
        return _Entry(port=port, suffix=host[1:])
    _check_host(host)
    if _is_numeric(host):
        return _Entry(port=port, address=IPv4Address(host))
    return _Entry(port=port, name=host)


def _check_host(host: str) -> None:
    """Refuse what is neither a DNS name nor a dotted quad, above all addresses in odd spellings.

    Raises:
        ValueError: It is neither.
    """
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, host.split("."))):
        raise ValueError(
            f"must have a host of at most {_LONGEST_HOST} characters, its parts of a-z, 0-9 and inner "
            "hyphens, at most 63 each, and no dot at the end"
        )
    if _is_numeric(host):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise ValueError(
                "must have a host that is a name, or an IPv4 address of four plain decimal numbers"
            ) from None


def _is_numeric(host: str) -> bool:
    """Tell whether a resolver may take the host for an address: it goes by the last part."""
    return _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None


def _is_metadata(host: str) -> bool:
    if _is_numeric(host):
        return IPv4Address(host) in METADATA
    return host in _METADATA_NAMES


def _is_own_service(host: str, namespace: str) -> bool:
    name, _, rest = host.partition(".")
    return bool(name) and rest in (f"{namespace}.svc", f"{namespace}.svc.cluster.local")


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
