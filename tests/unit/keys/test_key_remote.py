"""The fingerprint of the public key that an API reports."""

import hashlib
from collections.abc import Callable

import pytest

from bek_operator.keys.public_key import UnreadableKey, is_usable, remote_fingerprint
from support import der, keys
from support.key_samples import (
    armored,
    certificate,
    classic_with,
    der_of,
    generated,
    plain,
    public_of,
    public_of_numbers,
)


def pkcs1() -> bytes:
    """Return our public key in PKCS#1."""
    return der_of(keys.classic_public_of(plain().private))


REPORTED: dict[str, Callable[[], str]] = {
    "what was published": lambda: plain().public,
    "CRLF": lambda: plain().public.replace("\n", "\r\n"),
    "literal \\n": lambda: plain().public.replace("\n", "\\n"),
    "no newline at the end": lambda: plain().public[:-1],
    "white space around it": lambda: f"  {plain().public}\n\n",
    "PKCS#1": lambda: keys.classic_public_of(plain().private),
    "other line lengths": lambda: armored("PUBLIC KEY", der_of(plain().public)).replace("\n", ""),
    "no BEGIN and END lines": lambda: plain().public.split("-----")[2],
    "no BEGIN and END lines, PKCS#1": lambda: keys.classic_public_of(plain().private).split("-----")[2],
    "another label": lambda: armored("RSA PUBLIC KEY", der_of(plain().public)),
    "an algorithm without its NULL": lambda: armored(
        "PUBLIC KEY", der.sequence(der.sequence(der.oid(der.RSA)), der.bits(pkcs1()))
    ),
}


@pytest.mark.parametrize("text", REPORTED.values(), ids=REPORTED.keys())
def test_our_key_is_recognised_in_any_form(text: Callable[[], str]) -> None:
    """Fingerprints are compared, not texts."""
    assert remote_fingerprint(text()) == plain().fingerprint


FOREIGN: dict[str, Callable[[], str]] = {
    "2048 bits": lambda: keys.rsa("second").public,
    "4096 bits": lambda: public_of_numbers(n=2**4095 + 1, e=65537),
    "EC": lambda: keys.elliptic().public,
    "16384 bits": lambda: armored("PUBLIC KEY", der.public_key_info(der.RSA, 16_384)),
    "Ed25519": lambda: public_of(generated("-algorithm", "ED25519")),
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN.keys())
def test_any_other_public_key_has_a_fingerprint(text: Callable[[], str]) -> None:
    """Of any algorithm and size."""
    assert remote_fingerprint(text()) == keys.fingerprint(text()) != plain().fingerprint


@pytest.mark.parametrize("algorithm", [der.RSA_PSS, der.DSA, der.DIFFIE_HELLMAN, der.X942, der.EC])
def test_a_large_key_of_another_algorithm_is_not_loaded(algorithm: str) -> None:
    """Its fingerprint is that of its DER, unchanged."""
    info = der.public_key_info(algorithm, 6_000)
    assert remote_fingerprint(armored("PUBLIC KEY", info)) == f"sha256:{hashlib.sha256(info).hexdigest()}"


@pytest.mark.parametrize("text", ["", " ", "\r\n", "\\n"])
def test_a_blank_key_is_no_key(text: str) -> None:
    """An API returns it before a key was ever set."""
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
    "a key of an unknown algorithm": lambda: armored("PUBLIC KEY", der.public_key_info(der.NOBODY, 2048)),
    "RSA without numbers": lambda: armored(
        "PUBLIC KEY", der.sequence(der.sequence(der.oid(der.RSA), der.NULL), der.bits(b"0"))
    ),
    "a negative modulus": lambda: public_of_numbers(n=-(2**2047) - 1, e=65537),
    "an encrypted block": lambda: classic_with("-aes128"),
    "DH parameters": lambda: armored("DH PARAMETERS", der.rsa_public(2048, 5)),
}


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER.keys())
def test_anything_else_is_unreadable(text: Callable[[], str]) -> None:
    """The message does not quote it."""
    with pytest.raises(UnreadableKey, match=r"^the public key in the response (is too large|cannot be parsed)$"):
        remote_fingerprint(text())


def test_an_answer_is_judged_alike_each_time() -> None:
    """Also one that is refused, which is remembered."""
    for text in (plain().public, "<html>", ""):
        assert outcome(text) == outcome(text)


def outcome(text: str) -> str | None:
    """Return the fingerprint of an answer, or why there is none."""
    try:
        return remote_fingerprint(text)
    except UnreadableKey as refusal:
        return str(refusal)


def test_a_key_that_whatsapp_accepts_is_usable() -> None:
    """A Flow endpoint is asked for a number's key only if that could be one of WhatsApp's."""
    assert is_usable(keys.rsa().public)
    for other in (keys.rsa(bits=1024).public, keys.elliptic().public, keys.certificate_of(keys.rsa().private), ""):
        assert not is_usable(other)
