"""Errors of a provider's own, from the simulator's words to what the operator makes of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.hosts import parse_url
from bek_operator.numbers.answers import Failure, Pace, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.cloud.backend import Cloud
from bek_operator.whatsapp.cloud.provider_errors import meaning_of_words
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys, provider
from support.builders import NOW
from support.line import Line
from support.provider import Provider

if TYPE_CHECKING:
    from support.provider import ProviderError

NUMBER = "+15550001111"
TIME, PERSON, BOUNDED = Retry.TRANSIENT, Retry.TERMINAL, Retry.LIMITED

TABLE: list[tuple[ProviderError, Reason, Retry, str]] = [
    (provider.TOO_MANY, Reason.RATE_LIMITED, TIME, "fewer requests"),
    (provider.TOO_MANY_AT_ENDPOINT, Reason.RATE_LIMITED, TIME, "fewer requests"),
    (provider.DISABLED, Reason.ACCESS_DENIED, PERSON, "has disabled the API for this number"),
    (provider.UNPAID, Reason.ACCESS_DENIED, PERSON, "invoices"),
    (provider.WRONG_KEY, Reason.TOKEN_EXPIRED, PERSON, "refuses the API key"),
    (provider.BLOCKED, Reason.ACCESS_DENIED, PERSON, "blocks whatsapp_business_encryption"),
    (provider.BROKEN, Reason.SERVICE_NOT_READY, TIME, "not ready"),
    (provider.AWAY, Reason.SERVICE_NOT_READY, TIME, "not ready"),
    (provider.UNHEARD_OF, Reason.INVALID_ANSWER, BOUNDED, "an error of its own"),
]


class Stand:
    """A provider without a port, and a backend that calls it."""

    def __init__(self, key: str | None = None) -> None:
        self.provider = Provider([NUMBER])
        self.rate_limiters = RateLimiters()
        self.api = Cloud(Line(self.provider), self.rate_limiters, lambda: NOW)
        self.endpoint = CloudEndpoint(
            url=parse_url("https://waba.provider.example"),
            trust=Trust(ca_bundle=None, server_name="waba.provider.example"),
            provider=True,
            header="D360-API-KEY",
            token=SecretStr(self.provider.key(NUMBER) if key is None else key),
            source="entry 15550001111 of Secret bsp-keys",
        )

    async def read(self) -> Failure:
        """Read, and fail."""
        found = await self.api.read(self.endpoint)
        assert isinstance(found, Failure)
        return found

    async def publish(self) -> Failure:
        """Publish, and fail."""
        found = await self.api.publish(self.endpoint, keys.rsa().public)
        assert isinstance(found, Failure)
        return found


@pytest.mark.parametrize(
    ("error", "reason", "retry", "message"), TABLE, ids=[error.message[:30] for error, *_ in TABLE]
)
async def test_told_apart(error: ProviderError, reason: Reason, retry: Retry, message: str) -> None:
    """What is documented has the reason that it should have; what is not is said to be the provider's."""
    stand = Stand()
    stand.provider.fail("any", error, times=2)
    check_requested, published = await stand.read(), await stand.publish()
    assert published.unknown is (error.status >= 500)
    for found in (check_requested, published):
        assert (found.reason, found.retry) == (reason, retry)
        assert message in found.message
        assert found.message.endswith(f" (HTTP {error.status})")
        assert error.message not in found.message


async def test_a_limit_holds_for_the_key() -> None:
    """Nobody else with this API key calls before a minute is over."""
    stand = Stand()
    stand.provider.fail("read", provider.TOO_MANY)
    found = await stand.read()
    assert (found.pace, found.shared) == (Pace.SLOW, True)
    assert stand.rate_limiters.available_at(stand.endpoint.limiter_key, NOW, urgent=True) == NOW + 60


async def test_the_cloud_api_is_not_a_provider() -> None:
    """Words of a provider mean nothing where none is called."""
    stand = Stand()
    stand.provider.fail("read", provider.DISABLED)
    found = await stand.api.read(CloudEndpoint(**{**members(stand.endpoint), "provider": False}))
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
def test_words(document: dict[str, Any], reason: Reason | None) -> None:
    """They are looked for where they are documented to be, in a text of bounded length."""
    found = meaning_of_words(document)
    assert (found.reason if found else None) is reason


@pytest.mark.parametrize(
    ("key", "flaw"),
    [
        ('"abc"', "the API key is in quotes"),
        ("D360_API_KEY=abc", "the API key begins with a name"),
        ("your-api-key", "the API key is a placeholder"),
        (r"abc\n", "the API key has a backslash"),
    ],
)
async def test_a_key_that_is_refused_says_what_its_text_looks_like(key: str, flaw: str) -> None:
    """It may be any text, so it is sent; once it is refused, what it looks like is told."""
    stand = Stand(key)
    by_code = await stand.read()
    stand.provider.unauthorised = provider.WRONG_KEY
    for found, shown in ((by_code, "code 190"), (await stand.read(), "HTTP 401")):
        assert found.reason is Reason.TOKEN_EXPIRED
        assert found.message.startswith(f"access denied: {flaw}")
        assert found.message.endswith(f"; correct it in entry 15550001111 of Secret bsp-keys ({shown})")
        assert key not in found.message


async def test_the_form_of_an_answer_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Without any of its words, and for whoever asked for all there is."""
    stand = Stand()
    stand.provider.fail("read", provider.UNHEARD_OF, times=2)
    caplog.set_level(logging.INFO)
    await stand.read()
    assert not caplog.records
    caplog.set_level(logging.DEBUG)
    await stand.read()
    (told,) = [vars(record) for record in caplog.records if record.name.startswith("bek_operator")]
    assert told["form"].endswith("{meta: {httpCode: int, developerMessage: text(32), success: bool}}")
    assert "moon" not in repr(told)
