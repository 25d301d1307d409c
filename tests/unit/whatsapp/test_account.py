"""The list of an account's phone numbers, from responses that may hold anything."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from bek_operator.crd.reasons import Reason
from bek_operator.http.client import HttpxClient
from bek_operator.http.interface import Response
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import parse_url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.cloud.account import MOST_PAGES, ListedNumber, e164, numbers_of
from support.simulators.cloud import WABA, Cloud
from support.simulators.graph_errors import graph_error
from support.simulators.graph_tokens import MANAGEMENT, MESSAGING, Token
from unit.whatsapp.local_client import local_client
from unit.whatsapp.scripted_client import JSON, UNREADABLE, ScriptedClient


def now() -> datetime:
    """Return a fixed time."""
    return datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(name="cloud")
def cloud_fixture() -> Iterator[Cloud]:
    """A Cloud API with more numbers than one page has."""
    with Cloud(f"+1555000{place:04}" for place in range(205)) as running:
        yield running


@pytest.fixture(name="http")
async def http_fixture() -> AsyncIterator[HttpxClient]:
    """The operator's client."""
    client = local_client(5.0)
    yield client
    await client.close()


def account(cloud: Cloud, token: Token, identity: str = WABA, **more: Any) -> CloudEndpoint:
    """Make an account's endpoint."""
    return CloudEndpoint(
        url=parse_url(f"{cloud.origin}/v25.0/{identity}"),
        trust=ServerTrust(ca_bundle=cloud.certificate.authority, server_name="localhost"),
        token=SecretStr(token.text),
        **more,
    )


def scripted(*bodies: object) -> ScriptedClient:
    """Return a client that gets these documents."""
    return ScriptedClient(*(Response(status=200, body=json.dumps(body).encode()) for body in bodies))


async def listed(client: ScriptedClient) -> tuple[ListedNumber, ...] | Failure:
    """Return what a client gets."""
    endpoint = CloudEndpoint(
        url=parse_url("https://graph.facebook.com/v25.0/1"),
        trust=ServerTrust(ca_bundle=None, server_name="graph.facebook.com"),
        token=SecretStr("EAAtoken"),
    )
    return await numbers_of(client, endpoint, now)


async def test_all_pages(cloud: Cloud, http: HttpxClient) -> None:
    """In the API's order; the token is sent in its header only, with the proof where the app has a secret."""
    app = cloud.app(demands_proof=True)
    endpoint = account(cloud, cloud.token(permissions={MANAGEMENT}, app=app), app_secret=SecretStr(app.secret))

    assert await numbers_of(http, endpoint, now) == tuple(
        ListedNumber(identity=one.id, number=one.number) for one in cloud.numbers.values()
    )
    assert (len(cloud.elsewhere.requests), cloud.violations, cloud.oddities) == (3, [], [])


async def test_numbers_that_cannot_be_used(cloud: Cloud, http: HttpxClient) -> None:
    """They are in the list, with what is wrong."""
    elsewhere, odd, plain = (cloud.add(number, waba="7") for number in ("+16660000001", "+16660000002", "+16660000003"))
    elsewhere.platform, odd.display, plain.display = "ON_PREMISE", "call us", "16660000003"

    assert await numbers_of(http, account(cloud, cloud.token(permissions={MANAGEMENT}), "7"), now) == (
        ListedNumber(identity=elsewhere.id, number=elsewhere.number, fault="it is not registered with the Cloud API"),
        ListedNumber(identity=odd.id, fault="its display_phone_number cannot be read"),
        ListedNumber(identity=plain.id, number=plain.number),
    )


@pytest.mark.parametrize(
    ("display", "number"),
    [
        ("+1 555-000-1111", "+15550001111"),
        ("+55 (11) 99999\u20118888", "+5511999998888"),
        ("\u202a+49\u00a0151\u202f2345.6789\u202c", "+4915123456789"),
        ("15550001111", "+15550001111"),
        ("0151 23456789", ""),
        ("+1 555", ""),
        ("++15550001111", ""),
        ("+1555000\u0661\u0661\u0661\u0661", ""),
        ("+1 555-000-1111" + " " * 100, ""),
        ("", ""),
    ],
)
def test_display_numbers(display: str, number: str) -> None:
    """With country code, in ASCII digits."""
    assert e164(display) == number


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (graph_error(10), "whatsapp_business_management"),
        (graph_error(200), "whatsapp_business_management"),
        (graph_error(100), "no WhatsApp Business Account with this id"),
        (graph_error(803), "no WhatsApp Business Account with this id"),
        (graph_error(4), "rate limit is reached; try again later"),
        (graph_error(1), "try again later"),
        (graph_error(2635), "--api-version"),
        (graph_error(190, subcode=463), "the access token has expired"),
    ],
)
async def test_errors(cloud: Cloud, http: HttpxClient, error: Any, words: str) -> None:
    """Those of an account say what a person can do about its list."""
    cloud.fail("other", error)
    found = await numbers_of(http, account(cloud, cloud.token(permissions={MANAGEMENT})), now)

    assert isinstance(found, Failure)
    assert words in found.message
    assert "phoneNumberID" not in found.message


async def test_what_the_api_refuses(cloud: Cloud, http: HttpxClient) -> None:
    """A token without the permission or without the account, and an id of something else."""
    token = cloud.token(permissions={MANAGEMENT})
    for endpoint, words in (
        (account(cloud, cloud.token(permissions={MESSAGING})), "whatsapp_business_management"),
        (account(cloud, cloud.token(permissions={MANAGEMENT}, wabas=["7"])), "whatsapp_business_management"),
        (account(cloud, token, cloud["+15550000001"].id), "must not be the id of a phone number"),
        (account(cloud, token, "99"), "no WhatsApp Business Account"),
        (account(cloud, cloud.token(permissions={MANAGEMENT}, app=cloud.app(demands_proof=True))), "--app-secret"),
    ):
        found = await numbers_of(http, endpoint, now)
        assert isinstance(found, Failure)
        assert words in found.message


async def test_a_token_that_cannot_be_sent() -> None:
    """No request is made."""
    endpoint = CloudEndpoint(
        url=parse_url("https://graph.facebook.com/v25.0/1"),
        trust=ServerTrust(ca_bundle=None, server_name="graph.facebook.com"),
        token=SecretStr("two\nlines"),
    )
    client = scripted({})
    found = await numbers_of(client, endpoint, now)

    assert isinstance(found, Failure)
    assert found.reason is Reason.INVALID_CREDENTIALS
    assert client.requests == []


@pytest.mark.parametrize(
    "paging",
    [{"next": "https://x"}, {"next": "x", "cursors": []}, {"next": "x", "cursors": {"after": ""}},
     {"next": "x", "cursors": {"after": "x" * 1025}}],
)  # fmt: skip
async def test_a_next_page_without_a_cursor_is_a_failure(paging: object) -> None:
    """A part of the list is never taken for all of it."""
    assert isinstance(await listed(scripted({"data": [], "paging": paging})), Failure)


async def test_pages_without_end_are_a_failure() -> None:
    """The URL in `next` is never followed."""
    client = scripted({"data": [], "paging": {"next": "https://evil.example", "cursors": {"after": "again"}}})
    found = await listed(client)

    assert isinstance(found, Failure)
    assert found.message == "the list of phone numbers has more than 20 pages"
    assert len(client.requests) == MOST_PAGES
    assert {request.url.host for request in client.requests} == {"graph.facebook.com"}


@pytest.mark.parametrize("response", UNREADABLE)
async def test_unreadable_responses(response: Response) -> None:
    """They are failures."""
    assert isinstance(await listed(ScriptedClient(response)), Failure)


@given(JSON)
async def test_any_list(item: object) -> None:
    """Whatever is in it, one entry comes out for each."""
    found = await listed(scripted({"data": [item, {"id": "1", "display_phone_number": item, "platform_type": item}]}))
    assert not isinstance(found, Failure)
    assert [bool(one.fault) for one in found] == [True, True]
