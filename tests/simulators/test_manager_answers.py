"""What a whole operator makes of answers that are odd: the real backend and the simulators, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.whatsapp.backends import Backends
from bek_operator.whatsapp.cloud.backend import Cloud as CloudBackend
from bek_operator.whatsapp.ratelimit.limiter import RateLimiters
from support import keys
from support import provider as providers
from support.builders import PROVIDER_SECRET, TOKEN_SECRET, cloud, provider, spec_body
from support.cloud import Cloud
from support.fakes import now, numbers
from support.graph_errors import GraphError, graph_error
from support.line import Line
from support.provider import Provider, ProviderError
from support.virtual_time import until, virtual_time
from support.world import World

if TYPE_CHECKING:
    from support.cloud_number import CloudNumber
    from support.edge_core import EdgeCore

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OURS, OTHER = keys.rsa(), keys.rsa("second")
COUNT = 20


class Street(World):
    """Numbers of one object at a simulator."""

    def __init__(self, api: EdgeCore, entry: dict[str, Any], count: int = COUNT) -> None:
        super().__init__()
        self.api = api
        self.api.clock = asyncio.get_running_loop().time
        self.line = Line(self.api)
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
        """Return what the status says of the first number."""
        rows = self.objects.status(self.ref).get("phoneNumbers") or [{}]
        return dict(rows[0])

    @property
    def message(self) -> str:
        """Return what Ready says."""
        (ready,) = [one for one in self.objects.status(self.ref)["conditions"] if one["type"] == "Ready"]
        return str(ready["message"])

    @property
    def publishes(self) -> int:
        """Return how many publishes were tried."""
        return sum(method == "POST" for _, method, _ in self.line.calls)


def meta(count: int = COUNT, token: str | None = None) -> Street:
    """Make numbers at the Cloud API."""
    api = Cloud(numbers(count))
    street = Street(api, cloud(), count)
    street.secrets.put(TOKEN_SECRET, token=api.token().text if token is None else token)
    return street


def bsp(count: int = COUNT) -> Street:
    """Make numbers at a provider."""
    api = Provider(numbers(count))
    street = Street(api, provider(url="https://bsp"), count)
    street.secrets.put(PROVIDER_SECRET, **{one[1:]: api.key(one) for one in numbers(count)})
    return street


@pytest.mark.parametrize(
    "error",
    [graph_error(code) for code in (80007, 80008, 80000, 80014)]
    + [graph_error(4711, subcode=2446079), graph_error(4711)],
    ids=["80007", "80008", "80000", "80014", "the subcode of limits", "told by usage alone"],
)
@virtual_time
async def test_every_limit_of_a_business_account_is_met_alike(error: GraphError) -> None:
    """Whatever its code: few calls, no publish that counts, and nobody who has to act."""
    street = meta()
    limit = street.api.limit(1, error=error, shown=error == graph_error(4711))
    async with street.operator():
        await asyncio.sleep(150)
        assert street.row["reason"] == "RateLimited"
        assert "asks for fewer requests" in street.message
        assert len(street.line.calls) <= COUNT
        assert street.row.get("publishes", 0) == 0
        limit.calls_per_hour = 1000
        await street.until_ready(street.ref, 2 * HOUR)
    assert [len(one.published) for one in street.api.numbers.values()] == [1] * COUNT


@virtual_time
async def test_a_publish_that_meets_a_limit_is_no_publish() -> None:
    """Three of them hold nothing back: the key is there as soon as the limit is over."""
    street = meta(1)
    street.first.fail("publish", graph_error(80008), times=3)
    async with street.operator():
        await until(lambda: street.publishes == 3, HOUR)
        assert (street.row["reason"], street.row.get("publishes", 0)) == ("RateLimited", 0)
        await street.until_ready(street.ref, HOUR / 2)
    assert street.row["publishes"] == 1


@virtual_time
async def test_a_transient_error_that_nobody_knows_is_nobodys_to_mend() -> None:
    """It says that it will pass, and may be one more limit."""
    street = meta(1)
    street.first.fail("publish", graph_error(4711, transient=True), times=6)
    async with street.operator():
        await asyncio.sleep(10 * MINUTE)
        assert street.publishes <= 6
        assert (street.row["reason"], street.row.get("publishes", 0)) == ("ServiceNotReady", 0)
        assert [one["type"] for one in street.objects.status(street.ref)["conditions"]] == ["Ready", "Reconciling"]
        await street.until_ready(street.ref, 3 * HOUR)


@virtual_time
async def test_an_unknown_error_is_no_evidence_against_the_key() -> None:
    """It counts for nothing, and no word of it is of the key; where it names the key, it is KeyRejected."""
    street = meta(1)
    street.first.fail("publish", graph_error(4711), times=5)
    async with street.operator():
        await until(lambda: street.publishes == 5, MINUTE)
        await asyncio.sleep(5)
        assert (street.row["reason"], street.row.get("publishes", 0)) == ("InvalidAnswer", 0)
        assert "key" not in street.message
        assert "(HTTP 400, code 4711)" in street.message
        await street.until_ready(street.ref, 2 * HOUR)
        street.first.lose_key()
        street.first.fail("publish", graph_error(4711, "Param business_public_key is bad"))
        street.objects.request_check(street.ref, "1")
        await until(lambda: street.row["reason"] == "KeyRejected", MINUTE)


@pytest.mark.parametrize("make", [meta, bsp], ids=["Cloud", "Provider"])
@pytest.mark.parametrize("text", [None, " ", "YOUR_PUBLIC_KEY", OTHER.public.replace("+", " ")])
@virtual_time
async def test_valid_without_a_key_is_published_over_never(make: Any, text: str | None) -> None:
    """An answer whose members contradict each other was not understood, and says so."""
    street = make(1)
    street.first.hold(text, valid=True)
    async with street.operator():
        await asyncio.sleep(DAY)
        assert street.publishes == 0
        assert street.row["reason"] == "InvalidAnswer"
        assert "says VALID and shows no key that can be read, so nothing is published" in street.message
        street.first.hold(OTHER.public, valid=True)
        await street.until_ready(street.ref, 2 * HOUR)
    assert street.publishes == 1


@pytest.mark.parametrize("make", [meta, bsp], ids=["Cloud", "Provider"])
@pytest.mark.parametrize("text", ["YOUR_PUBLIC_KEY", OURS.public.replace("+", " ")])
@virtual_time
async def test_a_text_that_is_no_key_is_replaced(make: Any, text: str) -> None:
    """The API's own answer says MISMATCH of it: the number lacks our key, as one with somebody else's does."""
    street = make(1)
    street.first.hold(text, valid=False)
    async with street.operator():
        await street.until_ready(street.ref, 10)
        assert (street.publishes, street.first.holds(OURS.public)) == (1, True)


@virtual_time
async def test_a_text_that_comes_back_is_fought_no_longer_than_a_key() -> None:
    """Whoever puts it there again and again meets the same back-off."""
    street = meta(1)
    street.first.hold("YOUR_PUBLIC_KEY", valid=False)
    street.first.wrap = lambda _key: "YOUR_PUBLIC_KEY"
    street.first.reads_until_valid = None
    async with street.operator():
        await asyncio.sleep(HOUR)
        assert (street.publishes, street.row["reason"]) == (3, "Contended")
        await asyncio.sleep(DAY)
        assert street.publishes <= 8


@pytest.mark.parametrize(
    ("error", "reason", "stalled", "message"),
    [
        (providers.TOO_MANY, "RateLimited", False, "fewer requests"),
        (providers.DISABLED, "AccessDenied", True, "has disabled the API for this number"),
        (providers.UNPAID, "AccessDenied", True, "invoices"),
        (providers.BLOCKED, "AccessDenied", True, "blocks whatsapp_business_encryption"),
        (providers.WRONG_KEY, "TokenExpired", True, "refuses the API key"),
        (providers.UNHEARD_OF, "InvalidAnswer", True, "the provider refuses with an error of its own"),
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
    """The status says what the provider documents of them, and of others that they are its own."""
    street = bsp(1)
    street.first.fail("read", error, times=None)
    async with street.operator():
        await asyncio.sleep(2 * MINUTE)
        assert (street.row["reason"], message in street.message) == (reason, True)
        assert f"(HTTP {error.status})" in street.message
        kinds = {one["type"] for one in street.objects.status(street.ref)["conditions"]}
        assert kinds == {"Ready", "Stalled" if stalled else "Reconciling"}
        if reason == "RateLimited":
            assert len(street.line.calls) <= 4
        street.first.heal()
        await street.until_ready(street.ref, 2 * HOUR)


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ('"{token}"', "InvalidCredentials", "is in quotes"),
        ("META_TOKEN={token}", "InvalidCredentials", "begins with a name and an equals sign"),
        ("Bearer {token}", "InvalidCredentials", "begins with the word Bearer"),
        ("<token>", "InvalidCredentials", "is a placeholder"),
        ("YOUR_TOKEN", "InvalidCredentials", "is a placeholder"),
        ("changeme", "InvalidCredentials", "is a placeholder"),
        ("{token}\\n", "InvalidCredentials", "has a backslash and a letter for a line break or tab in it"),
        ("106540350000001", "TokenExpired", "does not begin with EA, as those of Meta do"),
    ],
)
@virtual_time
async def test_a_token_that_is_none_says_what_it_looks_like(text: str, reason: str, message: str) -> None:
    """Before any call where that is certain; the text is shown nowhere, and the token bare is all that is needed."""
    street = meta(1, token="")
    assert isinstance(street.api, Cloud)
    token = street.api.token().text
    written = text.replace("{token}", token)
    street.secrets.put(TOKEN_SECRET, token=written)
    async with street.operator():
        await until(lambda: street.row.get("reason") == reason, 30)
        assert message in street.message
        assert f"Secret {TOKEN_SECRET}" in street.message
        assert "generate" not in street.message
        assert bool(street.line.calls) == (reason == "TokenExpired")
        assert written not in str(street.objects.status(street.ref))
        assert written not in str(street.events.posted)
        street.secrets.put(TOKEN_SECRET, token=token)
        await street.until_ready(street.ref, 30)
