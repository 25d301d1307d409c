"""What a whole operator does with unusual responses: the real backend and the simulators, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.whatsapp.backend import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys
from support.builders import PROVIDER_SECRET, TOKEN_SECRET, cloud, provider, spec_body
from support.fakes import now, numbers
from support.simulators import provider as providers
from support.simulators.cloud import Cloud
from support.simulators.graph_errors import GraphError, graph_error
from support.simulators.in_process import InProcessClient
from support.simulators.provider import Provider, ProviderError
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from support.simulators.cloud_number import CloudNumber
    from support.simulators.edge_core import EdgeCore

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OURS, OTHER = keys.rsa(), keys.rsa("second")
COUNT = 20


class Setup(World):
    """Numbers of one object at a simulator."""

    def __init__(self, api: EdgeCore, entry: dict[str, Any], count: int = COUNT) -> None:
        super().__init__()
        self.api = api
        self.api.clock = asyncio.get_running_loop().time
        self.line = InProcessClient(self.api)
        rate_limiters = RateLimiters()
        speaker = CloudBackend(self.line, rate_limiters, now)
        self.backend = self.limits = Backends(self.phones, speaker, rate_limiters, per_host=8)
        listed = [{"phoneNumber": one, "phoneNumberID": self.api[one].id} for one in numbers(count)]
        self.ref = self.objects.create(wanted=spec_body(apis=[entry], phoneNumbers=listed))

    @property
    def first(self) -> CloudNumber:
        """Return the first number."""
        return self.api[numbers(1)[0]]

    @property
    def row(self) -> dict[str, Any]:
        """Return the status row of the first number."""
        rows = self.objects.status(self.ref).get("phoneNumbers") or [{}]
        return dict(rows[0])

    @property
    def message(self) -> str:
        """Return the message of the Ready condition."""
        (ready,) = [one for one in self.objects.status(self.ref)["conditions"] if one["type"] == "Ready"]
        return str(ready["message"])

    @property
    def publishes(self) -> int:
        """Return how many publishes were tried."""
        return sum(method == "POST" for _, method, _ in self.line.calls)


def meta(count: int = COUNT, token: str | None = None) -> Setup:
    """Return numbers at the Cloud API."""
    api = Cloud(numbers(count))
    setup = Setup(api, cloud(), count)
    setup.secrets.put(TOKEN_SECRET, token=api.token().text if token is None else token)
    return setup


def bsp(count: int = COUNT) -> Setup:
    """Return numbers at a provider."""
    api = Provider(numbers(count))
    setup = Setup(api, provider(url="https://bsp"), count)
    setup.secrets.put(PROVIDER_SECRET, **{one[1:]: api.key(one) for one in numbers(count)})
    return setup


@pytest.mark.parametrize(
    "error",
    [graph_error(code) for code in (80007, 80008, 80000, 80014)]
    + [graph_error(4711, subcode=2446079), graph_error(4711)],
    ids=["80007", "80008", "80000", "80014", "the subcode of limits", "usage headers only"],
)
@virtual_time
async def test_every_rate_limit_of_a_business_account(error: GraphError) -> None:
    """Whatever its code: few calls, no publish that counts, and no user action needed."""
    setup = meta()
    limit = setup.api.limit(1, error=error, shown=error == graph_error(4711))
    async with setup.operator():
        await asyncio.sleep(150)
        assert setup.row["reason"] == "RateLimited"
        assert "rate limited; retrying" in setup.message
        assert len(setup.line.calls) <= COUNT
        assert setup.row.get("publishes", 0) == 0
        limit.calls_per_hour = 1000
        await setup.until_ready(setup.ref, 2 * HOUR)
    assert [len(one.published) for one in setup.api.numbers.values()] == [1] * COUNT


@virtual_time
async def test_a_rate_limited_publish_does_not_count() -> None:
    """Three of them do not start the publish back-off: the key is published as soon as the limit is over."""
    setup = meta(1)
    setup.first.fail("publish", graph_error(80008), times=3)
    async with setup.operator():
        await until(lambda: setup.publishes == 3, HOUR)
        assert (setup.row["reason"], setup.row.get("publishes", 0)) == ("RateLimited", 0)
        await setup.until_ready(setup.ref, HOUR / 2)
    assert setup.row["publishes"] == 1


@virtual_time
async def test_an_undocumented_transient_error_needs_no_user() -> None:
    """An undocumented transient error may be a rate limit."""
    setup = meta(1)
    setup.first.fail("publish", graph_error(4711, transient=True), times=6)
    async with setup.operator():
        await asyncio.sleep(10 * MINUTE)
        assert setup.publishes <= 6
        assert (setup.row["reason"], setup.row.get("publishes", 0)) == ("ServiceNotReady", 0)
        assert [one["type"] for one in setup.objects.status(setup.ref)["conditions"]] == ["Ready", "Reconciling"]
        await setup.until_ready(setup.ref, 3 * HOUR)


@virtual_time
async def test_an_undocumented_error_does_not_blame_the_key() -> None:
    """It does not count as a publish, and its message does not blame the key unless the error mentions it."""
    setup = meta(1)
    setup.first.fail("publish", graph_error(4711), times=5)
    async with setup.operator():
        await until(lambda: setup.publishes == 5, MINUTE)
        await asyncio.sleep(5)
        assert (setup.row["reason"], setup.row.get("publishes", 0)) == ("InvalidAnswer", 0)
        assert "key" not in setup.message
        assert "(HTTP 400, code 4711)" in setup.message
        await setup.until_ready(setup.ref, 2 * HOUR)
        setup.first.lose_key()
        setup.first.fail("publish", graph_error(4711, "Param business_public_key is bad"))
        setup.objects.request_check(setup.ref, "1")
        await until(lambda: setup.row["reason"] == "KeyRejected", MINUTE)


@pytest.mark.parametrize("make", [meta, bsp], ids=["Cloud", "Provider"])
@pytest.mark.parametrize("text", [None, " ", "YOUR_PUBLIC_KEY", OTHER.public[:100] + OTHER.public[101:]])
@virtual_time
async def test_nothing_is_published_over_valid_without_a_key(make: Any, text: str | None) -> None:
    """A response that contradicts itself is not used, and the message says so."""
    setup = make(1)
    setup.first.hold(text, valid=True)
    async with setup.operator():
        await asyncio.sleep(DAY)
        assert setup.publishes == 0
        assert setup.row["reason"] == "InvalidAnswer"
        assert "reports VALID without a readable key, so nothing is published" in setup.message
        setup.first.hold(OTHER.public, valid=True)
        await setup.until_ready(setup.ref, 2 * HOUR)
    assert setup.publishes == 1


@pytest.mark.parametrize("make", [meta, bsp], ids=["Cloud", "Provider"])
@pytest.mark.parametrize("text", ["YOUR_PUBLIC_KEY", OURS.public[:100] + OURS.public[101:]])
@virtual_time
async def test_a_text_that_is_no_key_is_replaced(make: Any, text: str) -> None:
    """A number whose key is a damaged text lacks our key, as one with a foreign key does."""
    setup = make(1)
    setup.first.hold(text, valid=False)
    async with setup.operator():
        await setup.until_ready(setup.ref, 10)
        assert (setup.publishes, setup.first.holds(OURS.public)) == (1, True)


@virtual_time
async def test_a_text_that_comes_back_meets_the_back_off() -> None:
    """A writer that puts it back again and again meets the same publish back-off."""
    setup = meta(1)
    setup.first.hold("YOUR_PUBLIC_KEY", valid=False)
    setup.first.wrap = lambda _key: "YOUR_PUBLIC_KEY"
    setup.first.reads_until_valid = None
    async with setup.operator():
        await asyncio.sleep(HOUR)
        assert (setup.publishes, setup.row["reason"]) == (3, "Contended")
        await asyncio.sleep(DAY)
        assert setup.publishes <= 8


@pytest.mark.parametrize(
    ("error", "reason", "stalled", "message"),
    [
        (providers.TOO_MANY, "RateLimited", False, "rate limited"),
        (providers.DISABLED, "AccessDenied", True, "has disabled the API for this number"),
        (providers.UNPAID, "AccessDenied", True, "invoices"),
        (providers.BLOCKED, "AccessDenied", True, "blocks whatsapp_business_encryption"),
        (providers.WRONG_KEY, "TokenExpired", True, "rejects the API key"),
        (providers.UNHEARD_OF, "InvalidAnswer", True, "the provider returned an undocumented error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@virtual_time
async def test_a_providers_own_errors(
    error: ProviderError,
    reason: str,
    stalled: bool,  # noqa: FBT001 - a table's column
    message: str,
) -> None:
    """The status shows a provider's documented errors, and that others are undocumented."""
    setup = bsp(1)
    setup.first.fail("read", error, times=None)
    async with setup.operator():
        await asyncio.sleep(2 * MINUTE)
        assert (setup.row["reason"], message in setup.message) == (reason, True)
        assert f"(HTTP {error.status})" in setup.message
        kinds = {one["type"] for one in setup.objects.status(setup.ref)["conditions"]}
        assert kinds == {"Ready", "Stalled" if stalled else "Reconciling"}
        if reason == "RateLimited":
            assert len(setup.line.calls) <= 4
        setup.first.heal()
        await setup.until_ready(setup.ref, 2 * HOUR)


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ('"{token}"', "InvalidCredentials", "is in quotes"),
        ("META_TOKEN={token}", "InvalidCredentials", "begins with a name and an equals sign"),
        ("Bearer {token}", "InvalidCredentials", "begins with the word Bearer"),
        ("<token>", "InvalidCredentials", "is a placeholder"),
        ("YOUR_TOKEN", "InvalidCredentials", "is a placeholder"),
        ("changeme", "InvalidCredentials", "is a placeholder"),
        ("{token}\\n", "InvalidCredentials", "contains a literal \\n, \\r or \\t"),
        ("106540350000001", "TokenExpired", "does not begin with EA, as access tokens of Meta do"),
    ],
)
@virtual_time
async def test_flaw_of_a_token(text: str, reason: str, message: str) -> None:
    """A certain flaw is reported before any call; the text is shown nowhere, and a correct token heals the object."""
    setup = meta(1, token="")
    assert isinstance(setup.api, Cloud)
    token = setup.api.token().text
    written = text.replace("{token}", token)
    setup.secrets.put(TOKEN_SECRET, token=written)
    async with setup.operator():
        await until(lambda: setup.row.get("reason") == reason, 30)
        assert message in setup.message
        assert f"Secret {TOKEN_SECRET}" in setup.message
        assert "generate" not in setup.message
        assert bool(setup.line.calls) == (reason == "TokenExpired")
        assert written not in str(setup.objects.status(setup.ref))
        assert written not in str(setup.events.posted)
        setup.secrets.put(TOKEN_SECRET, token=token)
        await setup.until_ready(setup.ref, 30)
