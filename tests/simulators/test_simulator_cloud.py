"""The simulators of the Cloud API and of a provider refuse what the real APIs refuse, and fail on request."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from support import keys
from support.simulators import faults
from support.simulators.cloud import VERSIONS, WABA, Cloud, Version
from support.simulators.cloud_number import KEY, STATUS
from support.simulators.edge_core import EdgeCore
from support.simulators.edge_server import EdgeServer
from support.simulators.exchange import Fault
from support.simulators.graph_errors import MESSAGES, SHAPES, graph_error
from support.simulators.graph_tokens import MANAGEMENT, Token
from support.simulators.on_premises import numbers
from support.simulators.pod_api import ENCRYPTION
from support.simulators.provider import Provider
from support.tls import self_signed

ONE, TWO = "+15550001111", "+15550002222"
EDGE = "whatsapp_business_encryption"
BLANK = {KEY: "", STATUS: "MISMATCH"}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 7200.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Client:
    """A minimal client of one number, without a connection unless it gets one."""

    def __init__(self, core: EdgeCore, path: str, headers: dict[str, str], http: httpx.Client | None = None) -> None:
        self.core = core
        self.path = path
        self.headers = headers
        self.http = http or httpx.Client(base_url="https://graph", transport=httpx.MockTransport(self._ask))

    def request(self, method: str, path: str | None = None, **more: Any) -> httpx.Response:
        """Send any request."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.http.request(method, path or self.path, headers=headers, **more)

    def read(self, **more: Any) -> httpx.Response:
        """Read the key."""
        return self.request("GET", **more)

    def publish(self, public: str, **more: Any) -> httpx.Response:
        """Publish a key as documented."""
        return self.request("POST", **{"data": {KEY: public}, **more})

    def _ask(self, request: httpx.Request) -> httpx.Response:
        reply = self.core.ask(
            request.method,
            request.url.raw_path.decode().partition("?")[0],
            query=request.url.query.decode(),
            headers=dict(request.headers),
            body=request.content,
        )
        headers = {"Content-Type": reply.content_type, **reply.headers}
        return httpx.Response(reply.status, headers=headers, content=reply.body)


Connect = Callable[[EdgeServer, Client], Client]
"""Connects a client to the API of its number."""


@pytest.fixture(name="cloud")
def cloud_fixture() -> Cloud:
    """Two numbers, without a port."""
    return Cloud([ONE, TWO])


@pytest.fixture(name="token")
def token_fixture(cloud: Cloud) -> Token:
    """A token with access to both."""
    return cloud.token("main")


@pytest.fixture(name="client")
def client_fixture(cloud: Cloud, token: Token) -> Client:
    """A client of the first."""
    return client_of(cloud, token)


@pytest.fixture(name="connect")
def connect_fixture() -> Iterator[Connect]:
    """Connects clients, and closes their connections at the end."""
    with ExitStack() as stack:

        def connect(server: EdgeServer, client: Client) -> Client:
            context = server.certificate.client_context()
            http = httpx.Client(base_url=server.origin, verify=context, trust_env=False, timeout=5)
            return Client(server, client.path, client.headers, stack.enter_context(http))

        yield connect


@pytest.fixture(name="running", scope="module")
def running_fixture() -> Iterator[Cloud]:
    """One number and an open port."""
    with Cloud([ONE]) as cloud:
        yield cloud


def client_of(cloud: Cloud, token: Token, number: str = ONE) -> Client:
    """Return a client of a number."""
    return Client(cloud, cloud.path(number), {"Authorization": f"Bearer {token.text}"})


def provided(provider: Provider, number: str = ONE, path: str = f"/{EDGE}") -> Client:
    """Return a client of a provider's number."""
    return Client(provider, path, {provider.header: provider.key(number)})


def error_of(answer: httpx.Response) -> tuple[int, int, int | None]:
    """Return status, code and subcode of an error response, and check its envelope."""
    document = answer.json()
    assert set(document) == {"error"}
    error = document["error"]
    assert error["fbtrace_id"] == answer.headers["x-fb-trace-id"]
    assert isinstance(error["message"], str)
    return answer.status_code, error["code"], error.get("error_subcode")


def key_of(answer: httpx.Response) -> tuple[str, str]:
    """Return the key and the status of a read."""
    assert answer.status_code == 200
    (item,) = answer.json()["data"]
    return item[KEY], item[STATUS]


class TestPath:
    """Versions and ids."""

    @pytest.mark.parametrize(
        ("version", "expected"),
        [("v20.0", 2635), ("v99.0", 2500), ("v1.0", 2500), ("v21.0", 200), ("v26.0", 200)],
    )
    def test_versions(self, cloud: Cloud, client: Client, version: str, expected: int) -> None:
        """Supported versions are served; ended and unknown ones are not."""
        answer = client.read(path=cloud.path(ONE, version))
        if expected == 200:
            assert answer.status_code == 200
            assert answer.headers["facebook-api-version"] == version
        else:
            assert error_of(answer) == (400, expected, None)
            assert "facebook-api-version" not in answer.headers

    def test_version_ends(self, cloud: Cloud, client: Client) -> None:
        """A version ends on its day, and another may be added."""
        cloud.versions["v27.0"] = Version(date(2028, 7, 29))
        end = VERSIONS["v25.0"].ends
        assert end is not None
        cloud.today = end - timedelta(days=1)
        assert client.read().status_code == 200
        assert error_of(client.read(path=cloud.path(ONE, "v27.0")))[1] == 2500
        cloud.today = end
        assert error_of(client.read())[1] == 2635
        assert client.read(path=cloud.path(ONE, "v27.0")).status_code == 200

    def test_version_forwarded(self, cloud: Cloud, client: Client) -> None:
        """An ended version may be served as the oldest supported one."""
        cloud.ended = "forwarded"
        answer = client.read(path=cloud.path(ONE, "v20.0"))
        assert (answer.status_code, answer.headers["facebook-api-version"]) == (200, "v21.0")

    def test_unknown_id(self, cloud: Cloud, client: Client) -> None:
        """An unknown id is not found, with one of two codes."""
        path = f"/v25.0/999/{EDGE}"
        assert error_of(client.read(path=path)) == (404, 803, None)
        cloud.unknown = "100/33"
        assert error_of(client.read(path=path)) == (400, 100, 33)
        assert cloud.strays == [path, path]
        assert cloud.reads == 2

    @pytest.mark.parametrize("node", ["waba", "flow", "app"])
    def test_other_objects(self, cloud: Cloud, token: Token, client: Client, node: str) -> None:
        """A business account, a Flow or an app is no number, whatever its id."""
        identity = {"waba": WABA, "flow": cloud.flow(), "app": token.app.id}[node]
        path = f"/v25.0/{identity}/{EDGE}"
        assert error_of(client.read(path=path)) == (400, 100, None)
        assert error_of(client.publish(keys.rsa().public, path=path)) == (400, 100, 33)
        assert cloud[ONE].requests == []

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            (ENCRYPTION, 100),
            (f"/{ONE[1:]}{ENCRYPTION}", 100),
            (f"/{EDGE}", 100),
            (f"/25.0/{{id}}/{EDGE}", 100),
            (f"/{{id}}/{EDGE}", 100),
            (f"/v25.0/{EDGE}", 2500),
            (f"/v25.0/{{id}}/{EDGE}/", 2500),
            ("/v25.0/{id}", 2500),
            (f"/v25.0/{{id}}{ENCRYPTION}", 2500),
            (f"/v25.0/{ONE}/{EDGE}", 803),
        ],
    )
    def test_wrong_path(self, cloud: Cloud, client: Client, path: str, code: int) -> None:
        """A path of the other API, without a version or an id, or undocumented otherwise, is refused."""
        path = path.format(id=cloud[ONE].id)
        for method in ("GET", "POST"):
            assert error_of(client.request(method, path))[1] == code
        assert len(cloud.strays) == 2

    @pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
    def test_wrong_method(self, client: Client, method: str) -> None:
        """A key cannot be deleted."""
        assert error_of(client.request(method)) == (400, 100, 33)


class TestToken:
    """Access tokens."""

    @pytest.mark.parametrize(
        ("header", "code"),
        [("", 104), ("Bearer", 104), ("Basic Zm9vOmJhcg==", 104), ("Bearer EAAGnonsense", 190)],
    )
    def test_none(self, cloud: Cloud, client: Client, header: str, code: int) -> None:
        """A call without a valid token is refused."""
        assert error_of(client.read(headers={"Authorization": header}))[1] == code
        (record,) = cloud[ONE].requests
        assert (record.authorised, record.token) == (False, "")

    def test_expired(self, cloud: Cloud) -> None:
        """A token ends with its lifetime, or when a test expires it."""
        cloud.clock = clock = Clock()
        token = cloud.token(life=timedelta(days=60))
        client = client_of(cloud, token)
        clock.now += 60 * 86400 - 1
        assert client.read().status_code == 200
        clock.now += 1
        assert error_of(client.read()) == (401, 190, 463)
        other = cloud.token()
        other.expire()
        assert error_of(client_of(cloud, other).read()) == (401, 190, 463)

    @pytest.mark.parametrize("subcode", [458, 460, 467])
    def test_revoked(self, client: Client, token: Token, subcode: int) -> None:
        """A token can be revoked."""
        token.revoke(subcode)
        assert error_of(client.read()) == (401, 190, subcode)

    def test_permission(self, cloud: Cloud) -> None:
        """A token needs the permission for messaging; the one for management is not enough."""
        token = cloud.token(permissions={MANAGEMENT})
        assert error_of(client_of(cloud, token).read()) == (403, 10, None)
        token.permissions.add("whatsapp_business_messaging")
        assert client_of(cloud, token).read().status_code == 200

    def test_foreign_account(self, cloud: Cloud) -> None:
        """A system user cannot see the numbers of an account that is not assigned to it."""
        token = cloud.token(wabas={"other"})
        assert error_of(client_of(cloud, token).read()) == (403, 200, 1349174)
        cloud.add("+15550003333", waba="other")
        assert client_of(cloud, token, "+15550003333").read().status_code == 200

    def test_no_secret_is_shown(self, cloud: Cloud, token: Token, client: Client) -> None:
        """Records name a token and never hold one."""
        client.read()
        (record,) = cloud[ONE].requests
        assert (record.authorised, record.token) == (True, "main")
        seen = repr((record, token, token.app, cloud[ONE]))
        assert token.text not in seen
        assert token.app.secret not in seen

    @pytest.mark.parametrize("place", ["params", "data"])
    def test_in_the_open(self, cloud: Cloud, token: Token, client: Client, place: str) -> None:
        """A token outside its header is recorded as a violation, and gives no access."""
        method = "GET" if place == "params" else "POST"
        more: dict[str, Any] = {place: {"access_token": token.text}}
        assert error_of(client.request(method, headers={"Authorization": ""}, **more))[1] == 104
        assert cloud.violations == [f"{ONE}: the token 'main' was sent outside of its header"]


class TestProof:
    """appsecret_proof."""

    @pytest.fixture(name="strict")
    def strict_fixture(self, cloud: Cloud) -> Token:
        """A token of an app that requires the proof."""
        return cloud.token(app=cloud.app("s3cr3t", demands_proof=True))

    def test_missing(self, cloud: Cloud, strict: Token) -> None:
        """Without the proof every call is refused, and the message names it."""
        answer = client_of(cloud, strict).read()
        assert error_of(answer) == (400, 100, None)
        error = answer.json()["error"]
        assert error["type"] == "GraphMethodException"
        assert "appsecret_proof" in error["message"]

    @pytest.mark.parametrize("wrong", ["", "0" * 64, "é"])
    def test_wrong(self, cloud: Cloud, strict: Token, token: Token, wrong: str) -> None:
        """A wrong proof is refused, even by an app that requires none."""
        for one in (strict, token):
            answer = client_of(cloud, one).read(params={"appsecret_proof": wrong})
            assert error_of(answer) == (400, 100, None)
            assert "appsecret_proof" in answer.json()["error"]["message"]

    def test_right(self, cloud: Cloud, strict: Token) -> None:
        """The hexadecimal HMAC of the token with the secret is accepted, in the query and in the form."""
        assert strict.proof == strict.app.proof(strict.text) != strict.app.proof("other")
        client = client_of(cloud, strict)
        assert client.read(params={"appsecret_proof": strict.proof}).status_code == 200
        assert client.publish("", data={KEY: keys.rsa().public, "appsecret_proof": strict.proof}).status_code == 200
        assert client.publish(keys.rsa().public, params={"appsecret_proof": strict.proof}).status_code == 200
        assert [record.parameters for record in cloud[ONE].requests] == [
            ("appsecret_proof",),
            (),
            ("appsecret_proof",),
        ]
        assert cloud.violations == []
        assert cloud.oddities == []

    def test_secret_sent(self, cloud: Cloud, strict: Token) -> None:
        """Sending the app secret itself is a violation."""
        client_of(cloud, strict).read(params={"appsecret_proof": "s3cr3t"})
        assert cloud.violations == [f"{ONE}: the secret of app {strict.app.id} was sent outside of its header"]


class TestRead:
    """GET."""

    @pytest.mark.parametrize(
        ("envelope", "document"),
        [("list", {"data": [BLANK]}), ("object", {"data": BLANK}), ("flat", BLANK)],
    )
    def test_envelopes(self, cloud: Cloud, client: Client, envelope: Any, document: dict[str, Any]) -> None:
        """A response comes in each known envelope; a number without a key is blank and MISMATCH."""
        cloud[ONE].envelope = envelope
        answer = client.read()
        assert answer.json() == document
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"

    @pytest.mark.parametrize(
        ("unset", "data"),
        [
            ("space", [{KEY: " \n", STATUS: "MISMATCH"}]),
            ("no data", []),
            ("no key", [{STATUS: "MISMATCH"}]),
            ("no members", [{}]),
        ],
    )
    def test_never_set(self, cloud: Cloud, client: Client, unset: Any, data: list[Any]) -> None:
        """A number without a key may say so in other ways."""
        cloud[ONE].unset = unset
        assert client.read().json() == {"data": data}
        cloud[ONE].overwrite(keys.rsa().public)
        assert key_of(client.read()) == (keys.rsa().public, "VALID")

    def test_fields(self, client: Client) -> None:
        """Fields can be selected; an unknown one is refused."""
        assert client.read(params={"fields": STATUS}).json() == {"data": [{STATUS: "MISMATCH"}]}
        assert client.read(params={"fields": f"{KEY}, {STATUS}"}).json() == {"data": [BLANK]}
        assert error_of(client.read(params={"fields": "public_key"})) == (400, 100, None)


class TestPublish:
    """POST."""

    def test_signs(self, cloud: Cloud, client: Client) -> None:
        """A published key is answered with success, and read back VALID."""
        pair = keys.rsa()
        answer = client.publish(pair.public)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert key_of(client.read()) == (pair.public, "VALID")
        publish, read = cloud[ONE].requests
        assert (publish.kind, publish.encoding, publish.carried_out) == ("publish", "form", True)
        assert (publish.fingerprint, publish.status, publish.code) == (pair.fingerprint, 200, None)
        assert (read.kind, read.encoding, read.fingerprint) == ("read", "", None)
        assert cloud[ONE].published == [pair.fingerprint]
        assert not cloud[TWO].holds(pair.public)
        assert cloud.oddities == []

    @pytest.mark.parametrize(
        ("encoding", "more"),
        [
            ("multipart", lambda pem: {"files": {KEY: (None, pem)}}),
            ("json", lambda pem: {"json": {KEY: pem}}),
            ("query", lambda pem: {"params": {KEY: pem}}),
        ],
    )
    def test_encodings(
        self, cloud: Cloud, client: Client, encoding: Any, more: Callable[[str], dict[str, Any]]
    ) -> None:
        """The other known encodings work, are recorded, and can be forbidden."""
        arguments = {"data": None, **more(keys.rsa().public)}
        assert client.publish("", **arguments).status_code == 200
        assert cloud[ONE].holds(keys.rsa().public)
        cloud.accepts.remove(encoding)
        assert error_of(client.publish("", **arguments)) == (400, 100, None)
        assert [record.encoding for record in cloud[ONE].requests] == [encoding, encoding]

    @pytest.mark.parametrize(
        "more",
        [
            {"data": {"public_key": "pem"}},
            {"data": None},
            {"data": {}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            {"data": {KEY: ["pem", "pem"]}},
            {"data": {KEY: "pem"}, "headers": {"Content-Type": "text/plain"}},
            {"data": None, "content": "no form", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            {"data": None, "content": '{"' + KEY, "headers": {"Content-Type": "application/json"}},
            {"data": None, "content": "[" * 60_000, "headers": {"Content-Type": "application/json"}},
            {"data": None, "json": [KEY]},
            {"data": None, "json": {KEY: None}},
            {"data": None, "content": "x", "headers": {"Content-Type": "multipart/form-data"}},
        ],
        ids=[
            *("other API's name", "nothing", "empty form", "twice", "content type", "no form", "cut JSON", "deep JSON"),
            *("no object", "null", "no boundary"),
        ],
    )
    def test_wrong_form(self, cloud: Cloud, client: Client, more: dict[str, Any]) -> None:
        """A body without the parameter, or an unreadable one, is refused."""
        pem = keys.rsa().public
        parameters = json.loads(json.dumps(more).replace('"pem"', json.dumps(pem)))
        assert error_of(client.publish("", **parameters)) == (400, 100, None)
        assert cloud[ONE].key is None
        assert (cloud[ONE].publishes, cloud[ONE].published) == (1, [])

    @pytest.mark.parametrize(
        "make",
        [
            lambda: keys.elliptic().public,
            lambda: keys.rsa("small", 1024).public,
            lambda: keys.classic_public_of(keys.rsa().private),
            lambda: keys.certificate_of(keys.rsa().private),
            lambda: keys.rsa().public.replace("\n", "\\n"),
            lambda: keys.rsa().public.replace("\n", ""),
            lambda: keys.rsa().public + keys.rsa("second").public,
            lambda: "",
            lambda: "é",
        ],
        ids=["EC", "1024", "PKCS#1", "certificate", "escaped", "one line", "two", "empty", "no PEM"],
    )
    def test_wrong_key(self, cloud: Cloud, client: Client, make: Callable[[], str]) -> None:
        """Anything but one RSA key of 2048 bits as SubjectPublicKeyInfo is refused."""
        assert error_of(client.publish(make())) == (400, 100, None)
        assert cloud[ONE].key is None
        assert cloud[ONE].requests[0].fingerprint is None

    @pytest.mark.parametrize("place", ["data", "params", "json"])
    def test_private_key(self, cloud: Cloud, client: Client, place: str) -> None:
        """A private key is refused wherever it is, and recorded as a violation."""
        more: dict[str, Any] = {place: {KEY: keys.rsa().private}}
        answer = client.request("POST", **more)
        assert error_of(answer) == (400, 100, None)
        assert cloud.violations == [f"{ONE}: a private key was sent"]
        assert "PRIVATE" not in repr(cloud.requests)

    def test_too_large(self, running: Cloud, connect: Connect) -> None:
        """A body that is too large is not read."""
        client = connect(running, client_of(running, running.token()))
        assert error_of(client.publish("A" * 100_000)) == (413, 1, None)
        assert running[ONE].key is None

    def test_no_success(self, cloud: Cloud, client: Client) -> None:
        """A publish can be answered without success, and then has no effect."""
        cloud[ONE].succeeds = False
        answer = client.publish(keys.rsa().public)
        assert (answer.status_code, answer.json()) == (200, {"success": False})
        assert cloud[ONE].key is None
        assert cloud[ONE].published == []

    def test_oddities(self, cloud: Cloud, client: Client) -> None:
        """Oddities that Meta ignores are recorded."""
        client.read(params={"verbose": "1"})
        client.publish("", data={KEY: keys.rsa().public, "public_key": "x"})
        client.request("GET", data={"x": "y"})
        assert cloud.oddities == [
            "parameter verbose on GET",
            "parameter public_key on POST",
            "a GET with a body",
            "parameter x on GET",
        ]


class TestNumber:
    """The state of a number."""

    def test_states(self, cloud: Cloud, client: Client) -> None:
        """A number can be deleted, in maintenance, not registered or not eligible, each with its own error."""
        number = cloud[cloud[ONE].id]
        number.eligible = False
        assert error_of(client.read()) == (422, 100, None)
        number.registered = False
        assert error_of(client.publish(keys.rsa().public)) == (400, 133010, None)
        number.maintenance = True
        assert error_of(client.read()) == (500, 131057, None)
        number.maintenance_code = 2494100
        assert error_of(client.read())[1] == 2494100
        number.deleted = True
        assert error_of(client.read()) == (400, 33, None)
        assert client_of(cloud, cloud.token(), TWO).read().status_code == 200
        assert number.key is None

    def test_registered_anew(self, cloud: Cloud, client: Client) -> None:
        """After a new registration the key is still there without its signature; a publish signs it."""
        public = keys.rsa().public
        cloud[ONE].registered = False
        client.publish(public)
        cloud[ONE].re_register()
        client.publish(public)
        cloud[ONE].re_register()
        assert key_of(client.read()) == (public, "MISMATCH")
        client.publish(public)
        assert key_of(client.read()) == (public, "VALID")

    def test_other_writers(self, cloud: Cloud, client: Client) -> None:
        """Another writer's key is VALID, a rival replaces every key, and a key can be lost."""
        ours, theirs = keys.rsa().public, keys.rsa("second").public
        client.publish(ours)
        cloud[ONE].overwrite(theirs)
        assert key_of(client.read()) == (theirs, "VALID")
        cloud[ONE].rival = theirs
        assert client.publish(ours).json() == {"success": True}
        assert cloud[ONE].holds(theirs)
        cloud[ONE].lose_key()
        assert key_of(client.read()) == ("", "MISMATCH")

    def test_valid_later(self, cloud: Cloud, client: Client) -> None:
        """A signature can become VALID after some reads or on request; the PEM can come back in another form."""
        cloud[ONE].wrap = str.strip
        cloud[ONE].reads_until_valid = 1
        client.publish(keys.rsa().public)
        assert [key_of(client.read()) for _ in range(2)] == [
            (keys.rsa().public.strip(), "MISMATCH"),
            (keys.rsa().public.strip(), "VALID"),
        ]
        cloud[ONE].reads_until_valid = None
        client.publish(keys.rsa().public)
        assert {key_of(client.read())[1] for _ in range(3)} == {"MISMATCH"}
        cloud[ONE].release()
        assert key_of(client.read())[1] == "VALID"


class TestErrors:
    """Every error of the API."""

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            *((0, 401), (1, 400), (2, 503), (3, 500), (4, 429), (10, 403), (33, 400), (100, 400), (190, 401)),
            *((200, 403), (299, 403), (368, 403), (803, 404), (80007, 400), (130429, 400), (130497, 403)),
            *((131000, 500), (131005, 403), (131008, 400), (131009, 400), (131016, 500), (131031, 403)),
            *((131045, 500), (131057, 500), (133000, 500), (133004, 503), (133005, 400), (133006, 400)),
            *((133008, 400), (133009, 400), (133010, 400), (133016, 400)),
        ],
    )
    def test_codes(self, cloud: Cloud, client: Client, code: int, status: int) -> None:
        """Each documented code comes with its documented status, and is recorded."""
        cloud[ONE].fail("publish", graph_error(code))
        assert error_of(client.publish(keys.rsa().public)) == (status, code, None)
        (record,) = cloud[ONE].requests
        assert (record.status, record.code, record.carried_out) == (status, code, False)
        assert client.publish(keys.rsa().public).status_code == 200

    def test_every_code(self, cloud: Cloud, client: Client) -> None:
        """Every code has a message that names it."""
        for code in MESSAGES:
            cloud.fail("any", graph_error(code))
            answer = client.read()
            assert answer.status_code >= 400
            assert answer.json()["error"]["message"].startswith(f"(#{code}) ")

    def test_members(self, cloud: Cloud, client: Client) -> None:
        """Every member of the envelope can be set, also to a wrong value."""
        fault = graph_error(
            "131000",
            "No",
            subcode=7,
            status=418,
            transient=True,
            details="why",
            retry_after="9",
            error_user_msg="Sorry",
        )
        cloud[ONE].fail("read", fault)
        answer = client.read()
        assert (answer.status_code, answer.headers["retry-after"]) == (418, "9")
        error = answer.json()["error"]
        assert error.pop("fbtrace_id") == cloud[ONE].requests[0].trace
        assert error == {
            "message": "(#131000) No",
            "type": "OAuthException",
            "code": "131000",
            "error_subcode": 7,
            "is_transient": True,
            "error_data": {"messaging_product": "whatsapp", "details": "why"},
            "error_user_msg": "Sorry",
        }
        cloud[ONE].fail("read", graph_error(1, fbtrace_id="x\ny"))
        assert client.read().json()["error"]["fbtrace_id"] == "x\ny"

    def test_transient(self) -> None:
        """Only the documented examples are marked as transient, unless a test says so."""
        assert graph_error(4).more == graph_error(2).more == {"is_transient": True}
        assert graph_error(131000).more == {}
        assert graph_error(2, transient=False).more == {"is_transient": False}

    def test_order(self, cloud: Cloud, client: Client) -> None:
        """A fault of all numbers precedes one of a single number, and healing removes both."""
        cloud[ONE].fail("read", graph_error(2), times=None)
        cloud.fail("any", graph_error(1))
        assert [error_of(client.read())[1] for _ in range(3)] == [1, 2, 2]
        cloud.heal()
        assert client.read().status_code == 200

    def test_needs_a_connection(self, cloud: Cloud, client: Client) -> None:
        """A fault of connections requires a connection."""
        cloud[ONE].fail("read", faults.page())
        with pytest.raises(TypeError, match="needs a connection"):
            client.read()


class TestLimits:
    """Rate limits, and the usage headers."""

    @pytest.fixture(name="clock")
    def clock_fixture(self, cloud: Cloud) -> Clock:
        """The clock of the API."""
        cloud.clock = clock = Clock()
        return clock

    def test_account(self, cloud: Cloud, client: Client, clock: Clock) -> None:
        """The calls of an app to a business account are limited in a sliding hour, and the headers report the usage."""
        limit = cloud.limit(4)
        other = client_of(cloud, cloud.token("other"), TWO)
        seen = []
        for step in (client, client, other, other):
            answer = step.read()
            (usage,) = json.loads(answer.headers["x-business-use-case-usage"])[WABA]
            assert usage["type"] == "whatsapp_business_management"
            seen.append((answer.status_code, usage["call_count"], usage["estimated_time_to_regain_access"]))
            clock.now += 600
        assert seen == [(200, 25, 0), (200, 50, 0), (200, 75, 0), (200, 100, 20 + 10)]
        answer = client.publish(keys.rsa().public)
        assert error_of(answer) == (400, 80007, None)
        (usage,) = json.loads(answer.headers["x-business-use-case-usage"])[WABA]
        assert (usage["call_count"], usage["estimated_time_to_regain_access"]) == (100, 20)
        assert cloud[ONE].key is None
        assert (cloud.refused, limit.refused) == (1, 1)
        clock.now += 1200
        assert client.publish(keys.rsa().public).status_code == 200
        assert error_of(client.read())[1] == 80007
        assert "x-app-usage" not in answer.headers

    def test_hour_of_the_clock(self, cloud: Cloud, client: Client, clock: Clock) -> None:
        """The limit can be by clock hour."""
        cloud.limit(2, "app", window="hourly")
        clock.now += 3000
        assert [client.read().status_code for _ in range(3)] == [200, 200, 429]
        clock.now += 600
        assert client.read().status_code == 200

    def test_app(self, cloud: Cloud, client: Client) -> None:
        """An app's limit is refused as documented."""
        cloud.limit(1, "app", retry_after="seconds")
        answer = client.read()
        assert json.loads(answer.headers["x-app-usage"]) == {"call_count": 100, "total_cputime": 0, "total_time": 0}
        answer = client.read()
        assert error_of(answer) == (429, 4, 2446079)
        assert answer.json()["error"]["is_transient"] is True
        assert 0 < int(answer.headers["retry-after"]) <= 3600
        assert client_of(cloud, cloud.token(app=cloud.app())).read().status_code == 200

    def test_token_and_number(self, cloud: Cloud, client: Client) -> None:
        """Tokens and numbers can have limits of their own."""
        cloud.limit(3, "token", retry_after="soon")
        cloud.limit(1, "number")
        assert client.read().status_code == 200
        assert error_of(client.read())[1] == 130429
        two = client_of(cloud, cloud.token("other"), TWO)
        assert two.read().status_code == 200
        assert error_of(client.read())[1] == 130429
        answer = client.read()
        assert (error_of(answer)[1], answer.headers.get("retry-after")) == (130429, None)

    def test_computing_time(self, cloud: Cloud, client: Client) -> None:
        """CPU time can run out before the calls do."""
        cloud.limit(100, cputime_per_call=40)
        answers = [client.read() for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 400]
        (usage,) = json.loads(answers[2].headers["x-business-use-case-usage"])[WABA]
        assert (usage["call_count"], usage["total_cputime"]) == (3, 100)

    def test_refused_calls(self, cloud: Cloud, client: Client, clock: Clock) -> None:
        """Refused calls can prolong the limit."""
        cloud.limit(1, counts_refused=True)
        client.read()
        clock.now += 3000
        assert error_of(client.read())[1] == 80007
        clock.now += 3000
        assert error_of(client.read())[1] == 80007

    def test_hidden(self, cloud: Cloud, client: Client) -> None:
        """Usage headers can be off, and a limit can rise; a call without access does not count."""
        limit = cloud.limit(1)
        cloud.show_usage = False
        client.read(headers={"Authorization": "Bearer nobody"})
        answer = client.read()
        assert answer.status_code == 200
        assert not any("usage" in name for name in answer.headers)
        assert client.read().status_code == 400
        limit.calls_per_hour = 5000
        assert client.read().status_code == 200

    def test_limit_before_fault(self, cloud: Cloud, client: Client) -> None:
        """A call beyond the limit meets no other fault, and one that meets a fault counts."""
        cloud.limit(1)
        cloud[ONE].fail("read", graph_error(2), times=2)
        assert [error_of(client.read())[1] for _ in range(2)] == [2, 80007]
        assert [record.code for record in cloud[ONE].requests] == [2, 80007]


class TestPort:
    """Over TLS."""

    def test_connection(self, connect: Connect) -> None:
        """The record of a call has all that a test needs."""
        with Cloud([ONE]) as cloud:
            client = connect(cloud, client_of(cloud, cloud.token("main")))
            cloud.limit(200)
            answer = client.publish(keys.rsa().public, params={"locale": "en"})
            assert answer.status_code == 200
            (record,) = cloud.requests
            assert answer.headers["x-fb-trace-id"] == record.trace
            assert {"x-business-use-case-usage", "facebook-api-version"} <= set(answer.headers)
            assert (record.method, record.path, record.status) == ("POST", cloud.path(ONE), 200)
            assert (record.parameters, record.encoding, record.token) == (("locale",), "form", "main")
            assert {"authorization", "content-type"} <= set(record.headers)
            assert record.client_port > 0
            assert not record.open
            assert cloud.peak == 1
            cloud.forget_requests()
            assert (cloud.reads, cloud.publishes, cloud.requests) == (0, 0, [])

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(faults.page(502), id="page"),
            pytest.param(faults.CutOff(within="body"), id="cut off"),
            pytest.param(faults.CutOff(carried_out=True, reset=True), id="reset"),
            pytest.param(faults.redirect("https://127.0.0.1/"), id="redirect"),
            pytest.param(graph_error(2, retry_after="-1"), id="error"),
            *(pytest.param(faults.text(text), id=name) for name, text in SHAPES.items()),
        ],
    )
    def test_faults(self, running: Cloud, connect: Connect, fault: Fault) -> None:
        """The faults of the other simulator work here too, and the next call is answered properly."""
        client = connect(running, client_of(running, running.token()))
        running[ONE].fail("read", fault)
        if isinstance(fault, faults.CutOff):
            with pytest.raises(httpx.TransportError):
                client.read()
        else:
            assert client.read().content != client.read().content
        assert client.read().status_code == 200

    def test_headers(self, running: Cloud, connect: Connect) -> None:
        """The headers of a proper response can be malformed."""
        running[ONE].fail("read", faults.Twist(headers={"X-App-Usage": "{", "Retry-After": "NaN"}))
        answer = connect(running, client_of(running, running.token())).read()
        assert (answer.status_code, answer.headers["x-app-usage"], answer.headers["retry-after"]) == (200, "{", "NaN")
        assert answer.json() == {"data": [BLANK]}

    def test_hangs(self, connect: Connect) -> None:
        """A call can hang until it is released, and have taken effect before."""
        with Cloud([ONE]) as cloud, ThreadPoolExecutor(1) as pool:
            client = connect(cloud, client_of(cloud, cloud.token()))
            hang = cloud[ONE].fail("publish", faults.Hang(carried_out=True))
            answer = pool.submit(client.publish, keys.rsa().public)
            cloud.wait_until(lambda: cloud[ONE].holds(keys.rsa().public))
            assert cloud[ONE].busy == 1
            hang.release()
            assert answer.result(5).json() == {"success": True}

    def test_outage(self, connect: Connect) -> None:
        """The port can be closed, frozen, opened again, and show another certificate."""
        with Cloud([ONE]) as cloud:
            client = connect(cloud, client_of(cloud, cloud.token()))
            cloud.stop()
            with pytest.raises(httpx.ConnectError):
                client.read()
            cloud.freeze()
            client.http.timeout = httpx.Timeout(0.2)
            with pytest.raises(httpx.TimeoutException):
                client.read()
            cloud.start()
            client.http.timeout = httpx.Timeout(5)
            assert client.read().status_code == 200
            cloud.show_certificate(self_signed("127.0.0.1"))
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                client.read()
            assert cloud.reads == 1

    def test_waiting_in_vain(self, cloud: Cloud) -> None:
        """Waiting ends, and reports the count."""
        with pytest.raises(TimeoutError, match=r"(?s)a publish did not happen .*0 publishes"):
            cloud.wait_until(lambda: cloud.publishes > 0, timeout=0.01, what="a publish")

    def test_a_thousand(self) -> None:
        """A thousand numbers are read, published and counted in little time."""
        cloud = Cloud(numbers(1000))
        token, public = cloud.token(), keys.rsa().public
        cloud.limit(5000)
        body = urlencode({KEY: public}).encode()
        headers = {"Authorization": f"Bearer {token.text}", "Content-Type": "application/x-www-form-urlencoded"}
        for number in numbers(1000):
            assert cloud.ask("GET", cloud.path(number), headers=headers).status == 200
            assert cloud.ask("POST", cloud.path(number), headers=headers, body=body).status == 200
        assert cloud.all_hold(public)
        assert (cloud.reads, cloud.publishes, cloud.refused) == (1000, 1000, 0)


class TestProvider:
    """A business solution provider."""

    @pytest.fixture(name="provider")
    def provider_fixture(self) -> Provider:
        """Two numbers, without a port."""
        return Provider([ONE, TWO])

    def test_signs(self, provider: Provider) -> None:
        """The API key selects the number; all else is as at Meta."""
        client = provided(provider)
        assert key_of(client.read()) == ("", "MISMATCH")
        assert client.publish(keys.rsa().public).json() == {"success": True}
        assert key_of(client.read()) == (keys.rsa().public, "VALID")
        assert key_of(provided(provider, TWO).read()) == ("", "MISMATCH")
        assert provider[ONE].published == [keys.rsa().fingerprint]
        assert {record.token for record in provider[ONE].requests} == {ONE}
        assert "d360-api-key" in provider[ONE].requests[0].headers
        assert provider.violations == []

    @pytest.mark.parametrize("headers", [{}, {"D360-API-KEY": "x"}, {"Authorization": "Bearer {key}"}])
    def test_unauthorised(self, provider: Provider, headers: dict[str, str]) -> None:
        """Without the API key in its header every call is refused."""
        sent = {name: value.format(key=provider.key(ONE)) for name, value in headers.items()}
        assert error_of(Client(provider, f"/{EDGE}", sent).read()) == (401, 190, None)
        assert provider.strays == [f"/{EDGE}"]

    def test_new_key(self, provider: Provider) -> None:
        """A replaced API key gives no access."""
        client = provided(provider)
        provider.replace_key(ONE)
        assert error_of(client.read())[0] == 401
        assert key_of(provided(provider).read()) == ("", "MISMATCH")

    def test_key_in_the_open(self, provider: Provider) -> None:
        """An API key in the query is a violation."""
        Client(provider, f"/{EDGE}", {}).read(params={"key": provider.key(TWO)})
        assert provider.violations == [f"elsewhere: the API key of {TWO} was sent outside of its header"]

    @pytest.mark.parametrize("path", [f"/v25.0/1/{EDGE}", "/", f"/{EDGE}/", f"/v1/{EDGE}"])
    def test_wrong_path(self, provider: Provider, path: str) -> None:
        """The path has no id and no version."""
        assert provided(provider, path=path).read().status_code == 404

    def test_own_ways(self) -> None:
        """Header and URL can differ, and the URL can name the number."""
        provider = Provider([ONE, TWO], header="X-Key", base="/v2/{digits}/{phoneNumberID}")
        path = f"/v2/{ONE[1:]}/{provider[ONE].id}/{EDGE}"
        assert provided(provider, path=path).read().status_code == 200
        assert error_of(provided(provider, TWO, path=path).read()) == (404, 803, None)
        assert provider.url.endswith("/v2/{digits}/{phoneNumberID}")

    def test_errors_and_limits(self, provider: Provider) -> None:
        """Errors and limits are those of the API behind it."""
        client = provided(provider)
        provider[ONE].registered = False
        assert error_of(client.read()) == (400, 133010, None)
        assert error_of(client.request("DELETE"))[0] == 405
        provider[TWO].fail("read", graph_error(131016))
        assert error_of(provided(provider, TWO).read()) == (500, 131016, None)
        assert error_of(provided(provider, TWO).publish(keys.elliptic().public)) == (400, 100, None)
        provider.limit(1, "token")
        assert [provided(provider, TWO).read().status_code for _ in range(2)] == [200, 429]

    def test_port(self, connect: Connect) -> None:
        """It has its own port."""
        with Provider([ONE]) as provider:
            assert connect(provider, provided(provider)).read().status_code == 200
            assert provider.url == provider.origin


class TestNumbersOfAnAccount:
    """The edge `phone_numbers`."""

    @pytest.fixture
    def ask(self, cloud: Cloud) -> Callable[..., httpx.Response]:
        """Provide requests for the list, with a token for management."""
        token = cloud.token(permissions={MANAGEMENT})
        client = client_of(cloud, token)
        return lambda method="GET", waba=WABA, **query: client.request(
            method, f"/v25.0/{waba}/phone_numbers", params=query
        )

    def test_pages(self, cloud: Cloud, ask: Callable[..., httpx.Response]) -> None:
        """There is a `next`, with the token in it, where there is a next page only."""
        for place in range(28):
            cloud.add(f"+1555000{place:04}")
        first = ask().json()
        second = ask(after=first["paging"]["cursors"]["after"]).json()

        assert (len(first["data"]), len(first["data"] + second["data"])) == (25, len(cloud.numbers))
        assert "access_token=EAA" in first["paging"]["next"]
        assert "next" not in second["paging"]
        assert set(first["data"][0]) == {"id", "display_phone_number", "quality_rating", "verified_name"}
        assert set(ask(fields="platform_type").json()["data"][0]) == {"id", "platform_type"}

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            ({"limit": "101"}, 100),
            ({"limit": "0"}, 100),
            ({"after": "x"}, 100),
            ({"fields": "colour"}, 100),
            ({"waba": "99"}, 803),
            ({"method": "POST"}, 100),
        ],
    )
    def test_refusals(self, ask: Callable[..., httpx.Response], request_: dict[str, str], code: int) -> None:
        """What Meta refuses."""
        assert error_of(ask(**request_))[1] == code
