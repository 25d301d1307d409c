"""Errors of a provider's own, from the simulator's message to the operator's failure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import parse_url
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.cloud.backend import Cloud
from bek_operator.whatsapp.cloud.provider_errors import class_of_message
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys
from support.builders import NOW
from support.simulators import provider
from support.simulators.in_process import InProcessClient
from support.simulators.provider import Provider

if TYPE_CHECKING:
    from support.simulators.provider import ProviderError

NUMBER = "+15550001111"
TIME, PERSON, BOUNDED = Retry.TRANSIENT, Retry.TERMINAL, Retry.LIMITED

TABLE: list[tuple[ProviderError, Reason, Retry, str]] = [
    (provider.TOO_MANY, Reason.RATE_LIMITED, TIME, "rate limited"),
    (provider.TOO_MANY_AT_ENDPOINT, Reason.RATE_LIMITED, TIME, "rate limited"),
    (provider.DISABLED, Reason.ACCESS_DENIED, PERSON, "has disabled the API for this number"),
    (provider.UNPAID, Reason.ACCESS_DENIED, PERSON, "invoices"),
    (provider.WRONG_KEY, Reason.TOKEN_EXPIRED, PERSON, "rejects the API key"),
    (provider.BLOCKED, Reason.ACCESS_DENIED, PERSON, "blocks whatsapp_business_encryption"),
    (provider.BROKEN, Reason.SERVICE_NOT_READY, TIME, "unavailable"),
    (provider.AWAY, Reason.SERVICE_NOT_READY, TIME, "unavailable"),
    (provider.UNHEARD_OF, Reason.INVALID_ANSWER, BOUNDED, "an undocumented error"),
]


class Setup:
    """A provider without a port, and a backend that calls it."""

    def __init__(self, key: str | None = None) -> None:
        self.provider = Provider([NUMBER])
        self.rate_limiters = RateLimiters()
        self.api = Cloud(InProcessClient(self.provider), self.rate_limiters, lambda: NOW)
        self.endpoint = CloudEndpoint(
            url=parse_url("https://waba.provider.example"),
            trust=ServerTrust(ca_bundle=None, server_name="waba.provider.example"),
            provider=True,
            header="D360-API-KEY",
            token=SecretStr(self.provider.key(NUMBER) if key is None else key),
            source="entry 15550001111 of Secret bsp-keys",
        )

    async def read(self) -> Failure:
        """Return the failure of a read."""
        found = await self.api.read(self.endpoint)
        assert isinstance(found, Failure)
        return found

    async def publish(self) -> Failure:
        """Return the failure of a publish."""
        found = await self.api.publish(self.endpoint, keys.rsa().public)
        assert isinstance(found, Failure)
        return found


@pytest.mark.parametrize(
    ("error", "reason", "retry", "message"), TABLE, ids=[error.message[:30] for error, *_ in TABLE]
)
async def test_reasons(error: ProviderError, reason: Reason, retry: Retry, message: str) -> None:
    """A documented error has its own reason; any other is reported as the provider's undocumented error."""
    setup = Setup()
    setup.provider.fail("any", error, times=2)
    read, published = await setup.read(), await setup.publish()
    assert published.unknown is (error.status >= 500)
    for found in (read, published):
        assert (found.reason, found.retry) == (reason, retry)
        assert message in found.message
        assert found.message.endswith(f" (HTTP {error.status})")
        assert error.message not in found.message


async def test_a_limit_holds_for_the_key() -> None:
    """A rate limit delays all calls with this API key by a minute."""
    setup = Setup()
    setup.provider.fail("read", provider.TOO_MANY)
    found = await setup.read()
    assert (found.pace, found.shared) == (Pace.SLOW, True)
    assert setup.rate_limiters.available_at(setup.endpoint.limiter_key, NOW, urgent=True) == NOW + 60


async def test_the_cloud_api_is_not_a_provider() -> None:
    """A provider's message counts only at a provider."""
    setup = Setup()
    setup.provider.fail("read", provider.DISABLED)
    found = await setup.api.read(CloudEndpoint(**{**members(setup.endpoint), "provider": False}))
    assert isinstance(found, Failure)
    assert found.reason is Reason.INVALID_ANSWER


def members(endpoint: CloudEndpoint) -> dict[str, Any]:
    """Return an endpoint's members."""
    names = ("url", "trust", "header", "token", "source")
    return {name: getattr(endpoint, name) for name in names} | {"token": SecretStr("EAAGtoken")}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"meta": {"developer_message": "Invalid api_key"}}, Reason.TOKEN_EXPIRED),
        ({"meta": {"developerMessage": "INVALID API KEY"}}, Reason.TOKEN_EXPIRED),
        ({"meta": {"developerMessage": "x" * 500 + "Invalid API key"}}, None),
        ({"meta": {"developerMessage": ["Invalid API key"]}}, None),
        ({"meta": {"developerMessage": None, "developer_message": "Invalid API key"}}, Reason.TOKEN_EXPIRED),
        ({"meta": "Invalid API key"}, None),
        ({"developerMessage": "Invalid API key"}, None),
        ({}, None),
    ],
)
def test_messages(document: dict[str, Any], reason: Reason | None) -> None:
    """Messages are searched only where they are documented to be, and only up to a bounded length."""
    found = class_of_message(document)
    assert (found.reason if found else None) is reason


@pytest.mark.parametrize(
    ("key", "flaw"),
    [
        ('"abc"', "the API key is in quotes"),
        ("D360_API_KEY=abc", "the API key begins with a name"),
        ("your-api-key", "the API key is a placeholder"),
        (r"abc\n", "the API key contains a literal"),
    ],
)
async def test_a_key_that_is_refused_says_what_its_text_looks_like(key: str, flaw: str) -> None:
    """An API key may be any text, so it is sent; its flaw is shown once it is refused."""
    setup = Setup(key)
    by_code = await setup.read()
    setup.provider.unauthorised = provider.WRONG_KEY
    for found, shown in ((by_code, "code 190"), (await setup.read(), "HTTP 401")):
        assert found.reason is Reason.TOKEN_EXPIRED
        assert found.message.startswith(f"access denied: {flaw}")
        assert found.message.endswith(f"; correct it in entry 15550001111 of Secret bsp-keys ({shown})")
        assert key not in found.message


async def test_the_shape_of_a_response_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The shape is logged at DEBUG only, and shows none of the texts."""
    setup = Setup()
    setup.provider.fail("read", provider.UNHEARD_OF, times=2)
    caplog.set_level(logging.INFO)
    await setup.read()
    assert not caplog.records
    caplog.set_level(logging.DEBUG)
    await setup.read()
    (logged,) = [vars(record) for record in caplog.records if record.name.startswith("bek_operator")]
    assert logged["shape"].endswith("{meta: {httpCode: int, developerMessage: text(32), success: bool}}")
    assert "moon" not in repr(logged)
