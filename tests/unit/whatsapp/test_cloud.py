"""The Cloud backend, against the simulators over TLS and against arbitrary responses."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.http.errors import BrokenOffError, HttpError, NotConnectedError, TooSlowError
from bek_operator.http.interface import Request, Response
from bek_operator.net.ca_bundle import ServerTrust
from bek_operator.net.url import Url, parse_url
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry
from bek_operator.numbers.endpoint import CloudEndpoint
from bek_operator.secret_str import SecretStr
from bek_operator.whatsapp.backend import Backend
from bek_operator.whatsapp.cloud.backend import ENCRYPTION_PATH, Cloud
from bek_operator.whatsapp.ratelimit.limiter import UNLIMITED, RateLimiters
from support import keys
from support.simulators import faults
from support.simulators.cloud import Cloud as Simulator
from support.simulators.cloud_number import CloudNumber, Envelope, Unset
from support.simulators.exchange import Fault
from support.simulators.graph_errors import SHAPES, graph_error
from support.simulators.graph_tokens import MANAGEMENT, Token
from support.simulators.provider import Provider
from unit.whatsapp.local_client import local_client
from unit.whatsapp.scripted_client import FAULTS_OF_ANY_SERVER, JSON, UNREADABLE, ScriptedClient, failed, members, ok

NUMBER = "+15550001111"
KEY = keys.rsa()
OTHER = keys.rsa("second")
NOW = 1_795_000_000.0
NOTHING = Reading(status=None, fingerprint=None)
BLANK = Reading(status=SignatureStatus.MISMATCH, fingerprint=None)
VALID = Reading(status=SignatureStatus.VALID, fingerprint=KEY.fingerprint)


@pytest.fixture(name="simulator", scope="module")
def simulator_fixture() -> Iterator[Simulator]:
    """A simulator with an open port; each test adds its own number."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(name="number")
def number_fixture(simulator: Simulator) -> CloudNumber:
    """One new number."""
    simulator.oddities.clear()
    return simulator.add(NUMBER)


@pytest.fixture(name="token")
def token_fixture(simulator: Simulator) -> Token:
    """A new token, of a new app."""
    return simulator.token(app=simulator.app())


@pytest.fixture(name="endpoint")
def endpoint_fixture(simulator: Simulator, number: CloudNumber, token: Token) -> CloudEndpoint:
    """The number's endpoint."""
    return at(simulator, token, f"/v25.0/{number.id}")


@pytest.fixture(name="provider")
def provider_fixture() -> Iterator[Provider]:
    """A provider with one number."""
    with Provider([NUMBER], base="/v2/{phoneNumberID}") as provider:
        yield provider


def at(simulator: Simulator | Provider, token: Token | str, path: str = "", **more: Any) -> CloudEndpoint:
    """Make an endpoint."""
    return CloudEndpoint(
        url=parse_url(simulator.origin + path),
        trust=ServerTrust(ca_bundle=simulator.certificate.authority, server_name="localhost"),
        token=SecretStr(token if isinstance(token, str) else token.text),
        **more,
    )


class Client(Cloud):
    """A backend, its rate limiters, and a clock that stands still."""

    def __init__(self, http: Any, now: float = NOW) -> None:
        self.rate_limiters = RateLimiters()
        super().__init__(http, self.rate_limiters, lambda: now)


@asynccontextmanager
async def backend(*, total: float = 5.0) -> AsyncIterator[Client]:
    """Yield a backend and close it."""
    made = Client(local_client(total))
    try:
        yield made
    finally:
        await made.close()


class TestReadAndPublish:
    """Read, publish, read again."""

    async def test_round(self, simulator: Simulator, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A number without a key is published to and becomes VALID: one connection, a form, no superfluous call."""
        async with backend() as api:
            assert await api.read(endpoint) == BLANK
            assert await api.publish(endpoint, KEY.public) == Accepted()
            assert await api.read(endpoint) == VALID
        assert [record.kind for record in number.requests] == ["read", "publish", "read"]
        assert [record.encoding for record in number.requests] == ["", "form", ""]
        assert {record.status for record in number.requests} == {200}
        assert {record.parameters for record in number.requests} == {()}
        assert len({record.client_port for record in number.requests}) == 1
        assert number.published == [KEY.fingerprint]
        assert not number.violations
        assert not simulator.oddities

    @pytest.mark.parametrize("envelope", ["list", "object", "flat"])
    @pytest.mark.parametrize(
        ("unset", "reading"),
        [("blank", BLANK), ("space", BLANK), ("no key", BLANK), ("no data", NOTHING), ("no members", NOTHING)],
    )
    async def test_envelopes(
        self, number: CloudNumber, endpoint: CloudEndpoint, envelope: Envelope, unset: Unset, reading: Reading
    ) -> None:
        """Every known envelope of a key, or of no key, is understood, except an empty object."""
        number.envelope, number.unset = envelope, unset
        async with backend() as api:
            found = await api.read(endpoint)
            assert await api.publish(endpoint, KEY.public) == Accepted()
            assert await api.read(endpoint) == VALID
        if (envelope, unset) == ("flat", "no members"):
            assert failed(found).reason is Reason.INVALID_ANSWER
        else:
            assert found == (BLANK if (envelope, unset) == ("flat", "no data") else reading)

    async def test_lost_signature_and_foreign_key(self, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """The API's key is reported whatever its status and its owner."""
        async with backend() as api:
            await api.publish(endpoint, KEY.public)
            number.re_register()
            assert await api.read(endpoint) == replace(VALID, status=SignatureStatus.MISMATCH)
            number.overwrite(OTHER.public)
            assert await api.read(endpoint) == replace(VALID, fingerprint=OTHER.fingerprint)

    async def test_rejected_key(self, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A key that the API rejects was not published."""
        async with backend() as api:
            refused = failed(await api.publish(endpoint, keys.rsa("short", 1024).public))
        assert (refused.reason, refused.retry, refused.unknown) == (Reason.KEY_REJECTED, Retry.TERMINAL, False)
        assert number.published == []

    async def test_success_false(self, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A publish that is answered with `success: false` is not accepted."""
        number.succeeds = False
        async with backend() as api:
            refused = failed(await api.publish(endpoint, KEY.public))
        assert (refused.reason, refused.retry, refused.unknown) == (Reason.SERVICE_NOT_READY, Retry.LIMITED, True)

    async def test_provider(self, provider: Provider) -> None:
        """A provider is called at its own URL, with the bare API key in its own header."""
        number = provider[NUMBER]
        endpoint = at(provider, provider.key(NUMBER), f"/v2/{number.id}", header="D360-API-KEY")
        async with backend() as api:
            assert await api.read(endpoint) == BLANK
            assert await api.publish(endpoint, KEY.public) == Accepted()
            assert await api.read(endpoint) == VALID
            wrong = failed(await api.read(replace(endpoint, token=SecretStr("wrong"))))
        assert wrong.reason is Reason.TOKEN_EXPIRED
        assert number.published == [KEY.fingerprint]
        assert not any("authorization" in record.headers for record in number.requests)
        assert not provider.violations
        assert not provider.oddities


class TestAccess:
    """Access to the API, and the failures without it."""

    async def test_proof(self, simulator: Simulator, number: CloudNumber) -> None:
        """The proof is sent if there is an app secret; without one, an app that requires it has a reason of its own."""
        token = simulator.token(app=simulator.app(demands_proof=True))
        bare = at(simulator, token, f"/v25.0/{number.id}")
        proving = replace(bare, app_secret=SecretStr(token.app.secret))
        wrong = replace(bare, app_secret=SecretStr("another app's"))
        async with backend() as api:
            for missing in (await api.read(bare), await api.publish(bare, KEY.public)):
                assert failed(missing).reason is Reason.APP_SECRET_PROOF_REQUIRED
            for refused in (await api.read(wrong), await api.publish(wrong, KEY.public)):
                assert failed(refused).reason is Reason.ACCESS_DENIED
            assert await api.publish(proving, KEY.public) == Accepted()
            assert await api.read(proving) == VALID
        assert [record.parameters for record in number.requests[-2:]] == [(), ("appsecret_proof",)]
        assert not number.violations
        assert not simulator.oddities

    @pytest.mark.parametrize(
        ("state", "reason"),
        [("expired", Reason.TOKEN_EXPIRED), ("revoked", Reason.TOKEN_EXPIRED), ("unknown", Reason.TOKEN_EXPIRED)],
    )
    async def test_token(self, simulator: Simulator, endpoint: CloudEndpoint, state: str, reason: Reason) -> None:
        """Every invalid, expired or revoked token leads to the same reason."""
        token = simulator.token(life=timedelta(days=60))
        if state == "expired":
            token.expire()
        elif state == "revoked":
            token.revoke()
        text = "EAAGunknown" if state == "unknown" else token.text
        async with backend() as api:
            found = failed(await api.read(replace(endpoint, token=SecretStr(text))))
        assert (found.reason, found.retry, found.code) == (reason, Retry.TERMINAL, 190)

    async def test_permission(self, simulator: Simulator, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A missing permission and an account that is not assigned each say what to grant."""
        async with backend() as api:
            for token, code in (
                (simulator.token(permissions=[MANAGEMENT]), 10),
                (simulator.token(wabas=["another"]), 200),
            ):
                found = failed(await api.publish(replace(endpoint, token=SecretStr(token.text)), KEY.public))
                assert (found.reason, found.code) == (Reason.ACCESS_DENIED, code)
                assert "whatsapp_business_messaging" in found.message
        assert number.published == []

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/v25.0/999", Reason.NUMBER_UNKNOWN),
            ("/v25.0/102290129340398", Reason.NUMBER_UNKNOWN),
            ("/v20.0/{id}", Reason.UNSUPPORTED),
            ("/v99.0/{id}", Reason.UNSUPPORTED),
            ("/v25.0", Reason.UNSUPPORTED),
        ],
    )
    async def test_unknown_id_or_version(
        self, simulator: Simulator, number: CloudNumber, token: Token, path: str, reason: Reason
    ) -> None:
        """An unknown id and an unsupported version have different reasons."""
        async with backend() as api:
            for _ in range(2):
                found = failed(await api.read(at(simulator, token, path.format(id=number.id))))
                assert (found.reason, found.retry) == (reason, Retry.TERMINAL)

    @pytest.mark.parametrize(
        ("member", "value", "reason"),
        [
            ("registered", False, Reason.NOT_REGISTERED),
            ("deleted", True, Reason.NUMBER_UNKNOWN),
            ("eligible", False, Reason.NOT_ELIGIBLE),
            ("maintenance", True, Reason.MAINTENANCE),
        ],
    )
    async def test_state(
        self,
        number: CloudNumber,
        endpoint: CloudEndpoint,
        member: str,
        value: bool,  # noqa: FBT001 - a state
        reason: Reason,
    ) -> None:
        """Each state of the number has its own reason, in a read and in a publish."""
        setattr(number, member, value)
        async with backend() as api:
            for found in (await api.read(endpoint), await api.publish(endpoint, KEY.public)):
                assert failed(found).reason is reason


class TestMisbehaviour:
    """Servers that violate the protocol."""

    @pytest.mark.parametrize(
        ("fault", "reason", "unknown"),
        [
            (graph_error(131000), Reason.SERVICE_NOT_READY, True),
            (graph_error("131016"), Reason.SERVICE_NOT_READY, True),
            (graph_error(4711, details="what?"), Reason.INVALID_ANSWER, False),
            (graph_error(4711, status=500), Reason.SERVICE_NOT_READY, True),
            (graph_error(190, status=200), Reason.TOKEN_EXPIRED, False),
            *FAULTS_OF_ANY_SERVER,
        ],
    )
    async def test_failures(
        self,
        number: CloudNumber,
        endpoint: CloudEndpoint,
        fault: Fault,
        reason: Reason,
        unknown: bool,  # noqa: FBT001 - a table's expectation
    ) -> None:
        """Each way to fail has its reason; the failure of a publish says whether its outcome is unknown."""
        async with backend() as api:
            number.fail("publish", fault)
            at_publish = failed(await api.publish(endpoint, KEY.public))
            number.fail("read", fault)
            at_read = failed(await api.read(endpoint))
        assert [failure.reason for failure in (at_publish, at_read)] == [reason] * 2
        assert [failure.unknown for failure in (at_publish, at_read)] == [unknown, False]

    async def test_too_slow(self, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A server that hangs runs into the time limit; a publish that may have been carried out is unknown."""
        async with backend(total=0.5) as api:
            await api.read(endpoint)
            number.fail("publish", faults.Hang(carried_out=True))
            found = failed(await api.publish(endpoint, KEY.public))
        assert (found.reason, found.unknown) == (Reason.UNREACHABLE, True)
        assert number.published == [KEY.fingerprint]

    @pytest.mark.parametrize("shape", [*SHAPES, *faults.SHAPES])
    async def test_odd_shapes(self, number: CloudNumber, endpoint: CloudEndpoint, shape: str) -> None:
        """JSON of another form than documented is neither a reading nor a success."""
        text = {**SHAPES, **faults.SHAPES}[shape]
        async with backend() as api:
            number.fail("any", faults.text(text), times=2)
            read, published = await api.read(endpoint), await api.publish(endpoint, KEY.public)
        if shape == "empty item":
            assert read == NOTHING
        else:
            failed(read)
        assert failed(published).unknown == (failed(published).code is None)

    @pytest.mark.parametrize(
        ("trace", "shown"),
        [("AbC-1_x", "AbC-1_x"), ("a b", None), ("x" * 65, None), ("<script>", None), (17, None), ("", None)],
    )
    async def test_trace(
        self,
        number: CloudNumber,
        endpoint: CloudEndpoint,
        caplog: pytest.LogCaptureFixture,
        trace: Any,
        shown: str | None,
    ) -> None:
        """The trace for Meta's support is in the log and in the failure, if it has the form of one."""
        caplog.set_level(logging.WARNING, "bek_operator")
        fault = graph_error(131000, fbtrace_id=trace)
        # The header has it, too, whatever is in the body.
        number.fail("read", replace(fault, headers={"x-fb-trace-id": "from header", "x-fb-request-id": "r-e-q"}))
        async with backend() as api:
            found = failed(await api.read(endpoint))
        assert found.trace == (shown or "r-e-q")
        (record,) = (vars(record) for record in caplog.records)
        assert (record["levelname"], record["trace"], record["code"]) == ("WARNING", found.trace, 131000)

    async def test_log(self, number: CloudNumber, endpoint: CloudEndpoint, caplog: pytest.LogCaptureFixture) -> None:
        """Each call is logged in one line, and only a failure that is not transient at WARNING."""
        caplog.set_level(logging.DEBUG, "bek_operator")
        number.fail("read", graph_error(131016))
        async with backend() as api:
            await api.read(endpoint)
            await api.publish(endpoint, KEY.public)
        ours = [vars(record) for record in caplog.records if record.name.startswith("bek_operator")]
        assert [(one["kind"], one["status"], one.get("code"), one["levelname"]) for one in ours] == [
            ("read", 500, 131016, "DEBUG"),
            ("publish", 200, None, "DEBUG"),
        ]
        assert {one["limiter"] for one in ours} == {endpoint.limiter_key}

    async def test_secrecy(
        self, simulator: Simulator, number: CloudNumber, token: Token, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Token, app secret, proof and the server's texts are in no log at any level, and in no outcome."""
        caplog.set_level(logging.DEBUG)
        endpoint = at(simulator, token, f"/v25.0/{number.id}", app_secret=SecretStr(token.app.secret))
        outcomes: list[object] = []
        async with backend() as api:
            for fault in (
                None,
                graph_error(4711, f"echo of {token.text}", details="echo of details", error_user_msg="echo of more"),
                graph_error(190, status=200),
                faults.CutOff(within="body"),
            ):
                if fault:
                    number.fail("any", fault, times=2)
                outcomes += [await api.read(endpoint), await api.publish(endpoint, KEY.public)]
        # The library would log the headers that it received; the operator's logging setup prevents that.
        records = [record for record in caplog.records if not record.name.startswith("httpcore")]
        shown = "".join(repr(vars(one)) for one in records) + repr(outcomes) + repr(endpoint)
        for secret in (token.text, token.app.secret, token.proof, "echo of"):
            assert secret not in shown
        for secret in (token.app.secret, token.proof):
            assert secret not in caplog.text


class TestLimits:
    """Rate limits."""

    async def test_usage(self, simulator: Simulator, endpoint: CloudEndpoint) -> None:
        """The usage in the headers counts for the token's rate limiter, and for no other."""
        limit = simulator.limit(20, "token")
        try:
            async with backend() as api:
                assert api.rate_limiters.capacity(endpoint.limiter_key, NOW, urgent=False) == 10
                for _ in range(15):
                    await api.read(endpoint)
                assert api.rate_limiters.capacity(endpoint.limiter_key, NOW, urgent=False) == 0
                assert api.rate_limiters.capacity(endpoint.limiter_key, NOW, urgent=True) > 0
                assert api.rate_limiters.capacity("another", NOW, urgent=False) == 10
        finally:
            simulator.limits.remove(limit)

    @pytest.mark.parametrize("per", ["token", "app+waba"])
    async def test_refused(self, simulator: Simulator, endpoint: CloudEndpoint, per: Any) -> None:
        """A call refused because of a limit says when to retry, and no other call with the token precedes that."""
        limit = simulator.limit(1, per, retry_after="90" if per == "token" else None)
        try:
            async with backend() as api:
                await api.read(endpoint)
                found = failed(await api.publish(endpoint, KEY.public))
                wait = 90.0 if per == "token" else 3600.0
                assert (found.reason, found.pace, found.unknown) == (Reason.RATE_LIMITED, Pace.SLOW, False)
                assert found.retry_after == wait
                assert api.rate_limiters.available_at(endpoint.limiter_key, NOW, urgent=True) == NOW + wait
        finally:
            simulator.limits.remove(limit)

    async def test_limit_of_a_number(self, number: CloudNumber, endpoint: CloudEndpoint) -> None:
        """A limit of one number does not delay others."""
        number.fail("read", graph_error(130429))
        async with backend() as api:
            found = failed(await api.read(endpoint))
            assert (found.reason, found.pace) == (Reason.RATE_LIMITED, Pace.NORMAL)
            assert api.rate_limiters.capacity(endpoint.limiter_key, NOW, urgent=False) == 10

    async def test_provider_without_headers(self, simulator: Simulator, endpoint: CloudEndpoint) -> None:
        """Without usage headers there is no limit."""
        simulator.show_usage = False
        try:
            async with backend() as api:
                for _ in range(3):
                    await api.read(endpoint)
                assert api.rate_limiters.capacity(endpoint.limiter_key, NOW, urgent=False) == UNLIMITED
        finally:
            simulator.show_usage = True


# Arbitrary responses, without a server.

ENDPOINT = CloudEndpoint(
    url=Url(host="graph.facebook.com", port=443, path="/v25.0/106540352242922"),
    trust=ServerTrust(ca_bundle=None, server_name="graph.facebook.com"),
    token=SecretStr("t.o.k"),
)


def text_reading(text: str) -> Reading:
    """Return the reading of a text that is no key, with a status other than VALID."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Reading(status=SignatureStatus.MISMATCH, fingerprint=f"sha256:{digest}")


# A character is lost, as where blanks take the place of "+".
DAMAGED = KEY.public[:100] + KEY.public[101:]


async def read(*answers: Response | HttpError) -> Reading | Failure:
    """Read once from a script."""
    return await Client(ScriptedClient(*answers)).read(ENDPOINT)


async def publish(*answers: Response | HttpError) -> Accepted | Failure:
    """Publish once to a script."""
    return await Client(ScriptedClient(*answers)).publish(ENDPOINT, KEY.public)


async def test_requests() -> None:
    """Requests are as documented: a bearer token, a form, the proof in the query or in the form."""
    script = ScriptedClient(ok({"data": [members("")]}), ok({"success": True}))
    api: Backend[CloudEndpoint] = Client(script)
    proving = replace(ENDPOINT, app_secret=SecretStr("shh"))
    await api.read(ENDPOINT)
    await api.publish(ENDPOINT, "-----BEGIN PUBLIC KEY-----\nM+/=\n-----END PUBLIC KEY-----\n")
    await api.read(replace(proving, header="X-Key"))
    await api.publish(proving, "K")
    await api.close()
    url = replace(ENDPOINT.url, path=ENDPOINT.url.path + ENCRYPTION_PATH)
    bearer = {"Authorization": "Bearer t.o.k"}
    form = {**bearer, "Content-Type": "application/x-www-form-urlencoded"}
    # printf t.o.k | openssl dgst -sha256 -hmac shh
    proof = "342cf9664b9e1ec632b0d32fa871b4e13a145321a30966581c0c42c0bf2d6e52"
    key = b"business_public_key=-----BEGIN+PUBLIC+KEY-----%0AM%2B%2F%3D%0A-----END+PUBLIC+KEY-----%0A"
    assert script.requests == [
        Request(url=url, trust=ENDPOINT.trust, method="GET", headers=bearer),
        Request(url=url, trust=ENDPOINT.trust, method="POST", headers=form, content=key),
        Request(
            url=url,
            trust=ENDPOINT.trust,
            method="GET",
            headers={"X-Key": "t.o.k"},
            query={"appsecret_proof": proof},
        ),
        Request(
            url=url,
            trust=ENDPOINT.trust,
            method="POST",
            headers=form,
            content=f"business_public_key=K&appsecret_proof={proof}".encode(),
        ),
    ]


@pytest.mark.parametrize(
    ("response", "reading"),
    [
        (ok({"data": [members(KEY.public)]}), VALID),
        (ok({"data": [members(KEY.public), members(OTHER.public)], "paging": {}}), VALID),
        (ok({"data": members(KEY.public, id="1")}), VALID),
        (ok(members(KEY.public.replace("\n", "\r\n"), id="1")), VALID),
        (ok({"data": [members(KEY.public)], "error": None}), VALID),
        (ok({"data": [members(KEY.public)]}, 201), VALID),
        (ok({"data": [members("", "MISMATCH")]}), BLANK),
        (ok({"data": [members(" \n", "MISMATCH")]}), BLANK),
        (ok({"data": [members(None, "MISMATCH")]}), BLANK),
        (ok({"data": []}), NOTHING),
        (ok({"data": {}}), NOTHING),
        (ok({"data": [{}]}), NOTHING),
        (ok({"data": [members("YOUR_PUBLIC_KEY", "MISMATCH")]}), text_reading("YOUR_PUBLIC_KEY")),
        (ok(members(DAMAGED, "MISMATCH")), text_reading(DAMAGED)),
        (ok(members(KEY.private, "MISMATCH")), text_reading(KEY.private)),
        (ok(members("x" * 9000, "MISMATCH")), text_reading("x" * 9000)),
    ],
)
async def test_reading(response: Response, reading: Reading) -> None:
    """A response in one of the API's own forms is a reading."""
    assert await read(response) == reading


@pytest.mark.parametrize(
    "response",
    [
        ok({}),
        ok([]),
        ok([members(KEY.public)]),
        ok({"id": "106540352242922"}),
        ok({"success": True}),
        ok({"data": None}),
        ok({"data": [None]}),
        ok({"data": [[]]}),
        ok({"data": [[members(KEY.public)]]}),
        ok({"data": [{"id": "106540352242922"}]}),
        ok({"data": "VALID", **members(KEY.public)}),
        ok({"data": [], "error": {"code": 1}}),
        ok({"data": [members(KEY.public)], "error": "?"}),
        ok({"data": [members(KEY.public, "valid")]}),
        ok({"data": [members(KEY.public, None)]}),
        ok({"data": [members(KEY.public, ["VALID"])]}),
        ok({"data": [members(17)]}),
        ok({"data": [members("not a key")]}),
        ok({"data": [members(KEY.private)]}),
        ok({"data": [members("\ud800")]}),
        ok({"data": [members("")]}),
        ok({"data": [members(" \n")]}),
        ok({"data": [members(None)]}),
        ok({"data": [{"business_public_key_signature_status": "VALID"}]}),
        ok({"data": members("")}),
        ok(members("")),
        ok({"data": [{}, members("", "MISMATCH")]}),
        ok({"data": [], **members(KEY.public)}),
        ok({"data": {}, "business_public_key_signature_status": "VALID"}),
        ok({"data": []}, 302),
        ok({"data": []}, 404),
        ok({"data": [members(KEY.public)]}, 500),
        ok({"errors": [{"code": 1006}], "meta": {}}, 404),
        *UNREADABLE,
    ],
)
async def test_no_reading(response: Response) -> None:
    """Any other response is none, so that it never leads to a publish."""
    assert isinstance(await read(response), Failure)


@pytest.mark.parametrize("key", ["", " \n", None, "YOUR_PUBLIC_KEY", KEY.private, DAMAGED])
async def test_valid_without_a_key_contradicts_itself(key: str | None) -> None:
    """The message says so, as it is the API's own response and not a proxy's."""
    found = failed(await read(ok({"data": [members(key)]})))
    assert (found.reason, found.retry) == (Reason.INVALID_ANSWER, Retry.LIMITED)
    assert "reports VALID without a readable key" in found.message


@pytest.mark.parametrize(
    "response", [ok({}), ok([]), ok({"success": "true"}), ok({"success": 1}), ok({"meta": {}}), Response(status=204)]
)
async def test_unknown_outcome(response: Response) -> None:
    """A success that is not the API's own leaves the outcome of the publish unknown."""
    found = failed(await publish(response))
    assert (found.reason, found.unknown) == (Reason.INVALID_ANSWER, True)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (133010, 133010),
        ("133010", 133010),
        (2494100, 2494100),
        (True, None),
        (190.0, None),
        (-190, None),
        (15550001111, None),
        ("٣٣", None),
        ("", None),
        (None, None),
        ({"code": 190}, None),
    ],
)
async def test_codes(code: object, shown: int | None) -> None:
    """A code is a short whole number, as such or as text; anything else is not shown."""
    found = failed(await read(ok({"error": {"code": code, "message": "m", "error_subcode": "x"}}, 400)))
    assert found.code == shown
    assert found.message.endswith(f"(code {shown})" if shown else "(HTTP 400)")


@pytest.mark.parametrize("token", ["a\r\nX-Evil: yes", "a b", "", "é", "a\n", "a" * 10_000, "\ud800"])
async def test_unusable_token(token: str) -> None:
    """A token that could end its header is not sent."""
    script = ScriptedClient(ok({}))
    endpoint = replace(ENDPOINT, token=SecretStr(token), app_secret=SecretStr("\ud800"))
    for found in (await Client(script).read(endpoint), await Client(script).publish(endpoint, KEY.public)):
        assert (failed(found).reason, failed(found).retry) == (Reason.INVALID_CREDENTIALS, Retry.TERMINAL)
    assert not script.requests


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"EAAGtoken"', "is in quotes"),
        ("TOKEN=EAAGtoken", "begins with a name and an equals sign"),
        ("Bearer EAAGtoken", "begins with the word Bearer"),
        ("changeme", "is a placeholder"),
    ],
)
async def test_flaw_of_a_token(text: str, message: str) -> None:
    """A flaw in the text of the token or the app secret is reported before any call."""
    script = ScriptedClient(ok({}))
    for endpoint in (replace(ENDPOINT, token=SecretStr(text)), replace(ENDPOINT, app_secret=SecretStr(text))):
        for found in (await Client(script).read(endpoint), await Client(script).publish(endpoint, KEY.public)):
            assert (failed(found).reason, failed(found).retry) == (Reason.INVALID_CREDENTIALS, Retry.TERMINAL)
            assert message in failed(found).message
            assert text not in failed(found).message
    assert not script.requests


@pytest.mark.parametrize("header", ["", "a b", "a:b", "a\r\nb", "é", "x" * 200])
async def test_invalid_header_name(header: str) -> None:
    """An invalid header name is not sent."""
    script = ScriptedClient(ok({}))
    found = failed(await Client(script).read(replace(ENDPOINT, header=header)))
    assert found.reason is Reason.INVALID_CREDENTIALS
    assert not script.requests


@pytest.mark.parametrize(
    "error", [NotConnectedError("w"), TooSlowError("w", sent=True), BrokenOffError("w", sent=True)]
)
async def test_no_response(error: HttpError) -> None:
    """Without a response the host is named, and a publish that may have arrived has an unknown outcome."""
    message = "graph.facebook.com: w"
    expected = Failure(reason=Reason.UNREACHABLE, message=message, retry=Retry.TRANSIENT, sent=error.sent)
    assert await read(error) == expected
    assert await publish(error) == replace(expected, unknown=error.sent)


@pytest.mark.parametrize(
    ("response", "wait"),
    [
        (ok({"error": {"code": 4}}, 400, retry_after="7"), 7.0),
        (ok({"error": {"code": 4}}, 400, retry_after="99999"), 3600.0),
        (ok({"error": {"code": 4}}, 400, retry_after="Wed, 18 Nov 2026 11:08:40 GMT"), 120.0),
        (ok({"error": {"code": 4}}, 400, retry_after="soon"), None),
        (ok({"error": {"code": 131057}}, 500, retry_after="7"), 7.0),
        (ok({"error": {"code": 133015}}, 400), 300.0),
        (
            ok(
                {"error": {"code": 80007}},
                400,
                x_business_use_case_usage=json.dumps(
                    {"1": [{"type": "whatsapp", "call_count": 100, "estimated_time_to_regain_access": 7}]}
                ),
            ),
            420.0,
        ),
    ],
)
async def test_retry_after(response: Response, wait: float | None) -> None:
    """The wait that a server asks for is passed on, however it says so, and bounded."""
    assert failed(await read(response)).retry_after == wait
    assert failed(await publish(response)).retry_after == wait


async def test_page_does_not_count_for_limits() -> None:
    """A proxy's response is no sign that the API has no limits."""
    api = Client(ScriptedClient(Response(status=502)))
    for _ in range(5):
        await api.read(ENDPOINT)
    assert api.rate_limiters.capacity(ENDPOINT.limiter_key, NOW, urgent=False) == 10


MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "business_public_key": st.sampled_from([KEY.public, "", KEY.public[:100]]) | JSON,
        "business_public_key_signature_status": st.sampled_from(["VALID", "MISMATCH"]) | JSON,
    },
)
ERROR = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from([1, 2, "4", 100, 190, "133016", 2494100]) | JSON,
        "error_subcode": st.sampled_from([33, 463]) | JSON,
        "message": st.just("appsecret_proof") | JSON,
        "is_transient": st.booleans() | JSON,
        "fbtrace_id": st.text() | JSON,
    },
)
NEARLY = MEMBERS | st.fixed_dictionaries(
    {},
    optional={
        "data": st.lists(MEMBERS | JSON, max_size=2) | MEMBERS | JSON,
        "error": ERROR | JSON,
        "success": st.booleans() | JSON,
    },
)
ANSWERS = st.builds(
    Response,
    status=st.sampled_from([200, 201, 204, 302, 400, 401, 404, 422, 429, 500, 503]) | st.integers(100, 999),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "retry-after": st.text() | st.integers().map(str),
            "x-fb-trace-id": st.text(),
            "x-app-usage": JSON.map(json.dumps),
        },
    ),
    body=st.binary() | (NEARLY | JSON).map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass")),
)


@given(ANSWERS)
def test_any_response(response: Response) -> None:
    """Any response becomes a value, and a reading only with a 2xx status."""
    api = Client(ScriptedClient(response))
    found = asyncio.run(api.read(ENDPOINT))
    done = asyncio.run(api.publish(ENDPOINT, KEY.public))
    assert isinstance(found, Reading | Failure)
    assert isinstance(done, Accepted | Failure)
    if response.status not in range(200, 300):
        assert isinstance(found, Failure)
        assert isinstance(done, Failure)
    for failure in (found, done):
        if isinstance(failure, Failure):
            assert len(failure.message) <= 200
            assert failure.retry_after is None or 0 < failure.retry_after <= 3600
            assert failure.trace is None or failure.trace.isascii()
    assert 0 <= api.rate_limiters.capacity(ENDPOINT.limiter_key, NOW, urgent=True) <= UNLIMITED
