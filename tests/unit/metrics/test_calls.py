"""Metrics of calls: to WhatsApp's APIs by the real backends, and to the API server by the real client."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import unused_port

from bek_operator.cluster.errors import ClusterError, Unavailable
from bek_operator.http.errors import BrokenOffError, HttpError, NotConnectedError
from bek_operator.http.interface import HttpClient, Request, Response
from bek_operator.metrics import apis
from bek_operator.metrics.metrics import Metrics
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.on_premises.backend import OnPremises
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys
from support.builders import PROVIDER_SECRET, TOKEN_SECRET, cloud, endpoint, provider, spec_body
from support.fakes import now, numbers
from support.scrape import Scrape, measured, scrape
from support.simulators.cloud import Cloud
from support.simulators.edge_core import EdgeCore
from support.simulators.in_process import InProcessClient
from support.simulators.provider import Provider
from support.simulators.small_server import api_server, body, client_of
from support.virtual_time import virtual_time
from support.world import World
from unit.whatsapp.scripted_client import ScriptedClient, ok


class Away(HttpClient):
    """A network on which nobody can be reached."""

    async def send(self, request: Request) -> Response:
        """Fail."""
        del request
        raise NotConnectedError("refused")

    async def close(self) -> None:
        """Do nothing."""


class Setup(World):
    """One object with two numbers at a simulator, and an operator that is measured."""

    def __init__(self, api: EdgeCore, *, is_provider: bool = False) -> None:
        super().__init__()
        self.api, self.metrics = api, Metrics(now)
        api.clock = asyncio.get_running_loop().time
        limiters = RateLimiters()
        self.metrics.apis.watch_usage(lambda: limiters.usage(now()))
        backend = CloudBackend(InProcessClient(api), limiters, now, observe=self.metrics.apis.calls(apis.CLOUD))
        self.backend = self.limits = Backends(self.phones, backend, limiters, per_host=8)
        measured(self, self.metrics)
        entry = provider(url="https://bsp") if is_provider else cloud()
        listed = [{"phoneNumber": one, "phoneNumberID": api[one].id} for one in numbers(2)]
        self.ref = self.objects.create(wanted=spec_body(apis=[entry], phoneNumbers=listed))

    def scrape(self) -> Scrape:
        """Return what is shown now."""
        return scrape(self.metrics.registry)


@virtual_time
async def test_calls_to_the_cloud_api() -> None:
    """By operation, status and reason; how much of the limit is used; no token and no number."""
    api = Cloud(numbers(2))
    setup = Setup(api)
    token = api.token().text
    setup.secrets.put(TOKEN_SECRET, token=token)
    limit = api.limit(20, shown=True)
    async with setup.operator():
        await setup.until_ready(setup.ref)
        found = setup.scrape()
        reads = found.value("bek_api_requests_total", api="Cloud", operation="read", code_class="2xx", error="none")
        assert reads is not None
        assert reads >= 4
        published = {"api": "Cloud", "operation": "publish"}
        assert found.value("bek_api_requests_total", code_class="2xx", error="none", **published) == 2
        assert found.value("bek_api_request_duration_seconds_count", **published) == 2
        assert found.values("bek_publishes_total", "result", api="Cloud") == {"accepted": 2}
        assert 0.2 <= (found.value("bek_api_usage_ratio") or 0) < 1
        limit.calls_per_hour = 1
        setup.objects.request_check(setup.ref, "1")
        await asyncio.sleep(60)
        found = setup.scrape()
        refused = {"api": "Cloud", "operation": "read", "code_class": "4xx", "error": "RateLimited"}
        assert found.value("bek_api_requests_total", **refused)
        assert found.value("bek_api_usage_ratio") == 1
    assert token not in found.text
    assert not any(one[1:] in found.text or api[one].id in found.text for one in numbers(2))
    assert "graph.facebook" not in found.text


@virtual_time
async def test_calls_to_a_provider() -> None:
    """They are told from those to Meta."""
    api = Provider(numbers(2))
    setup = Setup(api, is_provider=True)
    setup.secrets.put(PROVIDER_SECRET, **{one[1:]: api.key(one) for one in numbers(2)})
    async with setup.operator():
        await setup.until_ready(setup.ref)
        found = setup.scrape()
    assert found.values("bek_publishes_total", "api") == {"Provider": 2}
    assert set(found.values("bek_api_request_duration_seconds_count", "operation", api="Cloud")) == set()
    assert found.values("bek_api_requests_total", "api", operation="publish", error="none") == {"Provider": 2}
    assert found.value("bek_api_usage_ratio") is None
    assert not any(api.key(one) in found.text for one in numbers(2))


async def test_calls_without_a_response() -> None:
    """They have no status; a login is an operation of its own."""
    metrics = Metrics(lambda: 0.0)
    backend = OnPremises(Away(), observe=metrics.apis.calls(apis.ON_PREMISES))
    await backend.read(endpoint())
    found = scrape(metrics.registry)
    labels = {"api": "OnPremises", "operation": "login", "code_class": "none", "error": "Unreachable"}
    assert found.value("bek_api_requests_total", **labels) == 1
    assert found.value("bek_api_request_duration_seconds_count", api="OnPremises", operation="login") == 1


REFUSED, LOGIN = Response(status=400), ok({"users": [{"token": "t"}]})
BROKEN_OFF = BrokenOffError("it broke", sent=True)


@pytest.mark.parametrize(
    ("login", "answer", "result"),
    [
        (LOGIN, ok({"meta": {"version": "v2.53.3"}}), "accepted"),
        (LOGIN, REFUSED, "refused"),
        (LOGIN, BROKEN_OFF, "unknown"),
        (LOGIN, NotConnectedError("refused"), "not_sent"),
        (NotConnectedError("refused"), ok({}), "not_sent"),
        (BROKEN_OFF, ok({}), "not_sent"),
        (Response(status=401), ok({}), "not_sent"),
    ],
)
async def test_what_became_of_a_publish(login: Response | HttpError, answer: Response | HttpError, result: str) -> None:
    """One that was never sent, because there was no connection or no login, was not refused by the API."""
    metrics = Metrics(lambda: 0.0)
    client = ScriptedClient(answer, login=login)
    backend = Backends(OnPremises(client), CloudBackend(client, RateLimiters(), now), RateLimiters(), per_host=8)
    await metrics.apis.backend(backend).publish(endpoint(), keys.rsa().public)
    assert scrape(metrics.registry).values("bek_publishes_total", "result", api="OnPremises") == {result: 1}


async def test_a_token_that_cannot_be_sent_sends_no_publish() -> None:
    """It does not come to a request."""
    metrics = Metrics(lambda: 0.0)
    client = ScriptedClient(REFUSED)
    there = CloudEndpoint(url=endpoint().url, trust=endpoint().trust, token=SecretStr("two words"))
    backend = Backends(OnPremises(client), CloudBackend(client, RateLimiters(), now), RateLimiters(), per_host=8)
    await metrics.apis.backend(backend).publish(there, keys.rsa().public)
    assert scrape(metrics.registry).values("bek_publishes_total", "result", api="Cloud") == {"not_sent": 1}
    assert client.requests == []


async def test_requests_to_the_api_server() -> None:
    """By status, method and host."""
    metrics = Metrics(lambda: 0.0)
    async with api_server(middlewares=[metrics.cluster.request]) as (server, client):
        server.answers = [body({}), body({}), body({}, 409)]
        await client.request("GET", "/a")
        await client.request("GET", "/b")
        with pytest.raises(ClusterError):
            await client.request("PUT", "/c", body={})
    async with client_of(f"http://127.0.0.1:{unused_port()}", [metrics.cluster.request]) as client:
        with pytest.raises(Unavailable):
            await client.request("GET", "/d")
    found = scrape(metrics.registry)
    assert found.values("rest_client_requests_total", "code", method="GET") == {"200": 2, "<error>": 1}
    assert found.values("rest_client_requests_total", "code", method="PUT") == {"409": 1}
    (host,) = found.values("rest_client_requests_total", "host", method="PUT")
    assert host.startswith("127.0.0.1:")


def test_whether_the_process_leads() -> None:
    """Absent until it is known."""
    metrics = Metrics(lambda: 0.0)
    assert scrape(metrics.registry).value("leader_election_master_status") is None
    leads = [True]
    metrics.process.watch_leader("bek-operator", lambda: leads[0])
    assert scrape(metrics.registry).value("leader_election_master_status", name="bek-operator") == 1
    leads[0] = False
    assert scrape(metrics.registry).value("leader_election_master_status", name="bek-operator") == 0
