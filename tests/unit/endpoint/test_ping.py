"""The encrypted ping, opened by implementations that are not ours."""

import base64
import json
import os
import subprocess

import pytest

from bek_operator.crd.reasons import EndpointReason
from bek_operator.endpoint.judge import judge
from bek_operator.endpoint.ping import Session, ping_for, signature_of
from support import keys
from unit.endpoint.peers import PEERS, SESSION, Peer, decrypted

APP_SECRET = "0123456789abcdef"


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_a_ping_opens_with_the_private_key_and_its_answer_here(peer: Peer) -> None:
    """The whole exchange with an endpoint that holds the key."""
    pair = keys.rsa()
    answers = peer.answers(ping_for(pair.public, SESSION), pair.private)
    for proper in ("proper", "versioned"):
        found = judge(200, answers[proper].encode(), SESSION, signed=False)
        assert (found.reason, found.message, found.holds_key) == (EndpointReason.HOLDS_KEY, "", True)


def test_no_two_pings_are_alike() -> None:
    """The AES key is padded with random bytes, so that equal ones do not show."""
    first, second = (json.loads(ping_for(keys.rsa().public, SESSION)) for _ in range(2))
    assert first["encrypted_flow_data"] == second["encrypted_flow_data"]
    assert first["encrypted_aes_key"] != second["encrypted_aes_key"]


def test_a_ping_does_not_open_with_another_private_key() -> None:
    """OpenSSL finds the padding wrong."""
    encrypted = base64.b64decode(json.loads(ping_for(keys.rsa().public, SESSION))["encrypted_aes_key"])
    with pytest.raises(subprocess.CalledProcessError):
        decrypted(encrypted, keys.rsa("second").private)


def test_a_signature_is_that_of_openssl() -> None:
    """As Meta signs the raw body."""
    body = ping_for(keys.rsa().public, SESSION)
    command = ["openssl", "dgst", "-sha256", "-hmac", APP_SECRET, "-r"]
    printed = subprocess.run(command, input=body, capture_output=True, check=True).stdout.split()[0]
    assert signature_of(body, APP_SECRET) == f"sha256={printed.decode()}"


@pytest.mark.parametrize(
    "public",
    [keys.elliptic().public, keys.rsa("short", 1024).public, keys.rsa().private, "no key", "x" * 10_000],
    ids=["EC", "1024 bits", "private", "text", "large"],
)
def test_nothing_is_encrypted_to_what_is_no_rsa_key(public: str) -> None:
    """Only RSA encrypts."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        ping_for(public, SESSION)


@pytest.mark.parametrize("sizes", [(32, 16), (16, 12)])
def test_a_session_has_128_bits_twice(sizes: tuple[int, int]) -> None:
    """Neither AES-256 nor the usual vector of twelve bytes."""
    with pytest.raises(ValueError, match="16 bytes"):
        Session(*map(os.urandom, sizes))


def test_a_session_shows_nothing() -> None:
    """Whoever has its AES key could read the answer."""
    assert repr(SESSION) == "Session()"
