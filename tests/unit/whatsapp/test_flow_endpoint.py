"""Pings through the real HTTP client to a simulated Flow endpoint, with every fault of a server."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bek_operator.crd.reasons import EndpointReason, Reason
from bek_operator.endpoint.judge import Answer
from bek_operator.http.client import HttpxClient, Limits
from bek_operator.http.errors import NotSentError
from bek_operator.http.interface import Response
from bek_operator.http.resolver import Resolver
from bek_operator.http.routes import ProxyRoutes
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.hosts import qualify
from bek_operator.net.proxy import parse_proxy
from bek_operator.net.url import Url, parse_full_url, parse_url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.calls import Call
from bek_operator.whatsapp.flow_endpoint import FlowEndpointClient
from support import keys
from support.simulators import faults
from support.simulators.exchange import Fault, Reply
from support.simulators.flows_endpoint import FlowsEndpoint
from support.tls import self_signed
from unit.http.tunnel import tunnel
from unit.whatsapp.local_client import local_client
from unit.whatsapp.scripted_client import ScriptedClient

PAIR, OTHER = keys.rsa(), keys.rsa("second")
APP_SECRET = "an app secret"
UNREACHABLE, INVALID = EndpointReason.UNREACHABLE, EndpointReason.INVALID_ANSWER


@pytest.fixture(name="simulated")
def simulated_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds one key and wants signatures."""
    with FlowsEndpoint(PAIR, app_secret=APP_SECRET) as simulated:
        yield simulated
        assert simulated.violations == []


def endpoint_of(simulated: FlowsEndpoint, **more: Any) -> FlowEndpoint:
    """Return the endpoint as an object names it."""
    trust = ServerTrust(ca_bundle=simulated.certificate.authority, server_name="flows.example.com")
    members = {"url": parse_full_url(simulated.url), "trust": trust, "app_secret": SecretStr(APP_SECRET), **more}
    return FlowEndpoint(**members)


async def ask(simulated: FlowsEndpoint, pair: keys.KeyPair = PAIR, *, total: float = 5.0, **more: Any) -> Answer:
    """Ping an endpoint."""
    client = FlowEndpointClient(local_client(total))
    try:
        return await client.ping(endpoint_of(simulated, **more), pair.public)
    finally:
        await client.close()


async def test_an_endpoint_that_holds_the_key_opens_the_ping(simulated: FlowsEndpoint) -> None:
    """It is signed as Meta signs it, and nothing else is sent."""
    assert (await ask(simulated)).holds_key
    (ping,) = simulated.pings
    assert (ping.opened, ping.signed, ping.status) == (PAIR.fingerprint, True, 200)


@pytest.mark.parametrize(
    "target", ["/", "/flows/", "/a%20b%2fc/d@e:f;g=h,i!$&()*+~", "/flows?x=%2Fy&z=/?:@%C3%BC", "/flows/?x"]
)
async def test_an_endpoint_is_asked_at_its_url_as_it_is_written(simulated: FlowsEndpoint, target: str) -> None:
    """Meta sends to exactly the registered URL, and servers tell these from each other."""
    simulated.target = target
    assert (await ask(simulated)).holds_key


async def test_a_key_fault_is_told_from_a_fault_of_the_signature(simulated: FlowsEndpoint) -> None:
    """The signature is checked first."""
    assert (await ask(simulated, OTHER)).reason is EndpointReason.LACKS_KEY
    wrong = await ask(simulated, app_secret=SecretStr("another"))
    missing = await ask(simulated, app_secret=None)
    assert {wrong.reason, missing.reason} == {EndpointReason.SIGNATURE_REFUSED}
    assert "the same app secret" in wrong.message
    assert "requires a signature" in missing.message


async def test_an_unsigned_ping_is_enough_for_an_endpoint_that_checks_nothing(simulated: FlowsEndpoint) -> None:
    """As without an app secret."""
    simulated.app_secret = ""
    assert (await ask(simulated, app_secret=None)).holds_key
    assert [ping.signed for ping in simulated.pings] == [False]


@pytest.mark.parametrize(
    ("fault", "reason", "certain"),
    [
        (faults.page(), INVALID, True),
        (faults.page(404), INVALID, True),
        (faults.page(502), UNREACHABLE, False),
        (faults.redirect("https://127.0.0.1:1/"), INVALID, True),
        (faults.CutOff(), UNREACHABLE, False),
        (faults.CutOff(within="head", reset=True), UNREACHABLE, False),
        (faults.Huge(size=200_000), INVALID, True),
        (faults.Endless(), INVALID, True),
        (faults.Endless("headers"), INVALID, True),
        (faults.GzipBomb(size=faults.MEBIBYTE), INVALID, True),
        (faults.Answer(Reply(status=204)), INVALID, True),
        (faults.Hang(), UNREACHABLE, False),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, bool | str) else "",
)
async def test_a_fault_of_the_server_has_its_reason(
    simulated: FlowsEndpoint, fault: Fault, reason: EndpointReason, *, certain: bool
) -> None:
    """Bounded in time and size; no redirect is followed, and nothing of the answer is repeated."""
    simulated.fail(fault)
    found = await ask(simulated, total=1.0)
    assert (found.reason, found.certain) == (reason, certain)
    assert 0 < len(found.message) <= 256
    assert "Welcome" not in found.message


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(503, "900", 900.0), (429, "999999", 3600.0), (503, "soon", None), (404, "900", None)],
)
async def test_a_retry_after_is_understood_within_bounds(
    simulated: FlowsEndpoint, status: int, header: str, seconds: float | None
) -> None:
    """As from other servers: an hour at most, and only where it says that the fault passes."""
    simulated.fail(faults.Answer(Reply(status=status, headers={"Retry-After": header})))
    assert (await ask(simulated)).retry_after == seconds


async def test_a_stopped_endpoint_is_unreachable(simulated: FlowsEndpoint) -> None:
    """Nobody listens."""
    simulated.stop()
    found = await ask(simulated)
    assert (found.reason, found.certain) == (UNREACHABLE, False)


async def test_a_certificate_of_another_authority_is_not_trusted(simulated: FlowsEndpoint) -> None:
    """The message names the field to correct; the endpoint never sees the ping."""
    trust = ServerTrust(ca_bundle=self_signed("flows.example.com").authority, server_name="flows.example.com")
    found = await ask(simulated, trust=trust)
    assert (found.reason, found.certain) == (Reason.CERTIFICATE_NOT_TRUSTED, True)
    assert "`flowsEndpoint.tls.caSecretRef`" in found.message
    named = await ask(simulated, trust=ServerTrust(ca_bundle=simulated.certificate.authority, server_name="other.test"))
    assert "`flowsEndpoint.tls.serverName`" in named.message
    assert simulated.pings == []


async def test_an_address_that_must_not_be_called_is_not_called(simulated: FlowsEndpoint) -> None:
    """A loopback address that the operator's settings do not name."""
    found = await ask(simulated, url=parse_url("https://127.0.0.2"))
    assert (found.reason, found.certain) == (Reason.HOST_NOT_ALLOWED, True)


async def test_what_a_client_must_not_send_is_no_fault_of_the_endpoint(simulated: FlowsEndpoint) -> None:
    """A leader that lost the Lease."""
    client = FlowEndpointClient(ScriptedClient(NotSentError("not the leader")))
    found = await client.ping(endpoint_of(simulated), PAIR.public)
    assert (found.reason, found.certain) == (UNREACHABLE, False)


@pytest.mark.parametrize(("host", "by_proxy"), [("flows.example.com", True), ("flows", False)])
async def test_a_proxy_is_used_for_all_but_services_of_the_cluster(
    simulated: FlowsEndpoint, host: str, *, by_proxy: bool
) -> None:
    """The ping arrives either way; a host without a dot is such a Service."""
    looked_up: list[str] = []

    async def lookup(name: str) -> list[str]:
        looked_up.append(name)
        return ["127.0.0.1"]

    resolver, limits = Resolver(lambda _address, _port: True, lookup=lookup), Limits(total=5.0, connect=5.0)
    url = Url(host=qualify(host, "messaging"), port=simulated.port, path=simulated.target)
    async with tunnel() as proxy:
        proxied = HttpxClient(resolver, limits=limits, proxy=parse_proxy(proxy.url))
        client = FlowEndpointClient(ProxyRoutes(HttpxClient(resolver, limits=limits), proxied))
        answer = await client.ping(endpoint_of(simulated, url=url), PAIR.public)
        await client.close()
    assert answer.holds_key
    assert [ping.opened for ping in simulated.pings] == [PAIR.fingerprint]
    assert proxy.targets == ([f"flows.example.com:{simulated.port}"] if by_proxy else [])
    assert looked_up == ([] if by_proxy else ["flows.messaging.svc"])


async def test_a_ping_is_observed_and_logged_without_what_it_carries(
    simulated: FlowsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Kind, status and duration; no key, no vector, no signature."""
    caplog.set_level(logging.DEBUG)
    observed: list[tuple[str, int | None, Failure | None]] = []

    def observe(call: Call, response: Response | None, failure: Failure | None, seconds: float) -> None:
        assert seconds >= 0
        observed.append((call.kind, response.status if response else None, failure))
        assert "encrypted" not in repr(call)

    simulated.target = "/flows?code=a-password"
    client = FlowEndpointClient(local_client(5.0), observe=observe)
    await client.ping(endpoint_of(simulated), PAIR.public)
    await client.close()
    assert observed == [("ping", 200, None)]
    (record,) = [one for one in caplog.records if one.message == "ping answered"]
    assert record.__dict__["kind"] == "ping"
    assert "sha256=" not in caplog.text
    assert "a-password" not in caplog.text + repr(endpoint_of(simulated))


async def test_a_ping_that_an_endpoint_cannot_open_is_logged_as_answered(
    simulated: FlowsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """It was, and nothing has succeeded."""
    caplog.set_level(logging.DEBUG)
    await ask(simulated, OTHER)
    (record,) = [one for one in caplog.records if one.message == "ping answered"]
    assert record.__dict__["status"] == 421
