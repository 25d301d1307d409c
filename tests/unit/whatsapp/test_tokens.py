"""Login tokens are cached and shared, until they expire or are refused."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.on_premises.tokens import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    IssuedToken,
    Login,
    TokenCache,
    lifetime_until,
    token_from,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENDPOINT = OnPremisesEndpoint(
    url=Url(host="whatsapp.messaging.svc", port=443, path=""),
    trust=ServerTrust(ca_bundle=None, server_name="whatsapp"),
    username="flows",
    password=SecretStr("Correct-Horse-7"),
)
DENIED = Failure(reason=Reason.ACCESS_DENIED, message="no")


class LoginServer:
    """A login API with a clock; its tokens are numbered."""

    def __init__(self, *outcomes: Login | Failure, lifetime: float = 1000.0) -> None:
        self.now = 0.0
        self.logins: list[OnPremisesEndpoint] = []
        self.open = asyncio.Event()
        self.open.set()
        self.tokens = TokenCache(clock=lambda: self.now)
        self._outcomes = list(outcomes)
        self._lifetime = lifetime

    async def log_in(self, endpoint: OnPremisesEndpoint) -> Login | Failure:
        """Log in once the API responds."""
        self.logins.append(endpoint)
        await self.open.wait()
        if self._outcomes:
            return self._outcomes.pop(0)
        return Login(SecretStr(f"token {len(self.logins)}"), self._lifetime)

    async def grant(self, endpoint: OnPremisesEndpoint = ENDPOINT) -> tuple[str, bool] | Failure:
        """Return a token and whether it is fresh."""
        found = await self.tokens.get(endpoint, self.log_in)
        return (found.token.reveal(), found.fresh) if isinstance(found, IssuedToken) else found


async def test_cached() -> None:
    """A token is cached, and only the first caller gets it as fresh."""
    server = LoginServer()
    assert [await server.grant() for _ in range(3)] == [("token 1", True), ("token 1", False), ("token 1", False)]


async def test_lifetime() -> None:
    """A token is replaced shortly before it expires, counted from the start of its login."""
    server = LoginServer(lifetime=1000.0)
    await server.grant()
    server.now = 949.0
    assert await server.grant() == ("token 1", False)
    server.now = 951.0
    assert await server.grant() == ("token 2", True)


async def test_for_one_endpoint() -> None:
    """A token is shared only by endpoints of the same URL, trust settings and user."""
    server = LoginServer()
    others = [
        replace(ENDPOINT, url=replace(ENDPOINT.url, host="other.messaging.svc")),
        replace(ENDPOINT, url=replace(ENDPOINT.url, path="/15550001111")),
        replace(ENDPOINT, trust=replace(ENDPOINT.trust, server_name="other")),
        replace(ENDPOINT, username="other"),
    ]
    for count, endpoint in enumerate([ENDPOINT, *others], 1):
        assert await server.grant(endpoint) == (f"token {count}", True)
    assert await server.grant(replace(ENDPOINT, password=SecretStr("Correct-Horse-7"))) == ("token 1", False)


async def test_of_an_old_password() -> None:
    """Another password requires its own login, whose token replaces the old one."""
    server = LoginServer()
    await server.grant()
    assert await server.grant(replace(ENDPOINT, password=SecretStr("other"))) == ("token 2", True)
    assert await server.grant(replace(ENDPOINT, password=SecretStr("other"))) == ("token 2", False)
    assert await server.grant() == ("token 3", True)
    assert [endpoint.password.reveal() for endpoint in server.logins] == ["Correct-Horse-7", "other", "Correct-Horse-7"]


async def test_of_a_wrong_password() -> None:
    """A refused login does not drop the cached token of another password."""
    server = LoginServer(Login(SecretStr("token 1"), 1000.0), DENIED)
    await server.grant()
    assert await server.grant(replace(ENDPOINT, password=SecretStr("wrong"))) == DENIED
    assert await server.grant() == ("token 1", False)


async def test_passwords_share_no_login() -> None:
    """A caller with another password gets the token of its own login, even if another is running."""
    server = LoginServer()
    old, new = ENDPOINT, replace(ENDPOINT, password=SecretStr("new"))
    tokens = await asyncio.gather(server.grant(old), server.grant(new), server.grant(old))
    assert list(tokens) == [("token 1", True), ("token 2", True), ("token 1", True)]
    assert server.logins == [old, new]


async def test_one_login_for_all() -> None:
    """Fifty concurrent callers share one login."""
    server = LoginServer()
    assert set(await asyncio.gather(*(server.grant() for _ in range(50)))) == {("token 1", True)}
    assert len(server.logins) == 1


async def test_cancelled_waiter() -> None:
    """A cancelled caller does not cancel the login for the others, even if it started it."""
    server = LoginServer()
    server.open.clear()
    waiters = [asyncio.create_task(server.grant()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]
    server.open.set()
    assert await asyncio.gather(*waiters[1:]) == [("token 1", True)] * 2
    assert await server.grant() == ("token 1", False)


async def test_all_waiters_cancelled() -> None:
    """A login without any waiting caller still provides a token for later."""
    server = LoginServer()
    server.open.clear()
    waiter = asyncio.create_task(server.grant())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    server.open.set()
    await server.grant()
    assert len(server.logins) == 1


async def test_failure_is_shared_and_not_kept() -> None:
    """All waiting callers get the failure; a later caller tries again."""
    server = LoginServer(DENIED)
    assert set(await asyncio.gather(server.grant(), server.grant())) == {DENIED}
    assert await server.grant() == ("token 2", True)


async def test_forgotten() -> None:
    """A refused token is not used again; dropping it late does not drop its successor."""
    server = LoginServer()
    await server.grant()
    for _ in range(2):
        server.tokens.forget(ENDPOINT, SecretStr("token 1"))
        assert await server.grant() in [("token 2", True), ("token 2", False)]
    server.tokens.forget(ENDPOINT, SecretStr("another"))
    assert await server.grant() == ("token 2", False)


async def test_close() -> None:
    """Closing cancels running logins."""
    server = LoginServer()
    server.open.clear()
    waiter = asyncio.create_task(server.grant())
    await asyncio.sleep(0)
    await server.tokens.close()
    with pytest.raises(asyncio.CancelledError):
        await waiter


@pytest.mark.parametrize(
    ("expires_after", "lifetime"),
    [
        ("2026-11-22T13:00:00.000Z", 3600.0),
        ("2026-11-22 12:10:00+00:00", 600.0),
        ("2026-11-22T14:10:00+02:00", 600.0),
        ("2026-11-22T12:10:00", 600.0),
        ("2026-11-29T12:00:00.000Z", MAX_LIFETIME),
        ("2036-11-22T12:00:00.000Z", MAX_LIFETIME),
        ("9999-12-31T23:59:59-23:59", MAX_LIFETIME),
        ("2026-11-22T11:59:59Z", DEFAULT_LIFETIME),
        ("1970-01-01T00:00:00Z", DEFAULT_LIFETIME),
        ("", DEFAULT_LIFETIME),
        ("soon", DEFAULT_LIFETIME),
        ("604800", DEFAULT_LIFETIME),
        (604800, DEFAULT_LIFETIME),
        (None, DEFAULT_LIFETIME),
        (["2026-11-22T13:00:00.000Z"], DEFAULT_LIFETIME),
    ],
)
def test_lifetime_until(expires_after: object, lifetime: float) -> None:
    """A valid expiry counts, up to a maximum; otherwise the default lifetime does."""
    assert lifetime_until(expires_after, NOW) == lifetime


@given(st.text() | st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | st.integers() | st.none())
def test_any_end(expires_after: object) -> None:
    """The lifetime is positive and bounded, whatever the login says."""
    assert 0 < lifetime_until(expires_after, NOW) <= timedelta(days=7).total_seconds()


@pytest.mark.parametrize("text", ["eyJhbGciOi.J9-_~+/=.x==", "x", "a" * 8192])
def test_token(text: str) -> None:
    """A token is any text that can be sent in a header."""
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
    """A text that could end a header, or is too long, is no token."""
    assert token_from(text) is None
