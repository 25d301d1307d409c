"""The address that is connected to counts, not the name that led there."""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from bek_operator.http.exchange import AddressRefusedError, NotConnectedError
from bek_operator.http.resolver import REMEMBERED_SECONDS, Addresses, Lookup, kind_off_limits
from bek_operator.net.hosts import AllowedHosts


class Names:
    """Name servers of our own making, and a clock."""

    def __init__(self, **answers: list[str] | Exception) -> None:
        self.answers = answers
        self.check_requested: list[str] = []
        self.now = 0.0

    async def lookup(self, host: str) -> list[str]:
        """Answer as told."""
        self.check_requested.append(host)
        await asyncio.sleep(0)
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def addresses(self, *allowed: str) -> Addresses:
        """Make what asks here, under an allow list."""
        named = AllowedHosts.parse(allowed).names_address
        return Addresses(named, lookup=self.lookup, clock=lambda: self.now)


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
async def test_off_limits(address: str, kind: str) -> None:
    """A name that leads to the machine itself or its surroundings is refused.

    The flag that allows it is named, but for a cloud's metadata: there is no API.
    """
    names = Names(service=["192.0.2.7", address])
    with pytest.raises(AddressRefusedError, match=rf"leads to an? .*{kind} address; ") as refused:
        await names.addresses("service:*").of("service", 443)
    assert not refused.value.sent
    assert ("--allow-host" in refused.value.message) == (kind != "metadata")
    assert ("no API is there" in refused.value.message) == (kind == "metadata")


@pytest.mark.parametrize(
    "address",
    ["10.96.0.7", "172.16.0.1", "192.168.1.1", "192.0.2.7", "100.64.0.1", "2001:db8::1", "fd12::1", "64:ff9b::a00:1"],
)
def test_ordinary(address: str) -> None:
    """Cluster, private and public addresses may be called."""
    assert kind_off_limits(ip_address(address)) is None


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("127.0.0.1:8443", "127.0.0.1"),
        ("127.0.0.1:*", "::ffff:127.0.0.1"),
        ("[::1]:8443", "::1"),
        ("169.254.169.254:8443", "169.254.169.254"),
    ],
)
async def test_named_by_the_operator(entry: str, address: str) -> None:
    """An address that the operator's list names is meant, whatever it is."""
    names = Names(service=[address])
    assert await names.addresses(entry).of("service", 8443) == (str(ip_address(address)),)


async def test_named_for_another_port() -> None:
    """An entry names an address on its own port only."""
    with pytest.raises(AddressRefusedError):
        await Names(service=["127.0.0.1"]).addresses("127.0.0.1:9443").of("service", 8443)


async def test_name_that_turns_inwards() -> None:
    """A name that led elsewhere at first is judged anew whenever it is looked up, and what is judged is called."""
    names = Names(service=["192.0.2.7"])
    addresses = names.addresses("service:*")
    assert await addresses.of("service", 443) == ("192.0.2.7",)
    names.answers["service"] = ["127.0.0.1"]
    assert await addresses.of("service", 443) == ("192.0.2.7",)
    names.now += REMEMBERED_SECONDS
    with pytest.raises(AddressRefusedError):
        await addresses.of("service", 443)


async def test_literal() -> None:
    """An address needs no lookup and is judged all the same."""
    names = Names()
    assert await names.addresses().of("192.0.2.7", 443) == ("192.0.2.7",)
    with pytest.raises(AddressRefusedError):
        await names.addresses().of("127.0.0.1", 443)
    assert not names.check_requested


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), "the name does not resolve"),
        (socket.gaierror(socket.EAI_AGAIN, "?"), "the name servers do not answer"),
        (OSError("?"), "the name cannot be looked up"),
        (UnicodeError("?"), "the name cannot be looked up"),
        (["nonsense"], "the name cannot be looked up"),
        ([], "the name does not resolve"),
    ],
)
async def test_no_address(answer: list[str] | Exception, message: str) -> None:
    """A lookup that finds nothing is no connection, and is tried again the next time."""
    names = Names(service=answer)
    addresses = names.addresses()
    for _ in range(2):
        with pytest.raises(NotConnectedError) as fault:
            await addresses.of("service", 443)
        assert fault.value.message == message
    assert names.check_requested == ["service", "service"]


async def test_remembered_for_seconds() -> None:
    """A name is looked up once for calls that follow each other, and again after seconds, or when it was no good."""
    names = Names(service=["192.0.2.7", "192.0.2.8", "192.0.2.7"])
    addresses = names.addresses()
    for _ in range(3):
        assert await addresses.of("service", 443) == ("192.0.2.7", "192.0.2.8")
    assert len(names.check_requested) == 1
    names.now += REMEMBERED_SECONDS
    await addresses.of("service", 443)
    assert len(names.check_requested) == 2
    addresses.forget("service", 443)
    await addresses.of("service", 443)
    assert len(names.check_requested) == 3


async def test_one_lookup_for_all() -> None:
    """Callers that want the same name at once share one lookup; other names are looked up beside it."""
    names = Names(one=["192.0.2.1"], two=["192.0.2.2"])
    addresses = names.addresses()
    found = await asyncio.gather(*(addresses.of(host, 443) for host in ["one", "two"] * 20))
    assert set(found) == {("192.0.2.1",), ("192.0.2.2",)}
    assert sorted(names.check_requested) == ["one", "two"]


async def test_hanging_lookup_is_shared() -> None:
    """A caller that gives up leaves the lookup running for the next one to join."""
    release = asyncio.Event()
    check_requested = []

    async def hanging(host: str) -> list[str]:
        check_requested.append(host)
        await release.wait()
        return ["192.0.2.7"]

    addresses = make(hanging)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(addresses.of("service", 443), 0.01)
    again = asyncio.create_task(addresses.of("service", 443))
    await asyncio.sleep(0)
    release.set()
    assert await again == ("192.0.2.7",)
    assert check_requested == ["service"]


async def test_system_lookup() -> None:
    """Without a lookup of our own the system's is used."""
    addresses = Addresses(lambda _address, _port: True)
    try:
        assert set(await addresses.of("localhost", 443)) <= {"127.0.0.1", "::1"}
        with pytest.raises(NotConnectedError):
            await addresses.of("a" * 64, 443)
    finally:
        await addresses.close()


def make(lookup: Lookup, named: Callable[..., bool] = lambda _address, _port: False) -> Addresses:
    """Make addresses that are found by a lookup."""
    return Addresses(named, lookup=lookup)
