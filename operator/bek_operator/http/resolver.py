"""Addresses: what a host's name leads to, and whether anybody may be made to call that.

Whoever may edit a Service or a DNS record can point a harmless name anywhere, so it is the address to be connected to
that counts, and all of a name's addresses must pass.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from typing import Final

from bek_operator.http.exchange import AddressRefusedError, NotConnectedError
from bek_operator.lru_cache import LRUCache
from bek_operator.net.hosts import METADATA, NO_API_THERE, IPAddress
from bek_operator.single_flight import SingleFlight

Lookup = Callable[[str], Awaitable[Iterable[str]]]
"""Find the addresses of a name, best first; raises `OSError` or `UnicodeError` when there are none."""

REMEMBERED_SECONDS: Final = 5.0
"""Login, read, publish and read again follow each other within this, and need one lookup."""

_LOOKUPS_AT_ONCE = 100
_NAMES = 4096

_METADATA_KIND: Final = "a cloud's metadata"
_ADVICE: Final = "where that is meant, start the operator with --allow-host naming the address as well"
_THIS_NETWORK: Final = ip_network("0.0.0.0/8")
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Addresses:
    """Judge the addresses of hosts; what was found good is remembered for seconds."""

    def __init__(
        self,
        named: Callable[[IPAddress, int], bool],
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the operator's own word on addresses that are meant though they look odd (`named`)."""
        self._named = named
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "lookup")
        self._lookup = lookup or self._ask_system
        self._clock = clock
        self._lookups: SingleFlight[str, tuple[IPAddress, ...]] = SingleFlight()
        self._judged: LRUCache[tuple[str, int], tuple[float, tuple[str, ...]]] = LRUCache(_NAMES)

    async def of(self, host: str, port: int) -> tuple[str, ...]:
        """Return the addresses to connect to, best first; at least one.

        Raises:
            NotConnectedError: The name does not resolve.
            AddressRefusedError: It leads somewhere that is off limits.
        """
        known = self._judged.get((host, port))
        if known and self._clock() < known[0]:
            return known[1]
        addresses = await self._addresses(host)
        for address in addresses:
            kind = kind_off_limits(address)
            if kind and not any(self._named(form, port) for form in _forms(address)):
                advice = NO_API_THERE if kind == _METADATA_KIND else _ADVICE
                raise AddressRefusedError(f"leads to {kind} address; {advice}")
        judged = tuple(map(str, addresses))
        self._judged.put((host, port), (self._clock() + REMEMBERED_SECONDS, judged))
        return judged

    def forget(self, host: str, port: int) -> None:
        """Look the name up again next time; its addresses were no good."""
        self._judged.drop((host, port))

    async def close(self) -> None:
        """Wait for no lookup any more."""
        await self._lookups.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> tuple[IPAddress, ...]:
        if is_literal(host):
            return (IPv4Address(host),)
        # A lookup that hangs keeps its thread for much longer than any caller waits, so those who come back share it.
        return await self._lookups.join(host, lambda: self._find(host))

    async def _find(self, host: str) -> tuple[IPAddress, ...]:
        try:
            found = tuple(dict.fromkeys(map(ip_address, await self._lookup(host))))
        except socket.gaierror as fault:
            passing = fault.errno in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM)
            raise NotConnectedError(
                "the name servers do not answer" if passing else "the name does not resolve"
            ) from None
        except (OSError, ValueError):
            raise NotConnectedError("the name cannot be looked up") from None
        if not found:
            raise NotConnectedError("the name does not resolve")
        return found

    async def _ask_system(self, host: str) -> list[str]:
        # Not the loop's own threads: those are few, and a dead name server would hold up everybody's lookups.
        ask = asyncio.get_running_loop().run_in_executor
        answers = await ask(self._threads, socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in answers]


@lru_cache(_NAMES)
def is_literal(host: str) -> bool:
    """Tell whether a host is an address by itself, so that there is no name to look up."""
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def kind_off_limits(address: IPAddress) -> str | None:
    """Return what makes an address off limits; `None` for one that may be called."""
    # Kind by kind: newer Pythons call a wrapped metadata address a link-local one, too, and that can be allowed.
    forms = _forms(address)
    return next((kind for kind, holds in _KINDS.items() if any(map(holds, forms))), None)


def _forms(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return the address and the IPv4 address that it only wraps, which is where a packet would end up."""
    if isinstance(address, IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return (address, inner) if inner else (address,)


_KINDS: Final[Mapping[str, Callable[[IPAddress], bool]]] = {
    _METADATA_KIND: METADATA.__contains__,
    "a loopback": lambda address: address.is_loopback,
    "an unspecified": lambda address: address.is_unspecified or address in _THIS_NETWORK,
    "a link-local": lambda address: address.is_link_local,
    "a multicast": lambda address: address.is_multicast,
    # Of IPv6 this covers much that is in use by now, such as NAT64.
    "a reserved": lambda address: isinstance(address, IPv4Address) and address.is_reserved,
}
