"""Addresses are checked, not the names that resolve to them."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from bek_operator.http.errors import AddressRefusedError, NotConnectedError
from bek_operator.http.resolver import CACHE_SECONDS, MAX_LOOKUPS, Lookup, Resolver, forbidden_kind
from bek_operator.net.hosts import AllowedHosts
from support.virtual_time import virtual_time


class FakeDNS:
    """A fake name server, and a clock."""

    def __init__(self, **answers: list[str] | Exception) -> None:
        self.answers = answers
        self.lookups: list[str] = []
        self.now = 0.0

    async def lookup(self, host: str) -> list[str]:
        """Return or raise the answer for the host."""
        self.lookups.append(host)
        await asyncio.sleep(0)
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def resolver(self, *allowed: str) -> Resolver:
        """Return a resolver that uses it, with an allow list."""
        is_allowed = AllowedHosts.parse(allowed).names_address
        return Resolver(is_allowed, lookup=self.lookup, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("2001:0:c000:207:0:0:5601:5601", "metadata"),  # Teredo has it inverted
        ("::ffff:0:127.0.0.1", "loopback"),
        ("::ffff:0:169.254.169.254", "metadata"),
        ("64:ff9b:1::127.0.0.1", "loopback"),
        ("64:ff9b:1:ffff:ffff:ffff:169.254.169.254", "metadata"),
        ("64:ff9b:1:a9fe:a9:fe00::", "metadata"),
        ("64:ff9b:1:a9fe:a9:fe12:3456:789a", "metadata"),
        ("64:ff9b:1:a9:fe:a9fe::", "metadata"),
        ("64:ff9b:1:0:a9:fea9:fe00:0", "metadata"),
        ("2001:db8::5efe:169.254.169.254", "metadata"),
        ("2001:db8::200:5efe:127.0.0.1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
    ],
)
async def test_forbidden(address: str, kind: str) -> None:
    """A name that resolves to such an address is refused.

    The message names the flag that would allow it, except for a cloud's metadata service.
    """
    dns = FakeDNS(service=["192.0.2.7", address])
    with pytest.raises(AddressRefusedError, match=rf"resolves to an? .*{kind} address; ") as refused:
        await dns.resolver("service:*").resolve("service", 443)
    assert not refused.value.sent
    assert ("--allow-host" in refused.value.message) == (kind != "metadata")
    assert ("calling it is forbidden" in refused.value.message) == (kind == "metadata")


@pytest.mark.parametrize(
    "address",
    [
        *("10.96.0.7", "172.16.0.1", "192.168.1.1", "192.0.2.7", "100.64.0.1", "2001:db8::1", "fd12::1"),
        *("64:ff9b::a00:1", "::ffff:0:10.0.0.1", "2002:a00:1::", "64:ff9b:1::10.0.0.1", "64:ff9b:1:a00:0:100::"),
        *("64:ff9b:1:fffe::8.8.8.8", "64:ff9b:1:a:0:100::"),
    ],
)
def test_ordinary(address: str) -> None:
    """Cluster, private and public addresses can be called."""
    assert forbidden_kind(ip_address(address)) is None


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("127.0.0.1:8443", "127.0.0.1"),
        ("127.0.0.1:*", "::ffff:127.0.0.1"),
        ("[::1]:8443", "::1"),
        ("169.254.169.254:8443", "169.254.169.254"),
    ],
)
async def test_allowed_by_the_operator(entry: str, address: str) -> None:
    """An address that `--allow-host` names is allowed, whatever its kind."""
    dns = FakeDNS(service=[address])
    assert await dns.resolver(entry).resolve("service", 8443) == (str(ip_address(address)),)


async def test_allowed_for_another_port() -> None:
    """An entry allows an address on its own port only."""
    with pytest.raises(AddressRefusedError):
        await FakeDNS(service=["127.0.0.1"]).resolver("127.0.0.1:9443").resolve("service", 8443)


async def test_name_that_changes_to_a_forbidden_address() -> None:
    """A name is checked at every lookup, and the addresses that were checked are the ones called (DNS rebinding)."""
    dns = FakeDNS(service=["192.0.2.7"])
    resolver = dns.resolver("service:*")
    assert await resolver.resolve("service", 443) == ("192.0.2.7",)
    dns.answers["service"] = ["127.0.0.1"]
    assert await resolver.resolve("service", 443) == ("192.0.2.7",)
    dns.now += CACHE_SECONDS
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("service", 443)


async def test_literal() -> None:
    """An address needs no lookup and is checked all the same."""
    dns = FakeDNS()
    assert await dns.resolver().resolve("192.0.2.7", 443) == ("192.0.2.7",)
    with pytest.raises(AddressRefusedError):
        await dns.resolver().resolve("127.0.0.1", 443)
    assert not dns.lookups


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), "the name does not resolve"),
        (socket.gaierror(socket.EAI_AGAIN, "?"), "the name servers do not answer"),
        (OSError("?"), "the name cannot be resolved"),
        (UnicodeError("?"), "the name cannot be resolved"),
        (["nonsense"], "the name cannot be resolved"),
        ([], "the name does not resolve"),
    ],
)
async def test_no_address(answer: list[str] | Exception, message: str) -> None:
    """A failed lookup is NotConnectedError, and is not cached."""
    dns = FakeDNS(service=answer)
    resolver = dns.resolver()
    for _ in range(2):
        with pytest.raises(NotConnectedError) as fault:
            await resolver.resolve("service", 443)
        assert fault.value.message == message
    assert dns.lookups == ["service", "service"]


async def test_cached_for_seconds() -> None:
    """A lookup is cached for seconds, or until the resolver is told to forget it."""
    dns = FakeDNS(service=["192.0.2.7", "192.0.2.8", "192.0.2.7"])
    resolver = dns.resolver()
    for _ in range(3):
        assert await resolver.resolve("service", 443) == ("192.0.2.7", "192.0.2.8")
    assert len(dns.lookups) == 1
    dns.now += CACHE_SECONDS
    await resolver.resolve("service", 443)
    assert len(dns.lookups) == 2
    resolver.forget("service", 443)
    await resolver.resolve("service", 443)
    assert len(dns.lookups) == 3


async def test_one_lookup_for_all() -> None:
    """Callers that want the same name at once share one lookup; other names are looked up concurrently."""
    dns = FakeDNS(one=["192.0.2.1"], two=["192.0.2.2"])
    resolver = dns.resolver()
    found = await asyncio.gather(*(resolver.resolve(host, 443) for host in ["one", "two"] * 20))
    assert set(found) == {("192.0.2.1",), ("192.0.2.2",)}
    assert sorted(dns.lookups) == ["one", "two"]


async def test_hanging_lookup_is_shared() -> None:
    """A caller that is cancelled leaves the lookup running for the next caller."""
    release = asyncio.Event()
    lookups = []

    async def hanging(host: str) -> list[str]:
        lookups.append(host)
        await release.wait()
        return ["192.0.2.7"]

    resolver = make(hanging)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver.resolve("service", 443), 0.01)
    again = asyncio.create_task(resolver.resolve("service", 443))
    await asyncio.sleep(0)
    release.set()
    assert await again == ("192.0.2.7",)
    assert lookups == ["service"]


class HangingNames:
    """A name server that answers for no name that begins with `hang`, until it is told to."""

    def __init__(self) -> None:
        self.lookups: list[str] = []
        self.resolver = make(self._lookup)
        self._answers: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def _lookup(self, host: str) -> list[str]:
        self.lookups.append(host)
        if host.startswith("hang"):
            await self._answers[host].wait()
        return ["192.0.2.7"]

    async def hang(self, tenant: str, names: int, *, first: int = 0) -> list[asyncio.Task[tuple[str, ...]]]:
        """Have callers of a tenant ask for so many names that hang."""
        hosts = [f"hang-{index}.{tenant}" for index in range(first, first + names)]
        tasks = [asyncio.create_task(self.resolver.resolve(host, 443, tenant)) for host in hosts]
        for task in tasks:
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0.01)
        return tasks

    async def answer(self, host: str) -> None:
        """Answer for a name."""
        self._answers[host].set()
        await asyncio.sleep(0.01)

    async def resolves_at_once(self, host: str, tenant: str = "") -> bool:
        """Return whether a name is resolved without any time going by."""
        clock = asyncio.get_running_loop().time
        start = clock()
        return bool(await self.resolver.resolve(host, 443, tenant)) and clock() == start


@virtual_time
async def test_a_tenant_whose_names_hang_delays_no_other() -> None:
    """However many names it has, and whether its callers are still there or not."""
    names = HangingNames()
    for first in range(0, 3000, 300):
        callers = await names.hang("a", 300, first=first)
        assert await names.resolves_at_once(f"service-{first}", "b")
        for caller in callers:
            caller.cancel()
        assert await names.resolves_at_once(f"again-{first}", "b")
        assert len([name for name in names.lookups if name.endswith(".a")]) == MAX_LOOKUPS * 3 // 4


@virtual_time
async def test_a_lookup_waits_for_its_turn() -> None:
    """Not for long, and in vain if lookups of other names of the tenant hang for all that time."""
    names = HangingNames()
    await names.hang("a", MAX_LOOKUPS)
    (given_up,) = await names.hang("a", 1, first=1000)
    assert "hang-1000.a" not in names.lookups
    with pytest.raises(NotConnectedError, match="too many lookups of other names take too long"):
        await given_up
    waiting = asyncio.create_task(names.resolver.resolve("service", 443, "a"))
    await names.answer("hang-0.a")
    assert await waiting == ("192.0.2.7",)
    assert names.lookups[-1] == "service"


@virtual_time
async def test_a_name_that_two_tenants_use_waits_for_neither() -> None:
    """Though one of them has to wait with it."""
    names = HangingNames()
    await names.hang("a", MAX_LOOKUPS)
    waiting = asyncio.create_task(names.resolver.resolve("service", 443, "a"))
    await asyncio.sleep(0.01)
    assert await names.resolves_at_once("service", "b")
    assert not waiting.done()


@virtual_time
async def test_names_of_the_settings_wait_for_no_tenant() -> None:
    """Not even where there are as many tenants with a name that hangs as there are lookups at once."""
    names = HangingNames()
    for index in range(MAX_LOOKUPS):
        await names.hang(str(index), 1)
    assert len(names.lookups) == MAX_LOOKUPS
    assert await names.resolves_at_once("graph.facebook.com")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(names.resolver.resolve("service", 443, "b"), 1.0)


async def test_system_lookup() -> None:
    """Without a lookup of our own the system's is used."""
    resolver = Resolver(lambda _address, _port: True)
    try:
        assert set(await resolver.resolve("localhost", 443)) <= {"127.0.0.1", "::1"}
        with pytest.raises(NotConnectedError):
            await resolver.resolve("a" * 64, 443)
    finally:
        await resolver.close()


def make(lookup: Lookup, is_allowed: Callable[..., bool] = lambda _address, _port: False) -> Resolver:
    """Return a resolver that uses a lookup."""
    return Resolver(is_allowed, lookup=lookup)
