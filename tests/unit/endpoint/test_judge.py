"""The judgement of answers to a ping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bek_operator.crd.reasons import EndpointReason
from bek_operator.endpoint.judge import MAX_ANSWER_BYTES, judge
from bek_operator.endpoint.ping import ping_for
from support import keys
from unit.endpoint.peers import PEERS, SESSION, Peer

LACKS, REFUSED = EndpointReason.LACKS_KEY, EndpointReason.SIGNATURE_REFUSED
INVALID, UNREACHABLE = EndpointReason.INVALID_ANSWER, EndpointReason.UNREACHABLE


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("in the clear", "in the clear"),
        ("in the clear as base64", "in the clear"),
        ("vector not inverted", "invert every bit"),
        ("another key", "does not open"),
        ("AES-256", "does not open"),
        ("not active", '"status": "active"'),
        ("not JSON", '"status": "active"'),
        ("quoted", "without quotes"),
    ],
)
def test_a_fault_of_the_protocol_is_told_from_the_others(peer: Peer, fault: str, words: str) -> None:
    """Each by the answer alone, and none is taken for a lack of the key."""
    pair = keys.rsa()
    answer = peer.answers(ping_for(pair.public, SESSION), pair.private)[fault]
    found = judge(200, answer.encode(), SESSION, signed=False)
    assert (found.reason, found.certain) == (INVALID, True)
    assert words in found.message


@pytest.mark.parametrize(
    ("status", "reason", "certain", "words"),
    [
        (421, LACKS, True, "private key"),
        (432, REFUSED, True, "the same app secret"),
        (400, INVALID, True, "RSA-OAEP"),
        (500, INVALID, False, "RSA-OAEP"),
        (503, UNREACHABLE, False, "unavailable"),
        (429, UNREACHABLE, False, "unavailable"),
        (408, UNREACHABLE, False, "unavailable"),
        (302, INVALID, True, "redirects are not followed"),
        (204, INVALID, True, "`flowsEndpoint.url`"),
        (401, INVALID, True, "`flowsEndpoint.appSecretRef`"),
        (403, INVALID, True, "`flowsEndpoint.appSecretRef`"),
        (404, INVALID, True, "`flowsEndpoint.url`"),
        (427, INVALID, True, "must answer pings without one"),
        (410, INVALID, True, "`flowsEndpoint.url`"),
    ],
)
def test_a_status_other_than_200_has_its_meaning(
    status: int, reason: EndpointReason, words: str, *, certain: bool
) -> None:
    """421, 427 and 432 are Meta's; many endpoints fail with 500 or 400 on a key that they lack."""
    found = judge(status, b"", SESSION, signed=True)
    assert (found.reason, found.certain, found.holds_key) == (reason, certain, False)
    assert words in found.message
    assert f"HTTP {status}" in found.message


def test_a_signature_that_is_missing_is_asked_for() -> None:
    """A user who named no app secret need not look for a wrong one."""
    found = judge(432, b"", SESSION, signed=False)
    assert found.reason is REFUSED
    assert "requires a signature" in found.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"YWN0aXZl", "does not open"),
        (b"<!doctype html>", "not base64"),
        (b"[1]", "not base64"),
        (b"{" * 60_000, "not base64"),
        (b"[" * MAX_ANSWER_BYTES, "not base64"),
        (b"\xff", "not base64"),
        (b"A" * (MAX_ANSWER_BYTES + 1), "larger than"),
    ],
    ids=["empty", "blank", "text", "page", "list", "braces", "brackets", "binary", "large"],
)
def test_an_answer_of_another_application_is_invalid(body: bytes, words: str) -> None:
    """Whatever it is, however large or deep."""
    found = judge(200, body, SESSION, signed=False)
    assert found.reason is INVALID
    assert words in found.message


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_blanks_around_an_answer_are_ignored(peer: Peer) -> None:
    """Some frameworks end every text with a newline."""
    pair = keys.rsa()
    proper = peer.answers(ping_for(pair.public, SESSION), pair.private)["proper"]
    assert judge(200, f"\n{proper}\r\n".encode(), SESSION, signed=False).holds_key


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_a_proper_answer_in_another_form_is_told_from_another_application(peer: Peer) -> None:
    """Some libraries wrap base64, and some frameworks answer a POST with 201."""
    pair = keys.rsa()
    proper = peer.answers(ping_for(pair.public, SESSION), pair.private)["proper"].encode()
    wrapped = judge(200, proper[:30] + b"\n" + proper[30:] + b"\n", SESSION, signed=False)
    created = judge(201, proper, SESSION, signed=False)
    assert (wrapped.reason, created.reason) == (INVALID, INVALID)
    assert "on one line" in wrapped.message
    assert "must answer it with HTTP 200" in created.message
    assert "not base64" in judge(200, proper[:30] + b"\n" + proper[31:], SESSION, signed=False).message


@given(status=st.integers(100, 599), body=st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_answer_is_taken_for_a_proof_or_repeated(status: int, body: bytes) -> None:
    """Without our AES key nobody can answer a ping; the message has our own words, and not too many."""
    found = judge(status, body, SESSION, signed=False)
    assert not found.holds_key
    assert 0 < len(found.message) <= 200
