"""Resolves host names, and refuses addresses that must not be called (SSRF).

Whoever can edit a Service or a DNS record can point a harmless name anywhere, so the addresses are checked rather than
the name, and all of a name's addresses must pass.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from typing import Final

from bek_operator.http.errors import AddressRefusedError, NotConnectedError
from bek_operator.lru_cache import LRUCache
from bek_operator.net.hosts import METADATA, METADATA_ADVICE, IPAddress
from bek_operator.shares import Shares
from bek_operator.single_flight import SingleFlight

Lookup = Callable[[str], Awaitable[Iterable[str]]]
"""Returns the addresses of a name, best first; raises `OSError` or `UnicodeError` when there are none."""

CACHE_SECONDS: Final = 5.0
"""Login, read, publish and the second read follow each other within this, and share one lookup."""

MAX_LOOKUPS: Final = 100
"""How many names of tenants are looked up at once. One that hangs keeps its thread for tens of seconds."""

_TIMES: Final = 3
"""A tenant gets at most so many times as many of them as stay free."""

_WAIT_SECONDS: Final = 5.0
"""How long a lookup waits for its turn. Callers give up after 10 s, so one that waited longer would be for nobody."""

_MAX_NAMES = 4096

_TOO_MANY: Final = "the name was not looked up, because too many lookups of other names take too long"

_METADATA_KIND: Final = "a cloud metadata"
_ADVICE: Final = "to allow it, start the operator with --allow-host=<address> as well"
_THIS_NETWORK: Final = ip_network("0.0.0.0/8")

# Forms of IPv6 addresses that embed an IPv4 address. A NAT64 prefix that a network has chosen for itself is not known.
_LAST_32_BITS: Final = (
    IPv6Network("::/96"),  # IPv4-compatible, RFC 4291
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated, RFC 2765
    IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215; each network has a prefix in it,
_LOCAL_NAT64_LENGTHS: Final = (48, 56, 64)  # of 96 bits or of these; after them RFC 6052 leaves out the bits 64 to 71
_ISATAP, _ISATAP_MASK = 0x0000_5EFE, 0xFDFF_FFFF  # the third quarter of the address, RFC 5214
_IPV4_MASK: Final = 0xFFFF_FFFF


class Resolver:
    """Resolves host names to addresses that can be called; results are cached for seconds."""

    def __init__(
        self,
        is_allowed: Callable[[IPAddress, int], bool],
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take `is_allowed`: whether the operator's settings allow an otherwise forbidden address on a port."""
        self._is_allowed = is_allowed
        # And one for the host of the Cloud API, the only name in the settings.
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS + 1, "lookup")
        self._shares = Shares(MAX_LOOKUPS, times=_TIMES)
        self._lookup = lookup or self._system_lookup
        self._clock = clock
        self._lookups: SingleFlight[tuple[str, str], tuple[IPAddress, ...]] = SingleFlight()
        self._cache: LRUCache[tuple[str, int], tuple[float, tuple[str, ...]]] = LRUCache(_MAX_NAMES)

    async def resolve(self, host: str, port: int, tenant: str = "") -> tuple[str, ...]:
        """Return the addresses to connect to, best first; at least one.

        `tenant` is the namespace whose object names the host; it is empty for the operator's settings.

        Raises:
            NotConnectedError: The name does not resolve, or too many others of the tenant hang.
            AddressRefusedError: One of its addresses must not be called.
        """
        known = self._cache.get((host, port))
        if known and self._clock() < known[0]:
            return known[1]
        addresses = await self._addresses(host, tenant)
        for address in addresses:
            kind = forbidden_kind(address)
            if kind and not any(self._is_allowed(form, port) for form in _with_embedded(address)):
                advice = METADATA_ADVICE if kind == _METADATA_KIND else _ADVICE
                raise AddressRefusedError(f"resolves to {kind} address; {advice}")
        checked = tuple(map(str, addresses))
        self._cache.put((host, port), (self._clock() + CACHE_SECONDS, checked))
        return checked

    def forget(self, host: str, port: int) -> None:
        """Drop a name from the cache, because no connection to its addresses was possible."""
        self._cache.drop((host, port))

    async def close(self) -> None:
        """Cancel all lookups."""
        await self._lookups.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, tenant: str) -> tuple[IPAddress, ...]:
        if is_literal(host):
            return (IPv4Address(host),)
        # A lookup that hangs keeps its thread for longer than any caller waits, so later callers share it. Those of
        # other tenants do not, because it may still wait for its turn.
        return await self._lookups.do((tenant, host), lambda: self._find_in_turn(host, tenant))

    async def _find_in_turn(self, host: str, tenant: str) -> tuple[IPAddress, ...]:
        if not tenant:
            return await self._find(host)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._shares.acquire(tenant)
        except TimeoutError:
            raise NotConnectedError(_TOO_MANY) from None
        try:
            return await self._find(host)
        finally:
            self._shares.release(tenant)

    async def _find(self, host: str) -> tuple[IPAddress, ...]:
        try:
            found = tuple(dict.fromkeys(map(ip_address, await self._lookup(host))))
        except socket.gaierror as fault:
            temporary = fault.errno in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM)
            raise NotConnectedError(
                "the name servers do not answer" if temporary else "the name does not resolve"
            ) from None
        except (OSError, ValueError):
            raise NotConnectedError("the name cannot be resolved") from None
        if not found:
            raise NotConnectedError("the name does not resolve")
        return found

    async def _system_lookup(self, host: str) -> list[str]:
        # Not the event loop's default executor: its threads are few, and lookups that hang would block all others.
        run = asyncio.get_running_loop().run_in_executor
        found = await run(self._threads, socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]


@lru_cache(_MAX_NAMES)
def is_literal(host: str) -> bool:
    """Return whether a host is an IPv4 address rather than a name."""
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def forbidden_kind(address: IPAddress) -> str | None:
    """Return the kind of an address that must not be called, with its article; `None` for one that can be."""
    # Kind by kind: newer Pythons call a wrapped metadata address a link-local one, too, and that can be allowed.
    forms = _with_embedded(address)
    return next((kind for kind, matches in _KINDS.items() if any(map(matches, forms))), None)


def _with_embedded(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return the address, and every IPv4 address that it may be translated to."""
    if isinstance(address, IPv4Address):
        return (address,)
    bits = int(address)
    found = [address.sixtofour, address.teredo and address.teredo[1]]
    if any(address in network for network in _LAST_32_BITS) or bits >> 32 & _ISATAP_MASK == _ISATAP:
        found.append(IPv4Address(bits & _IPV4_MASK))
    if address in _LOCAL_NAT64:
        without_u = bits >> 64 << 56 | bits & (1 << 56) - 1
        words = (bits, *(without_u >> 88 - length for length in _LOCAL_NAT64_LENGTHS))
        layouts = [IPv4Address(word & _IPV4_MASK) for word in words]
        # All but one are parts of the prefix and padding; no translator sends to such addresses.
        found += [one for one in layouts if one not in _THIS_NETWORK and not one.is_multicast and not one.is_reserved]
    return (address, *filter(None, found))


_KINDS: Final[Mapping[str, Callable[[IPAddress], bool]]] = {
    _METADATA_KIND: METADATA.__contains__,
    "a loopback": lambda address: address.is_loopback,
    "an unspecified": lambda address: address.is_unspecified or address in _THIS_NETWORK,
    "a link-local": lambda address: address.is_link_local,
    "a multicast": lambda address: address.is_multicast,
    # Python's IPv6 property also covers prefixes in use, such as NAT64.
    "a reserved": lambda address: isinstance(address, IPv4Address) and address.is_reserved,
}
