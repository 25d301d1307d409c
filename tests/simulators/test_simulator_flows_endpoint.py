"""The simulator of a Flow endpoint answers as Meta's sample endpoint, and fails on request."""

import json
from collections.abc import Iterator

import httpx
import pytest

from bek_operator.crd.reasons import EndpointReason
from bek_operator.endpoint.judge import Answer, judge
from bek_operator.endpoint.ping import SIGNATURE_HEADER, Session, ping_for, signature_of
from support import keys
from support.simulators import faults
from support.simulators.flows_endpoint import Flaw, FlowsEndpoint

FIRST, SECOND = keys.rsa(), keys.rsa("second")
APP_SECRET = "an app secret"
SESSION = Session(b"sixteen bytes of", b"key and a vector")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(name="endpoint")
def endpoint_fixture() -> Iterator[FlowsEndpoint]:
    """An endpoint that holds the first key and wants signatures."""
    with FlowsEndpoint(FIRST, app_secret=APP_SECRET) as endpoint:
        yield endpoint


def post(endpoint: FlowsEndpoint, body: bytes, *, secret: str = APP_SECRET) -> httpx.Response:
    """Send a request as Meta does."""
    headers = {**JSON, SIGNATURE_HEADER: signature_of(body, secret)} if secret else JSON
    with httpx.Client(verify=endpoint.certificate.client_context()) as client:
        return client.post(endpoint.url, content=body, headers=headers, timeout=5)


def ping(endpoint: FlowsEndpoint, pair: keys.KeyPair = FIRST, *, secret: str = APP_SECRET) -> Answer:
    """Send a ping, and judge the answer."""
    response = post(endpoint, ping_for(pair.public, SESSION), secret=secret)
    return judge(response.status_code, response.content, SESSION, signed=bool(secret))


def test_it_opens_what_is_encrypted_to_its_keys(endpoint: FlowsEndpoint) -> None:
    """To any of them, and to no other; its records say which."""
    assert ping(endpoint).holds_key
    assert ping(endpoint, SECOND).reason is EndpointReason.LACKS_KEY
    endpoint.hold(SECOND)
    assert ping(endpoint).holds_key
    assert ping(endpoint, SECOND).holds_key
    endpoint.lose(FIRST)
    assert ping(endpoint).reason is EndpointReason.LACKS_KEY
    assert [one.opened for one in endpoint.pings] == [
        FIRST.fingerprint,
        None,
        FIRST.fingerprint,
        SECOND.fingerprint,
        None,
    ]
    assert endpoint.violations == []


@pytest.mark.parametrize("secret", ["another one", ""])
def test_it_refuses_other_signatures_and_none(endpoint: FlowsEndpoint, secret: str) -> None:
    """432, as in Meta's sample."""
    assert ping(endpoint, secret=secret).reason is EndpointReason.SIGNATURE_REFUSED
    endpoint.app_secret = ""
    assert ping(endpoint, secret=secret).holds_key


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("in the clear", "in the clear"),
        ("not base64", "not base64"),
        ("another key", "does not open"),
        ("vector not inverted", "invert every bit"),
        ("AES-256", "HTTP 500"),
        ("wrong padding", "HTTP 500"),
        ("not active", '"status": "active"'),
        ("wants a flow token", "HTTP 427"),
    ],
)
def test_its_program_can_be_wrong(endpoint: FlowsEndpoint, flaw: Flaw, words: str) -> None:
    """In every way that the answer tells."""
    endpoint.flaw = flaw
    found = ping(endpoint)
    assert found.reason is EndpointReason.INVALID_ANSWER
    assert words in found.message


def test_an_older_one_answers_with_the_version(endpoint: FlowsEndpoint) -> None:
    """Beside the data, which is all that counts."""
    endpoint.versioned = True
    assert ping(endpoint).holds_key


@pytest.mark.parametrize("status", [500, 400])
def test_a_careless_one_fails_on_a_key_that_it_lacks(endpoint: FlowsEndpoint, status: int) -> None:
    """With another status than 421."""
    endpoint.lacks_status = status
    found = ping(endpoint, SECOND)
    assert found.reason is EndpointReason.INVALID_ANSWER
    assert f"HTTP {status}: it failed on the ping" in found.message


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"encrypted_flow_data": "AAAA" * 10}, 500),
        ({"initial_vector": "AAAA"}, 500),
        ({"encrypted_aes_key": "AAAA"}, 421),
        ({"encrypted_aes_key": "?"}, 400),
        ({"encrypted_aes_key": 1}, 400),
        ({"more": "AAAA"}, 400),
    ],
)
def test_it_refuses_what_is_no_request_of_metas(
    endpoint: FlowsEndpoint, change: dict[str, object], status: int
) -> None:
    """421 is for the RSA part only; what is malformed gets 400."""
    body = json.dumps({**json.loads(ping_for(FIRST.public, SESSION)), **change}).encode()
    assert post(endpoint, body).status_code == status


def test_its_server_can_fail(endpoint: FlowsEndpoint) -> None:
    """By any fault of the other simulators; then the next request is answered."""
    endpoint.fail(faults.redirect("https://127.0.0.1:1/"))
    assert "HTTP 302" in ping(endpoint).message
    endpoint.fail(faults.CutOff(), times=None)
    with pytest.raises(httpx.HTTPError):
        ping(endpoint)
    endpoint.heal()
    endpoint.stop()
    with pytest.raises(httpx.ConnectError):
        ping(endpoint)
    endpoint.start()
    assert ping(endpoint).holds_key


def test_a_request_that_meta_never_sends_is_a_violation(endpoint: FlowsEndpoint) -> None:
    """A body that is not announced as JSON, or another path."""
    body = ping_for(FIRST.public, SESSION)
    headers = {SIGNATURE_HEADER: signature_of(body, APP_SECRET)}
    with httpx.Client(verify=endpoint.certificate.client_context()) as client:
        client.post(endpoint.url, content=body, headers=headers)
        assert client.get(endpoint.url).status_code == 404
    assert len(endpoint.violations) == 1
