"""Unusable keys, and their messages."""

import base64
from collections.abc import Callable
from functools import cache

import pytest
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support import der, keys
from support.key_samples import (
    armored,
    certificate,
    certificate_request,
    der_of,
    elliptic_certificate,
    generated,
    plain,
    public_of,
    public_of_numbers,
    refusal,
    signing_key,
)


@asn1.sequence
class Pkcs1:
    """RSAPrivateKey."""

    version: int
    n: int
    e: int
    d: int
    p: int
    q: int
    dp: int
    dq: int
    inverse: int


def numbers() -> rsa.RSAPrivateNumbers:
    """Return the numbers of the default pair."""
    key = load_pem_private_key(plain().private.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.private_numbers()


def tampered_private(**changes: int) -> str:
    """Return the private key with some of its numbers replaced."""
    real = numbers()
    values = {
        "version": 0,
        "n": real.public_numbers.n,
        "e": real.public_numbers.e,
        "d": real.d,
        "p": real.p,
        "q": real.q,
        "dp": real.dmp1,
        "dq": real.dmq1,
        "inverse": real.iqmp,
    }
    return armored("RSA PRIVATE KEY", asn1.encode_der(Pkcs1(**(values | changes))))


@cache
def dsa() -> str:
    """Return a DSA key."""
    parameters = generated("-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024")
    return keys.openssl("genpkey", "-paramfile", "/dev/stdin", text=parameters)


def with_lines(pem: str, *, first: int) -> str:
    """Keep some lines of a PEM, and its last one."""
    lines = pem.splitlines(keepends=True)
    return "".join([*lines[:first], lines[-1]])


NEEDED = "an RSA key of 2048 bits is needed"
SIGNS = f"is an RSA-PSS key, which can only sign; {NEEDED}"
NONE_OF_RSA = "is damaged: its modulus and exponent are not those of an RSA key"
UNPAIRED = "is truncated or garbled: its BEGIN and END lines do not match"
UNREADABLE = f"damaged, truncated or of an unknown kind; {NEEDED}"
SEVERAL = "holds different keys; keep one of them"
UNRELATED = "is damaged: its private and public halves do not match"

REFUSED: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "nothing": (lambda: "", f"is empty; {NEEDED}"),
    "white space": (lambda: " \n", f"is empty; {NEEDED}"),
    "not a key at all": (lambda: "hello, world", "is not PEM: it has no BEGIN line"),
    "binary data": (lambda: bytes(range(256)), "is binary data; PEM is needed"),
    "too large": (lambda: plain().public + "#" * 65536, "is too large for a key: over 64 KiB"),
    "a 1024-bit key": (lambda: keys.rsa("small", 1024).private, f"is an RSA key of 1024 bits; {NEEDED}"),
    "a 4096-bit key": (lambda: public_of_numbers(n=2**4095 + 1, e=65537), f"is an RSA key of 4096 bits; {NEEDED}"),
    "a 2047-bit public key": (
        lambda: public_of_numbers(n=2**2047 - 1, e=65537),
        f"is an RSA key of 2047 bits; {NEEDED}",
    ),
    "a 3072-bit key": (
        lambda: armored("PUBLIC KEY", der.public_key_info(der.RSA, 3072)),
        f"is an RSA key of 3072 bits; {NEEDED}",
    ),
    "a 16384-bit private key": (
        lambda: armored("PRIVATE KEY", der.private_key_info(der.RSA, 16_384)),
        f"is an RSA key of 16384 bits; {NEEDED}",
    ),
    "a 40000-bit certificate": (
        lambda: armored("CERTIFICATE", der.certificate(der.RSA, 40_000)),
        f"is an RSA key of 40000 bits; {NEEDED}",
    ),
    "an EC key": (lambda: keys.elliptic().private, f"is an EC key; {NEEDED}"),
    "an EC key with its parameters": (
        lambda: keys.openssl("ecparam", "-name", "prime256v1", "-genkey"),
        f"holds an EC key; {NEEDED}",
    ),
    "an EC key as PKCS#8": (
        lambda: keys.openssl("pkcs8", "-topk8", "-nocrypt", text=keys.elliptic().private),
        f"is an EC key; {NEEDED}",
    ),
    "an EC public key": (lambda: keys.elliptic().public, f"is an EC key; {NEEDED}"),
    "an EC certificate": (elliptic_certificate, f"is an EC key; {NEEDED}"),
    "a DSA key": (dsa, f"is a DSA key; {NEEDED}"),
    "a DSA key as OpenSSL 1 wrote it": (
        lambda: keys.openssl("pkey", "-traditional", text=dsa()),
        f"is a DSA key; {NEEDED}",
    ),
    "a DSA certificate": (lambda: keys.certificate_of(dsa()), f"is a DSA key; {NEEDED}"),
    "a Diffie-Hellman key": (
        lambda: generated("-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"),
        f"is a Diffie-Hellman key; {NEEDED}",
    ),
    "a Diffie-Hellman public key": (
        lambda: public_of(generated("-algorithm", "DH", "-pkeyopt", "group:ffdhe2048")),
        f"is a Diffie-Hellman key; {NEEDED}",
    ),
    "Diffie-Hellman parameters, which look like an RSA public key": (
        lambda: keys.openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:modp_2048"),
        f"holds Diffie-Hellman parameters; {NEEDED}",
    ),
    "a key of an unknown algorithm": (
        lambda: armored("PUBLIC KEY", der.public_key_info(der.NOBODY, 2048)),
        f"is a key of another algorithm; {NEEDED}",
    ),
    "an Ed25519 key": (lambda: generated("-algorithm", "ED25519"), f"is an Ed25519 key; {NEEDED}"),
    "an Ed448 public key": (
        lambda: public_of(generated("-algorithm", "ED448")),
        f"is an Ed448 key; {NEEDED}",
    ),
    "an X25519 key": (lambda: generated("-algorithm", "X25519"), f"is an X25519 key; {NEEDED}"),
    "an RSA-PSS key": (signing_key, SIGNS),
    "an RSA-PSS public key": (lambda: public_of(signing_key()), SIGNS),
    "an RSA-PSS certificate": (lambda: keys.certificate_of(signing_key()), SIGNS),
    "a certificate request": (certificate_request, f"holds a certificate request; {NEEDED}"),
    "a revocation list": (
        lambda: armored("X509 CRL", b"0"),
        f"holds a certificate revocation list; {NEEDED}",
    ),
    "an OpenSSH private key": (
        lambda: armored("OPENSSH PRIVATE KEY", b"openssh-key-v1"),
        f"holds a key in OpenSSH's own format (ssh-keygen -p -m PEM converts it); {NEEDED}",
    ),
    "an OpenSSH public key": (
        lambda: "ssh-rsa AAAAB3NzaC1yc2E= me@example.com",
        "is an OpenSSH public key; PEM is needed (ssh-keygen -e -m PKCS8 converts it)",
    ),
    "a block of an unknown kind beside the key": (
        lambda: plain().public + armored("SHOPPING LIST", b"milk"),
        f"holds PEM of another kind; {NEEDED}",
    ),
    "DER of nothing that is known": (
        lambda: der.sequence(der.octets(b"milk")),
        f"is binary data of an unknown kind; {NEEDED}",
    ),
    "base64 of something else": (
        lambda: base64.b64encode(b"hello, world"),
        "has no BEGIN and END lines; the whole PEM is needed, with them",
    ),
    "base64 thrice too often": (
        lambda: base64.b64encode(base64.b64encode(base64.b64encode(plain().public.encode()))),
        "has no BEGIN and END lines; the whole PEM is needed, with them",
    ),
    "base64 of a PEM that was cut off": (lambda: base64.b64encode(plain().public.encode()[:300]), UNPAIRED),
    "a PEM that was cut off": (lambda: plain().private[:900], UNPAIRED),
    "a PEM of which only the end is left": (lambda: plain().private[900:], UNPAIRED),
    "a PEM that ends as something else": (
        lambda: plain().private.replace("END PRIVATE", "END PUBLIC"),
        UNPAIRED,
    ),
    "a PEM that lacks some lines": (
        lambda: with_lines(plain().private, first=9),
        f"is not a readable private key: {UNREADABLE}",
    ),
    "a PEM with other characters in it": (
        lambda: plain().public.replace("A", "*"),
        "is damaged: not base64 between its BEGIN and END lines",
    ),
    "a PEM with nothing in it": (
        lambda: armored("PUBLIC KEY", b""),
        f"is not a readable public key: {UNREADABLE}",
    ),
    "a certificate that is damaged": (
        lambda: armored("CERTIFICATE", der_of(certificate())[:-9]),
        f"is not a readable certificate: {UNREADABLE}",
    ),
    "several private keys": (
        lambda: plain().private + keys.rsa("second").private,
        "holds several private keys; keep one of them",
    ),
    "several public keys": (lambda: plain().public + keys.rsa("second").public, SEVERAL),
    "a key with another key's certificate": (lambda: keys.rsa("second").private + certificate(), SEVERAL),
    "a modulus that is not the product of the factors": (
        lambda: tampered_private(p=numbers().p + 2),
        UNRELATED,
    ),
    "factors that are none": (
        lambda: tampered_private(p=1, q=numbers().public_numbers.n),
        UNRELATED,
    ),
    "another public exponent": (lambda: tampered_private(e=3), UNRELATED),
    "an even public exponent": (
        lambda: public_of_numbers(n=numbers().public_numbers.n, e=65536),
        NONE_OF_RSA,
    ),
    "a public exponent that encrypts nothing": (
        lambda: public_of_numbers(n=numbers().public_numbers.n, e=1),
        NONE_OF_RSA,
    ),
    "a negative modulus": (lambda: public_of_numbers(n=-(2**2047) - 1, e=65537), NONE_OF_RSA),
    "no modulus": (lambda: public_of_numbers(n=0, e=0), NONE_OF_RSA),
    "an exponent that is larger than the modulus": (
        lambda: public_of_numbers(n=numbers().public_numbers.n, e=2**2050 + 1),
        NONE_OF_RSA,
    ),
    "an enormous private exponent": (lambda: tampered_private(d=numbers().d + 2**200_000), UNRELATED),
    "a negative factor": (lambda: tampered_private(p=-numbers().p, q=-numbers().q), UNRELATED),
    "an algorithm without a key": (
        lambda: armored("PUBLIC KEY", der.sequence(der.sequence(der.oid(der.RSA), der.NULL), der.bits(b"0"))),
        f"is not a readable RSA key: damaged or truncated; {NEEDED}",
    ),
    "a key without an algorithm": (
        lambda: armored("PUBLIC KEY", der.sequence(der.sequence(), der.bits(b"0"))),
        f"is not a readable public key: {UNREADABLE}",
    ),
    "an even modulus": (
        lambda: public_of_numbers(n=numbers().public_numbers.n + 1, e=65537),
        NONE_OF_RSA,
    ),
}


@pytest.mark.parametrize(("content", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_an_unusable_key_is_refused(content: Callable[[], str | bytes], expected: str) -> None:
    """The message names the entry, what it holds and what is needed."""
    assert refusal({"private.pem": content()}) == f"private.pem {expected}"


def test_a_large_key_of_another_algorithm_is_not_loaded() -> None:
    """Loading this DSA key would take `cryptography` minutes."""
    content = armored("PRIVATE KEY", der.private_key_info(der.DSA, 90_000))
    assert refusal({"private.pem": content}) == f"private.pem is a DSA key; {NEEDED}"
