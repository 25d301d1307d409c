"""One key in the many forms that Secrets hold it in, and keys of other kinds."""

import base64
import hashlib
import subprocess
from collections.abc import Mapping
from functools import cache

import pytest
from cryptography.hazmat import asn1

from bek_operator.keys.public_key import InvalidKey, PublicKey, public_key_from_secret
from support import der, keys

PASSPHRASE = "open sesame"

Secret = Mapping[str, str | bytes]


@asn1.sequence
class _Pkcs1Public:
    n: int
    e: int


def read(secret: Secret, entry: str | None = None, passphrase: str | None = None) -> PublicKey:
    """Read the key of a Secret whose values may be text."""
    data = {name: value.encode() if isinstance(value, str) else value for name, value in secret.items()}
    return public_key_from_secret(data, entry=entry, passphrase_entry=passphrase)


def refusal(secret: Secret, entry: str | None = None, passphrase: str | None = None) -> str:
    """Return the message that a Secret is refused with."""
    with pytest.raises(InvalidKey) as caught:
        read(secret, entry, passphrase)
    return str(caught.value)


@cache
def plain() -> keys.KeyPair:
    """Return the pair that most tests use."""
    return keys.rsa()


@cache
def certificate() -> str:
    """Return a self-signed certificate of that pair."""
    return keys.certificate_of(plain().private)


@cache
def certificate_request() -> str:
    """Return a certificate request for the pair."""
    return keys.openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", text=plain().private)


@cache
def elliptic_certificate() -> str:
    """Return a certificate of an EC key."""
    return keys.certificate_of(keys.elliptic().private)


@cache
def encrypted_with(*options: str, private: str = "") -> str:
    """Encrypt a private key, by default that pair's, with `openssl pkcs8 -topk8`."""
    command = ("pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE}", *options)
    return keys.openssl(*command, text=private or plain().private)


@cache
def classic_with(cipher: str) -> str:
    """Encrypt that pair's private key as OpenSSL 1 did."""
    command = ("rsa", "-traditional", cipher, "-passout", f"pass:{PASSPHRASE}")
    return keys.openssl(*command, text=plain().private)


def encrypted(content: bytes, iv: bytes = bytes(16), scrypt: tuple[int, int, int] | None = None) -> str:
    """Encrypt bytes that OpenSSL would not take for a key, as it encrypts a key; the header may name another start.

    The key is derived by PBKDF2 in one round, or by scrypt with these N, r and p, also those that OpenSSL never writes.
    """
    salt, passphrase = bytes(8), PASSPHRASE.encode()
    if scrypt is None:
        key = hashlib.pbkdf2_hmac("sha256", passphrase, salt, 1, 32)
        costs = [der.integer(1), der.sequence(der.oid(der.HMAC_SHA256), der.NULL)]
    else:
        n, r, p = scrypt
        key = hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=2**28, dklen=32)
        costs = [der.integer(one) for one in scrypt]
    command = ("enc", "-aes-256-cbc", "-K", key.hex(), "-iv", bytes(16).hex())
    secret = subprocess.run(["openssl", *command], input=content, capture_output=True, check=True).stdout
    oid = der.PBKDF2 if scrypt is None else der.SCRYPT
    derivation = der.sequence(der.oid(oid), der.sequence(der.octets(salt), *costs))
    cipher = der.sequence(der.oid(der.AES_256), der.octets(iv))
    algorithm = der.sequence(der.oid(der.PBES2), der.sequence(derivation, cipher))
    return armored("ENCRYPTED PRIVATE KEY", der.sequence(algorithm, der.octets(secret)))


@cache
def generated(*options: str) -> str:
    """Make a private key of any kind with `openssl genpkey`."""
    return keys.openssl("genpkey", *options)


@cache
def signing_key() -> str:
    """Make a private key that is restricted to RSA-PSS signatures."""
    return generated("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")


@cache
def public_of(private: str) -> str:
    """Export the public half of a private key of any kind."""
    return keys.openssl("pkey", "-pubout", text=private)


def der_of(pem: str) -> bytes:
    """Return what the first block of a PEM without headers holds."""
    return base64.b64decode(pem.split("-----")[2])


def armored(label: str, der: bytes) -> str:
    """Return DER as PEM."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def public_of_numbers(*, n: int, e: int) -> str:
    """Return the PKCS#1 public key of a modulus and an exponent, be they those of a key or not."""
    return armored("RSA PUBLIC KEY", asn1.encode_der(_Pkcs1Public(n=n, e=e)))
