"""Which hosts objects can make the operator call.

Only names are checked here; the addresses that they resolve to are checked by the HTTP client's resolver.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

from bek_operator.net.url import HTTPS, MAX_PORT, Url, check_host, is_numeric
from bek_operator.shorten import shorten

IPAddress = IPv4Address | IPv6Address

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
"""Metadata services of clouds, which give credentials to any process on the machine."""

METADATA_ADVICE: Final = "calling it is forbidden"

_METADATA_NAMES: Final = frozenset(
    {"metadata.google.internal", "metadata.azure.internal", "instance-data.ec2.internal"}
)
_LONGEST_SHOWN = 66
_ANY = "*"

_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[-a-z0-9.*_]+)(?::(?P<port>[1-9][0-9]{0,4}|\*))?")


def qualify(host: str, namespace: str) -> str:
    """Return the name to call: a host without a dot is a Service of the object's own namespace."""
    return host if "." in host else f"{host}.{namespace}.svc"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The hosts of `--allow-host`; Services of an object's own namespace are always allowed on port 443."""

    entries: tuple["_Entry", ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "AllowedHosts":
        """Parse entries: `host`, `host:port`, `host:*`; a host is a name, `*.name`, IPv4 or `[IPv6]` address.

        Without a port an entry means 443; `*.name` matches all names below it, at any depth.

        Raises:
            ValueError: Some are invalid; the message names each of them.
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
        """Return whether an object of the namespace can make the operator call this URL.

        `cloud_host` is the host and port of `--cloud-url`, which needs no entry.
        """
        if url.authority == cloud_host or (url.port == HTTPS and _is_own_service(url.host, namespace)):
            return True
        return any(entry.covers_port(url.port) and entry.covers(url.host) for entry in self.entries)

    def names_address(self, address: IPAddress, port: int) -> bool:
        """Return whether an entry is this address, which allows even a loopback one."""
        return any(entry.covers_port(port) and entry.address == address for entry in self.entries)

    def refusal(self, url: Url) -> str:
        """Return why a URL is not allowed, and the flag that would allow it, unless it is a metadata service."""
        if _is_metadata(url.host):
            return f"host {_shown(url.host)} is a cloud's metadata service; {METADATA_ADVICE}"
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
    if port is not None and port > MAX_PORT:
        raise ValueError(f"has a port above {MAX_PORT}")
    if host.startswith("["):
        try:
            return _Entry(port=port, address=IPv6Address(host[1:-1]))
        except AddressValueError:
            raise ValueError("has brackets around something that is not an IPv6 address") from None
    if host.startswith("*."):
        check_host(host[2:])
        if is_numeric(host):
            raise ValueError("is a pattern of IP addresses; only names can be patterns")
        return _Entry(port=port, suffix=host[1:])
    check_host(host)
    if is_numeric(host):
        return _Entry(port=port, address=IPv4Address(host))
    return _Entry(port=port, name=host)


def _is_metadata(host: str) -> bool:
    if is_numeric(host):
        return IPv4Address(host) in METADATA
    return host in _METADATA_NAMES


def _is_own_service(host: str, namespace: str) -> bool:
    name, _, rest = host.partition(".")
    return bool(name) and rest in (f"{namespace}.svc", f"{namespace}.svc.cluster.local")


def _shown(text: str) -> str:
    return shorten(text, _LONGEST_SHOWN)
