"""Which key an API reports, as far as its answer is one."""

from collections.abc import Callable

import pytest

from bek_operator.model.key import UnreadableKey, remote_fingerprint
from kit import keys
from kit.key_samples import armored, certificate, der_of, generated, plain, public_of, public_of_numbers

REPORTED: dict[str, Callable[[], str]] = {
    "what was published": lambda: plain().public,
    "CRLF": lambda: plain().public.replace("\n", "\r\n"),
    "literal \\n": lambda: plain().public.replace("\n", "\\n"),
    "no newline at the end": lambda: plain().public[:-1],
    "white space around it": lambda: f"  {plain().public}\n\n",
    "PKCS#1": lambda: keys.classic_public_of(plain().private),
    "other line lengths": lambda: armored("PUBLIC KEY", der_of(plain().public)).replace("\n", ""),
    "no BEGIN and END lines": lambda: plain().public.split("-----")[2],
}


@pytest.mark.parametrize("text", REPORTED.values(), ids=REPORTED.keys())
def test_our_key_is_recognised_however_it_is_written(text: Callable[[], str]) -> None:
    """Fingerprints are compared, not texts."""
    assert remote_fingerprint(text()) == plain().fingerprint


FOREIGN: dict[str, Callable[[], str]] = {
    "2048 bits": lambda: keys.rsa("second").public,
    "4096 bits": lambda: public_of_numbers(n=2**4095 + 1, e=65537),
    "EC": lambda: keys.elliptic().public,
    "Ed25519": lambda: public_of(generated("-algorithm", "ED25519")),
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN.keys())
def test_any_other_public_key_has_a_fingerprint(text: Callable[[], str]) -> None:
    """Somebody else's key is somebody else's, whatever its kind."""
    assert remote_fingerprint(text()) == keys.fingerprint(text()) != plain().fingerprint


@pytest.mark.parametrize("text", ["", " ", "\r\n", "\\n"])
def test_a_blank_key_is_no_key(text: str) -> None:
    """What an API answers before a key was ever set has no fingerprint."""
    assert remote_fingerprint(text) is None


OTHER: dict[str, Callable[[], str]] = {
    "HTML": lambda: "<html>",
    "too large": lambda: "A" * 8193,
    "cut off": lambda: plain().public[:200],
    "two keys": lambda: plain().public + keys.rsa("second").public,
    "a certificate": certificate,
    "a private key": lambda: plain().private,
    "a private key beside its public half": lambda: plain().private + plain().public,
    "an empty block": lambda: armored("PUBLIC KEY", b""),
    "a block of something else": lambda: armored("PUBLIC KEY", b"not DER"),
    "base64 of something else": lambda: "aGVsbG8=",
    "half a character": lambda: "\ud800",
}


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER.keys())
def test_an_answer_that_is_no_public_key_is_told_apart(text: Callable[[], str]) -> None:
    """Anything but one public key is not understood, and not quoted."""
    with pytest.raises(UnreadableKey, match=r"^the answer is (no readable|too large for a) public key$"):
        remote_fingerprint(text())
