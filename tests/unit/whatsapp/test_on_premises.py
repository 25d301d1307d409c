"""The On-Premises backend, against the simulator over TLS and against arbitrary responses."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.http.errors import (
    AddressRefusedError,
    BrokenOffError,
    CABundleError,
    CertificateRefusedError,
    HttpError,
    NotConnectedError,
    TooSlowError,
    UnacceptableError,
)
from bek_operator.http.interface import Request, Response
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url, parse_url
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry
from bek_operator.numbers.endpoint import OnPremisesEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.on_premises.backend import ENCRYPTION_PATH, LOGIN_PATH, OnPremises
from support import keys
from support.simulators import faults
from support.simulators.exchange import Fault
from support.simulators.on_premises import OnPremises as Simulator
from support.simulators.pod import PASSWORD, Pod
from support.tls import self_signed
from unit.whatsapp.local_client import local_client
from unit.whatsapp.scripted_client import FAULTS_OF_ANY_SERVER, JSON, UNREADABLE, ScriptedClient, failed, members, ok

NUMBER = "+15550001111"
KEY = keys.rsa()
OTHER = keys.rsa("second")
NOTHING = Reading(status=None, fingerprint=None)
BLANK = Reading(status=SignatureStatus.MISMATCH, fingerprint=None)
# printf YOUR_PUBLIC_KEY | sha256sum
YOUR_PUBLIC_KEY = "sha256:003344288143d240b9d5f5a8a5c21bc7daebacc9551b07a364b871cd04616dd7"
VALID = Reading(status=SignatureStatus.VALID, fingerprint=KEY.fingerprint)


@pytest.fixture(name="simulator", scope="module")
def simulator_fixture() -> Iterator[Simulator]:
    """A simulator; each test adds its own pod."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(name="pod")
def pod_fixture(simulator: Simulator) -> Pod:
    """One new pod with its own port."""
    return simulator.add(NUMBER)


@asynccontextmanager
async def backend(*, total: float = 5.0) -> AsyncIterator[OnPremises]:
    """Yield a backend and close it."""
    made = OnPremises(local_client(total))
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(name="endpoint")
def endpoint_fixture(simulator: Simulator, pod: Pod) -> OnPremisesEndpoint:
    """The pod's endpoint."""
    return OnPremisesEndpoint(
        url=parse_url(pod.url),
        trust=ServerTrust(ca_bundle=simulator.certificate.authority, server_name="whatsapp-web-service"),
        username=pod.username,
        password=SecretStr(pod.password),
    )


class TestReadAndPublish:
    """Read, publish, read again."""

    async def test_round(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A number without a key is published to and becomes VALID: one login, one connection, no superfluous call."""
        async with backend() as api:
            assert await api.read(endpoint) == Reading(status=SignatureStatus.MISMATCH, fingerprint=None)
            assert await api.publish(endpoint, KEY.public) == Accepted()
            assert await api.read(endpoint) == VALID
        assert [record.kind for record in pod.requests] == ["login", "read", "publish", "read"]
        assert {record.status for record in pod.requests} == {200}
        assert len({record.client_port for record in pod.requests}) == 1
        assert not any(record.cookies for record in pod.requests)
        assert pod.published == [KEY.fingerprint]
        assert pod.violations == []

    @pytest.mark.parametrize(
        ("unset", "reading"),
        [
            ("blank", Reading(status=SignatureStatus.MISMATCH, fingerprint=None)),
            ("no key", Reading(status=SignatureStatus.MISMATCH, fingerprint=None)),
            ("no members", NOTHING),
            ("not found", NOTHING),
        ],
    )
    async def test_no_key_yet(self, pod: Pod, endpoint: OnPremisesEndpoint, unset: Any, reading: Reading) -> None:
        """Every way to report that there is no key is understood."""
        pod.unset = unset
        async with backend() as api:
            assert await api.read(endpoint) == reading

    async def test_lost_signature_and_foreign_key(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """The API's key is reported whatever its status and its owner."""
        async with backend() as api:
            await api.publish(endpoint, KEY.public)
            pod.re_register()
            assert await api.read(endpoint) == replace(VALID, status=SignatureStatus.MISMATCH)
            pod.overwrite(OTHER.public)
            assert await api.read(endpoint) == replace(VALID, fingerprint=OTHER.fingerprint)

    async def test_text_that_is_no_key(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """With MISMATCH the number lacks our key; with VALID the response contradicts itself."""
        async with backend() as api:
            pod.hold("YOUR_PUBLIC_KEY", valid=False)
            assert await api.read(endpoint) == replace(BLANK, fingerprint=YOUR_PUBLIC_KEY)
            for text in ("YOUR_PUBLIC_KEY", " ", None):
                pod.hold(text, valid=True)
                assert isinstance(await api.read(endpoint), Failure)
            assert await api.publish(endpoint, KEY.public) == Accepted()
            assert await api.read(endpoint) == VALID

    async def test_path(self, simulator: Simulator, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """The path of the URL precedes those of the API."""
        below = replace(endpoint, url=parse_url(simulator.url.replace("{digits}", pod.digits)))
        async with backend() as api:
            assert await api.publish(below, KEY.public) == Accepted()
        assert pod.holds(KEY.public)

    async def test_old_client(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A client that is too old for the endpoint seems to hold no key, and its response to a publish says so."""
        pod.version = "v2.45.2"
        async with backend() as api:
            assert await api.read(endpoint) == NOTHING
            refused = failed(await api.publish(endpoint, KEY.public))
        assert (refused.reason, refused.code, refused.unknown) == (Reason.UNSUPPORTED, 1006, False)

    async def test_rejected_key(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A key that the API rejects was not published."""
        async with backend() as api:
            refused = failed(await api.publish(endpoint, keys.rsa("short", 1024).public))
        assert (refused.reason, refused.retry, refused.unknown) == (Reason.KEY_REJECTED, Retry.TERMINAL, False)
        assert pod.published == []


class TestLogin:
    """Logins."""

    async def test_shared_login(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """Fifty concurrent reads share one login."""
        async with backend() as api:
            readings = await asyncio.gather(*(api.read(endpoint) for _ in range(50)))
        assert len(set(readings)) == 1
        assert (pod.logins, pod.reads) == (1, 50)

    @pytest.mark.parametrize("kind", ["read", "publish"])
    async def test_expired_token(self, pod: Pod, endpoint: OnPremisesEndpoint, kind: str) -> None:
        """A token that the API no longer accepts is replaced by a second login, and the call is repeated."""
        async with backend() as api:
            await api.read(endpoint)
            pod.expire_tokens()
            found = await (api.read(endpoint) if kind == "read" else api.publish(endpoint, KEY.public))
        assert not isinstance(found, Failure)
        assert pod.logins == 2
        assert len(pod.published) == (kind == "publish")

    async def test_shared_login_after_expiry(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """Twenty concurrent calls with an invalidated token share one login."""
        async with backend() as api:
            await api.read(endpoint)
            pod.expire_tokens()
            readings = await asyncio.gather(*(api.read(endpoint) for _ in range(20)))
        assert not any(isinstance(reading, Failure) for reading in readings)
        assert pod.logins == 2

    async def test_new_token_is_refused(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A new token that is refused as well needs a user; there is no third login."""
        async with backend() as api:
            await api.read(endpoint)
            pod.fail("read", faults.error(1005), times=None)
            denied = failed(await api.read(endpoint))
            assert (denied.reason, denied.code, denied.retry) == (Reason.ACCESS_DENIED, 1005, Retry.TERMINAL)
            assert (pod.logins, pod.reads) == (2, 3)

    async def test_wrong_password(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A wrong password is tried once for each call, and no call is made without a token."""
        async with backend() as api:
            denied = failed(await api.publish(replace(endpoint, password=SecretStr("wrong")), KEY.public))
        assert (denied.reason, denied.unknown) == (Reason.ACCESS_DENIED, False)
        assert (pod.logins, pod.publishes) == (1, 0)

    async def test_initial_password(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """The operator never changes the initial password."""
        pod.username, pod.password = "admin", "secret"
        async with backend() as api:
            found = failed(await api.read(replace(endpoint, username="admin", password=SecretStr("secret"))))
        assert found.reason is Reason.PASSWORD_CHANGE_REQUIRED
        assert pod.violations == []

    async def test_cancelled_reader(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A read that is cancelled during the login does not cancel the login of another."""
        hang = pod.fail("login", faults.Hang())
        async with backend() as api:
            readers = [asyncio.create_task(api.read(endpoint)) for _ in range(2)]
            await asyncio.to_thread(pod.wait_until, lambda: pod.logins == 1)
            readers[0].cancel()
            hang.release()
            assert isinstance(await readers[1], Reading)
            with pytest.raises(asyncio.CancelledError):
                await readers[0]
        assert pod.logins == 1

    @pytest.mark.parametrize("expires_after", ["nonsense", "1999-01-01T00:00:00.000Z"])
    async def test_invalid_expiry(self, pod: Pod, endpoint: OnPremisesEndpoint, expires_after: str) -> None:
        """A token with an invalid expiry is used all the same."""
        pod.expires_after = expires_after
        async with backend() as api:
            for _ in range(2):
                assert isinstance(await api.read(endpoint), Reading)
        assert pod.logins == 1


class TestMisbehaviour:
    """Servers that violate the protocol."""

    @pytest.mark.parametrize(
        ("fault", "reason", "unknown"),
        [
            (faults.error(1017), Reason.SERVICE_NOT_READY, False),
            (faults.error(433), Reason.NOT_REGISTERED, False),
            (faults.odd_reason(), Reason.SERVICE_NOT_READY, False),
            *FAULTS_OF_ANY_SERVER,
        ],
    )
    async def test_failures(
        self,
        pod: Pod,
        endpoint: OnPremisesEndpoint,
        fault: Fault,
        reason: Reason,
        unknown: bool,  # noqa: FBT001 - a table's expectation
    ) -> None:
        """Each way to fail has its reason; the failure of a publish says whether its outcome is unknown."""
        async with backend() as api:
            pod.fail("any", fault)
            at_login = await api.publish(endpoint, KEY.public)
            await api.read(endpoint)
            pod.fail("publish", fault)
            at_publish = await api.publish(endpoint, KEY.public)
            pod.fail("read", fault)
            at_read = await api.read(endpoint)
        found = [failure for failure in (at_login, at_publish, at_read) if isinstance(failure, Failure)]
        assert [failure.reason for failure in found] == [reason] * 3, [failure.message for failure in found]
        assert [failure.unknown for failure in found] == [False, unknown, False]

    async def test_too_slow(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A server that hangs runs into the time limit; a publish that may have been carried out is unknown."""
        async with backend(total=0.5) as api:
            await api.read(endpoint)
            pod.fail("publish", faults.Hang(carried_out=True))
            found = failed(await api.publish(endpoint, KEY.public))
        assert (found.reason, found.unknown) == (Reason.UNREACHABLE, True)
        assert found.message == f"127.0.0.1:{endpoint.url.port}: no complete response within 0.5 s"
        assert pod.published == [KEY.fingerprint]

    async def test_retry_after(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """The Retry-After of a server is passed on, bounded."""
        async with backend() as api:
            await api.read(endpoint)
            waits = []
            for header in ("7", "99999", "-3", datetime.now(UTC) + timedelta(days=1)):
                pod.fail("read", faults.rate_limited(header))
                found = failed(await api.read(endpoint))
                assert (found.reason, found.pace) == (Reason.RATE_LIMITED, Pace.SLOW)
                waits.append(found.retry_after)
        assert waits == [7.0, 3600.0, None, 3600.0]

    async def test_down_and_up(self, pod: Pod, endpoint: OnPremisesEndpoint) -> None:
        """A pod that is down is unreachable; when it is up again, the token is still used."""
        async with backend() as api:
            await api.read(endpoint)
            await asyncio.to_thread(pod.stop)
            for _ in range(10):  # the event loop needs some rounds to close the connection
                await asyncio.sleep(0)
            down = failed(await api.publish(endpoint, KEY.public))
            assert (down.reason, down.unknown) == (Reason.UNREACHABLE, False)
            assert down.message == f"127.0.0.1:{endpoint.url.port}: connection refused"
            await asyncio.to_thread(pod.start)
            assert isinstance(await api.read(endpoint), Reading)
        assert pod.logins == 1

    @pytest.mark.parametrize(
        ("trust", "reason"),
        [
            (ServerTrust(ca_bundle=self_signed().pem, server_name="localhost"), Reason.CERTIFICATE_NOT_TRUSTED),
            (ServerTrust(ca_bundle=None, server_name="localhost"), Reason.CERTIFICATE_NOT_TRUSTED),
            (ServerTrust(ca_bundle="nonsense", server_name="localhost"), Reason.INVALID_CREDENTIALS),
        ],
    )
    async def test_trust(self, pod: Pod, endpoint: OnPremisesEndpoint, trust: ServerTrust, reason: Reason) -> None:
        """The password is not sent to a server that does not prove who it is."""
        async with backend() as api:
            found = failed(await api.publish(replace(endpoint, trust=trust), KEY.public))
        assert (found.reason, found.retry, found.unknown) == (reason, Retry.TERMINAL, False)
        assert pod.logins == 0

    @pytest.mark.parametrize("shape", faults.SHAPES)
    async def test_odd_shapes(self, pod: Pod, endpoint: OnPremisesEndpoint, shape: str) -> None:
        """JSON of another form than documented is no reading, in a login or a read."""
        async with backend() as api:
            pod.fail("login", faults.text(faults.SHAPES[shape]))
            outcomes = [await api.read(endpoint)]
            await api.read(endpoint)
            pod.fail("read", faults.text(faults.SHAPES[shape]))
            outcomes.append(await api.read(endpoint))
        assert isinstance(outcomes[0], Failure)
        assert outcomes[1] == NOTHING if shape == "errors that are none" else isinstance(outcomes[1], Failure)

    async def test_secrecy(self, pod: Pod, endpoint: OnPremisesEndpoint, caplog: pytest.LogCaptureFixture) -> None:
        """Password, token and the server's texts are in no log at any level, and in no outcome."""
        caplog.set_level(logging.DEBUG)
        outcomes: list[object] = []
        async with backend() as api:
            for fault in (None, faults.error(4711, details=f"echo of {PASSWORD}"), faults.CutOff(within="body")):
                if fault:
                    pod.fail("any", fault)
                outcomes += [await api.read(endpoint), await api.publish(endpoint, KEY.public)]
        tokens = list(pod._tokens)
        shown = caplog.text + repr(outcomes) + repr(endpoint) + "".join(repr(vars(one)) for one in caplog.records)
        assert tokens
        for secret in (PASSWORD, "echo of", *tokens):
            assert secret not in shown

    async def test_log(self, pod: Pod, endpoint: OnPremisesEndpoint, caplog: pytest.LogCaptureFixture) -> None:
        """Each call is logged in one line, which begins with what was done: its limiter, its kind and its outcome."""
        caplog.set_level(logging.DEBUG, "bek_operator")
        pod.fail("read", faults.error(1011))
        async with backend() as api:
            await api.read(endpoint)
        ours = [vars(record) for record in caplog.records if record.name.startswith("bek_operator")]
        assert [(one["kind"], one["status"], one.get("code")) for one in ours] == [
            ("login", 200, None),
            ("read", 503, 1011),
        ]
        assert [record.getMessage() for record in caplog.records if record.name.endswith(".calls")] == [
            "login answered",
            "read failed",
        ]
        assert {one["limiter"] for one in ours} == {endpoint.limiter_key}


# Arbitrary responses, without a server.

ENDPOINT = OnPremisesEndpoint(
    url=Url(host="whatsapp.messaging.svc", port=443, path="/below"),
    trust=ServerTrust(ca_bundle=None, server_name="whatsapp"),
    username="flows",
    password=SecretStr(PASSWORD),
)
LOGIN = ok({"users": [{"token": "t.o.k", "expires_after": "2036-01-01T00:00:00.000Z"}]})
META = {"meta": {"api_status": "stable", "version": "v2.53.3"}}


async def read(*answers: Response | HttpError, login: Response = LOGIN) -> Reading | Failure:
    """Read once from a script."""
    return await OnPremises(ScriptedClient(*answers, login=login)).read(ENDPOINT)


async def publish(*answers: Response | HttpError, login: Response = LOGIN) -> Accepted | Failure:
    """Publish once to a script."""
    return await OnPremises(ScriptedClient(*answers, login=login)).publish(ENDPOINT, KEY.public)


def key_answer(key: object, status: object = "VALID", **more: object) -> Response:
    """Return the response to a read."""
    return ok(members(key, status, **more))


async def test_requests() -> None:
    """Requests are as documented: Basic login, Bearer token, a form, below the configured path."""
    script = ScriptedClient(key_answer(""), ok(META), login=LOGIN)
    api: Backend[OnPremisesEndpoint] = OnPremises(script)
    await api.read(ENDPOINT)
    await api.publish(ENDPOINT, "-----BEGIN PUBLIC KEY-----\nM+/=\n-----END PUBLIC KEY-----\n")
    await api.close()
    url = replace(ENDPOINT.url, path=f"/below{ENCRYPTION_PATH}")
    bearer = {"Authorization": "Bearer t.o.k"}
    key = b"public_key=-----BEGIN+PUBLIC+KEY-----%0AM%2B%2F%3D%0A-----END+PUBLIC+KEY-----%0A"
    assert script.requests == [
        Request(
            method="POST",
            url=replace(ENDPOINT.url, path=f"/below{LOGIN_PATH}"),
            trust=ENDPOINT.trust,
            headers={"Authorization": "Basic Zmxvd3M6Q29ycmVjdC1Ib3JzZS03", "Content-Type": "application/json"},
            content=b"",
        ),
        Request(method="GET", url=url, trust=ENDPOINT.trust, headers=bearer),
        Request(
            method="POST",
            url=url,
            trust=ENDPOINT.trust,
            headers={**bearer, "Content-Type": "application/x-www-form-urlencoded"},
            content=key,
        ),
    ]


@pytest.mark.parametrize(
    ("response", "reading"),
    [
        (key_answer(KEY.public), VALID),
        (key_answer(KEY.public, **META, more=[{"unknown": 1}]), VALID),
        (key_answer(KEY.public.replace("\n", "\r\n")), VALID),
        (key_answer(KEY.public, errors=[]), VALID),
        (replace(key_answer(KEY.public), status=201), VALID),
        (key_answer("", "MISMATCH"), BLANK),
        (key_answer(" \n", "MISMATCH"), BLANK),
        (key_answer(None, "MISMATCH"), BLANK),
        (key_answer("YOUR_PUBLIC_KEY", "MISMATCH"), replace(BLANK, fingerprint=YOUR_PUBLIC_KEY)),
        (key_answer(None, None, **META), NOTHING),
        (ok(META), NOTHING),
        (ok({"errors": [{"code": 1006}]}, 404), NOTHING),
        (ok({"errors": [{"code": "1006", "title": "Resource not found"}], **META}, 404), NOTHING),
    ],
)
async def test_reading(response: Response, reading: Reading) -> None:
    """A response in the API's own form is a reading."""
    assert await read(response) == reading


@pytest.mark.parametrize(
    "response",
    [
        ok({}),
        ok([META]),
        ok({"meta": []}),
        key_answer(KEY.public, "valid"),
        key_answer(KEY.public, "PENDING"),
        key_answer(KEY.public, ""),
        key_answer(KEY.public, None),
        key_answer(KEY.public, ["VALID"]),
        key_answer(KEY.public, {"VALID": 1}),
        key_answer(17),
        key_answer([KEY.public]),
        key_answer("not a key"),
        key_answer(KEY.private),
        key_answer("\ud800"),
        key_answer("", **META),
        key_answer(" \n", **META),
        key_answer(None, **META),
        ok({"business_public_key_signature_status": "VALID", **META}),
        key_answer(KEY.public, errors=[{"title": "?"}]),
        key_answer(KEY.public, errors="?"),
        ok({"errors": [{"code": 1006}]}, 200),
        ok({"errors": [{"code": 1011}, {"code": 1006}]}, 404),
        *UNREADABLE,
        Response(status=404, body=b"<title>1006</title>"),
        replace(key_answer(KEY.public), status=302),
        replace(key_answer(KEY.public), status=500),
    ],
)
async def test_no_reading(response: Response) -> None:
    """Any other response is none, so that it never leads to a publish."""
    assert isinstance(await read(response), Failure)


@pytest.mark.parametrize("key", ["", " \n", None, "YOUR_PUBLIC_KEY", KEY.private])
async def test_valid_without_a_key_contradicts_itself(key: str | None) -> None:
    """The message says so, as it is the API's own response and not a proxy's."""
    found = failed(await read(key_answer(key, **META)))
    assert (found.reason, found.retry) == (Reason.INVALID_ANSWER, Retry.LIMITED)
    assert "reports VALID without a readable key" in found.message


@pytest.mark.parametrize("member", ["title", "details"])
async def test_undocumented_error_that_mentions_the_key(member: str) -> None:
    """An undocumented error that mentions the key counts against it only in response to a publish."""
    response = ok({"errors": [{"code": 4711, member: "Bad public_key"}], **META}, 400)
    for found, reason in (
        (await publish(response), Reason.KEY_REJECTED),
        (await read(response), Reason.INVALID_ANSWER),
    ):
        assert isinstance(found, Failure)
        assert (found.reason, found.unknown) == (reason, False)


@pytest.mark.parametrize(
    ("user", "password", "flaw"),
    [
        ("flows", '"Correct-Horse-7"', "the password is in quotes"),
        ("flows", "PASSWORD=Correct-Horse-7", "the password begins with a name and an equals sign"),
        ("<user>", "Correct-Horse-7", "the user name is a placeholder"),
        ("flows", "Correct-Horse-7", ""),
    ],
)
@pytest.mark.parametrize("codes", [[1005], [1013], [1021], []])
async def test_flaw_is_shown_with_a_refused_login(user: str, password: str, flaw: str, codes: list[int]) -> None:
    """A password may be any text, so it is sent as it is; a refused token is not blamed on it."""
    refused = ok({"errors": [{"code": code} for code in codes], **META}, 401)
    endpoint = replace(ENDPOINT, username=user, password=SecretStr(password))
    found = failed(await OnPremises(ScriptedClient(refused, login=refused)).read(endpoint))
    assert (found.reason, flaw in found.message) == (Reason.ACCESS_DENIED, True)
    assert ("correct it in the Secret" in found.message) == bool(flaw)
    assert user not in found.message
    later = failed(await OnPremises(ScriptedClient(refused, login=LOGIN)).read(endpoint))
    assert "correct it in" not in later.message


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (1011, 1011),
        ("1011", 1011),
        (True, None),
        (1011.0, None),
        (-1011, None),
        (15550001111, None),
        ("٣٣", None),
        ("1e3", None),
        ("", None),
        (None, None),
        ({"code": 1011}, None),
    ],
)
async def test_codes(code: object, shown: int | None) -> None:
    """A code is a short whole number, as such or as text; anything else is not shown."""
    found = failed(await read(ok({"errors": [{"code": code, "details": "d"}, 1005, "1005", [1005]]}, 400)))
    assert found.code == shown


@pytest.mark.parametrize("document", [META, {**META, "errors": []}, {**META, "errors": None, "x": 1}])
async def test_accepted(document: object) -> None:
    """A publish is accepted if the API's own envelope reports no error."""
    assert await publish(ok(document)) == Accepted()
    assert await publish(ok(document, 201)) == Accepted()


@pytest.mark.parametrize(
    "response",
    [
        ok({}),
        ok([]),
        ok({"meta": "?"}),
        ok({"success": True}),
        ok({**META, "errors": ["?"]}),
        Response(status=200, body=b"<html>"),
        Response(status=204),
    ],
)
async def test_unknown_outcome(response: Response) -> None:
    """A success that is not the API's own leaves the outcome of the publish unknown."""
    found = failed(await publish(response))
    assert (found.reason, found.unknown) == (Reason.INVALID_ANSWER, True)


async def test_error_under_success() -> None:
    """An error beside the envelope counts, whatever the HTTP status."""
    found = failed(await publish(ok({**META, "errors": [{"code": 1009}]})))
    assert (found.reason, found.unknown) == (Reason.KEY_REJECTED, False)


@pytest.mark.parametrize("token", ["a\r\nX-Evil: yes", "a b", "", "é", "a" * 10_000, 17, None, ["t"]])
async def test_unusable_token(token: object) -> None:
    """A token that could end its header is not sent."""
    script = ScriptedClient(key_answer(""), login=ok({"users": [{"token": token}]}))
    found = failed(await OnPremises(script).read(ENDPOINT))
    assert found.reason is Reason.INVALID_ANSWER
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("error", "reason", "retry"),
    [
        (NotConnectedError("w"), Reason.UNREACHABLE, Retry.TRANSIENT),
        (TooSlowError("w", sent=True), Reason.UNREACHABLE, Retry.TRANSIENT),
        (BrokenOffError("w", sent=True), Reason.UNREACHABLE, Retry.TRANSIENT),
        (UnacceptableError("w", sent=True), Reason.INVALID_ANSWER, Retry.LIMITED),
        (AddressRefusedError("w"), Reason.HOST_NOT_ALLOWED, Retry.TERMINAL),
        (CertificateRefusedError("w"), Reason.CERTIFICATE_NOT_TRUSTED, Retry.TERMINAL),
        (CABundleError("w"), Reason.INVALID_CREDENTIALS, Retry.TERMINAL),
    ],
)
async def test_no_response(error: HttpError, reason: Reason, retry: Retry) -> None:
    """Each way to get no response has its reason and its message, which names the host."""
    advice = "; correct `tls.caSecretRef`" if isinstance(error, CABundleError) else ""
    message = f"whatsapp.messaging.svc: w{advice}"
    expected = Failure(reason=reason, message=message, retry=retry, sent=error.sent)
    assert await read(error) == expected
    assert await publish(error) == replace(expected, unknown=error.sent)


CODE = st.sampled_from(["429", 430, "1000", 1005, 1006, "1009", 1017, 1024]) | JSON
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "business_public_key": st.sampled_from([KEY.public, "", KEY.public[:100]]) | JSON,
        "business_public_key_signature_status": st.sampled_from(["VALID", "MISMATCH"]) | JSON,
        "meta": st.just({}) | JSON,
        "errors": st.lists(st.fixed_dictionaries({"code": CODE}) | JSON, max_size=3) | JSON,
        "users": st.lists(st.fixed_dictionaries({"token": JSON, "expires_after": JSON}) | JSON, max_size=2) | JSON,
    },
)
ANSWERS = st.builds(
    Response,
    status=st.sampled_from([200, 201, 204, 302, 400, 401, 404, 429, 500, 503]) | st.integers(100, 999),
    headers=st.fixed_dictionaries({}, optional={"retry-after": st.text() | st.integers().map(str)}),
    body=st.binary() | (NEARLY | JSON).map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass")),
)


@given(login=ANSWERS | st.just(LOGIN), answers=st.lists(ANSWERS, min_size=1, max_size=2))
def test_any_response(login: Response, answers: list[Response]) -> None:
    """Any response becomes a value after a few calls, and a reading only with a 2xx status."""
    script = ScriptedClient(*answers, login=login)
    api = OnPremises(script)
    found = asyncio.run(api.read(ENDPOINT))
    done = asyncio.run(api.publish(ENDPOINT, KEY.public))
    assert isinstance(found, Reading | Failure)
    assert isinstance(done, Accepted | Failure)
    assert len(script.requests) <= 8
    if isinstance(found, Reading):
        assert any(response.status in range(200, 300) or response.status == 404 for response in answers)
    for failure in (found, done):
        if isinstance(failure, Failure):
            assert len(failure.message) <= 200
            assert failure.retry_after is None or 0 < failure.retry_after <= 3600
