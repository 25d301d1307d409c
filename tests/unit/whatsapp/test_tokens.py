"""Login tokens are shared by those who may share them, for as long as they are good."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.net.ca_bundle import Trust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.on_premises.tokens import (
    LONGEST_LIFE,
    UNTOLD_LIFE,
    Grant,
    Login,
    Tokens,
    life_until,
    token_from,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENDPOINT = OnPremisesEndpoint(
    url=Url(host="whatsapp.messaging.svc", port=443, path=""),
    trust=Trust(ca_bundle=None, server_name="whatsapp"),
    username="flows",
    password=SecretStr("Correct-Horse-7"),
)
DENIED = Failure(reason=Reason.ACCESS_DENIED, message="no")


class Desk:
    """Where one logs in, with a clock; tokens are numbered."""

    def __init__(self, *outcomes: Login | Failure, life: float = 1000.0) -> None:
        self.now = 0.0
        self.logins: list[OnPremisesEndpoint] = []
        self.open = asyncio.Event()
        self.open.set()
        self.tokens = Tokens(clock=lambda: self.now)
        self._outcomes = list(outcomes)
        self._life = life

    async def log_in(self, endpoint: OnPremisesEndpoint) -> Login | Failure:
        """Log in once the desk is open."""
        self.logins.append(endpoint)
        await self.open.wait()
        if self._outcomes:
            return self._outcomes.pop(0)
        return Login(SecretStr(f"token {len(self.logins)}"), self._life)

    async def grant(self, endpoint: OnPremisesEndpoint = ENDPOINT) -> tuple[str, bool] | Failure:
        """Ask for a token and look at it."""
        found = await self.tokens.grant(endpoint, self.log_in)
        return (found.token.reveal(), found.fresh) if isinstance(found, Grant) else found


async def test_kept() -> None:
    """A token is kept, and only the first to ask is told that it is fresh."""
    desk = Desk()
    assert [await desk.grant() for _ in range(3)] == [("token 1", True), ("token 1", False), ("token 1", False)]


async def test_life() -> None:
    """A token is replaced shortly before its life ends, counted from before the login."""
    desk = Desk(life=1000.0)
    await desk.grant()
    desk.now = 949.0
    assert await desk.grant() == ("token 1", False)
    desk.now = 951.0
    assert await desk.grant() == ("token 2", True)


async def test_for_one_endpoint() -> None:
    """Whatever differs, a token is for those who have the same address, trust and name."""
    desk = Desk()
    others = [
        replace(ENDPOINT, url=replace(ENDPOINT.url, host="other.messaging.svc")),
        replace(ENDPOINT, url=replace(ENDPOINT.url, path="/15550001111")),
        replace(ENDPOINT, trust=replace(ENDPOINT.trust, server_name="other")),
        replace(ENDPOINT, username="other"),
    ]
    for count, endpoint in enumerate([ENDPOINT, *others], 1):
        assert await desk.grant(endpoint) == (f"token {count}", True)
    assert await desk.grant(replace(ENDPOINT, password=SecretStr("Correct-Horse-7"))) == ("token 1", False)


async def test_of_an_old_password() -> None:
    """Another password needs a login of its own, and its token takes the old one's place."""
    desk = Desk()
    await desk.grant()
    assert await desk.grant(replace(ENDPOINT, password=SecretStr("other"))) == ("token 2", True)
    assert await desk.grant(replace(ENDPOINT, password=SecretStr("other"))) == ("token 2", False)
    assert await desk.grant() == ("token 3", True)
    assert [endpoint.password.reveal() for endpoint in desk.logins] == ["Correct-Horse-7", "other", "Correct-Horse-7"]


async def test_of_a_wrong_password() -> None:
    """A login that is refused takes the token away from nobody."""
    desk = Desk(Login(SecretStr("token 1"), 1000.0), DENIED)
    await desk.grant()
    assert await desk.grant(replace(ENDPOINT, password=SecretStr("wrong"))) == DENIED
    assert await desk.grant() == ("token 1", False)


async def test_passwords_share_no_login() -> None:
    """Who asks with another password gets what that one buys, whatever login is under way."""
    desk = Desk()
    old, new = ENDPOINT, replace(ENDPOINT, password=SecretStr("new"))
    tokens = await asyncio.gather(desk.grant(old), desk.grant(new), desk.grant(old))
    assert list(tokens) == [("token 1", True), ("token 2", True), ("token 1", True)]
    assert desk.logins == [old, new]


async def test_one_login_for_all() -> None:
    """Fifty who need the same token at once share one login."""
    desk = Desk()
    assert set(await asyncio.gather(*(desk.grant() for _ in range(50)))) == {("token 1", True)}
    assert len(desk.logins) == 1


async def test_cancelled_waiter() -> None:
    """Whoever is cancelled while waiting takes the login away from nobody, not even who came first."""
    desk = Desk()
    desk.open.clear()
    waiters = [asyncio.create_task(desk.grant()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]
    desk.open.set()
    assert await asyncio.gather(*waiters[1:]) == [("token 1", True)] * 2
    assert await desk.grant() == ("token 1", False)


async def test_all_waiters_cancelled() -> None:
    """A login that nobody waits for any more still brings a token for later."""
    desk = Desk()
    desk.open.clear()
    waiter = asyncio.create_task(desk.grant())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    desk.open.set()
    await desk.grant()
    assert len(desk.logins) == 1


async def test_failure_is_shared_and_not_kept() -> None:
    """All who wait learn that the login failed; who comes later tries again."""
    desk = Desk(DENIED)
    assert set(await asyncio.gather(desk.grant(), desk.grant())) == {DENIED}
    assert await desk.grant() == ("token 2", True)


async def test_forgotten() -> None:
    """A refused token is used no more; forgetting it late does not hit its successor."""
    desk = Desk()
    await desk.grant()
    for _ in range(2):
        desk.tokens.forget(ENDPOINT, SecretStr("token 1"))
        assert await desk.grant() in [("token 2", True), ("token 2", False)]
    desk.tokens.forget(ENDPOINT, SecretStr("another"))
    assert await desk.grant() == ("token 2", False)


async def test_close() -> None:
    """Closing ends the logins under way."""
    desk = Desk()
    desk.open.clear()
    waiter = asyncio.create_task(desk.grant())
    await asyncio.sleep(0)
    await desk.tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await waiter


@pytest.mark.parametrize(
    ("expires_after", "life"),
    [
        ("2026-11-22T13:00:00.000Z", 3600.0),
        ("2026-11-22 12:10:00+00:00", 600.0),
        ("2026-11-22T14:10:00+02:00", 600.0),
        ("2026-11-22T12:10:00", 600.0),
        ("2026-11-29T12:00:00.000Z", LONGEST_LIFE),
        ("2036-11-22T12:00:00.000Z", LONGEST_LIFE),
        ("9999-12-31T23:59:59-23:59", LONGEST_LIFE),
        ("2026-11-22T11:59:59Z", UNTOLD_LIFE),
        ("1970-01-01T00:00:00Z", UNTOLD_LIFE),
        ("", UNTOLD_LIFE),
        ("soon", UNTOLD_LIFE),
        ("604800", UNTOLD_LIFE),
        (604800, UNTOLD_LIFE),
        (None, UNTOLD_LIFE),
        (["2026-11-22T13:00:00.000Z"], UNTOLD_LIFE),
    ],
)
def test_life_until(expires_after: object, life: float) -> None:
    """A token's end counts as far as it makes sense; otherwise it is used for an hour."""
    assert life_until(expires_after, NOW) == life


@given(st.text() | st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | st.integers() | st.none())
def test_any_end(expires_after: object) -> None:
    """Whatever a login says, a token's life is positive and bounded."""
    assert 0 < life_until(expires_after, NOW) <= timedelta(days=7).total_seconds()


@pytest.mark.parametrize("text", ["eyJhbGciOi.J9-_~+/=.x==", "x", "a" * 8192])
def test_token(text: str) -> None:
    """A token is whatever may stand in a header."""
    token = token_from(text)
    assert token
    assert token.reveal() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a\r\nX-Evil: yes",
        "a\n",
        "a\tb",
        "a\x00",
        "é",
        "\ud800",
        "a" * 8193,
        17,
        None,
        ["a"],
        {"a": "b"},
        b"a",
    ],
)
def test_no_token(text: object) -> None:
    """What could end a header, or never ends, is no token."""
    assert token_from(text) is None
