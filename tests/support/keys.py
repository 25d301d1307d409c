"""Test keys, made by the commands of the API's documentation with the real OpenSSL.

A pair is made once in a process for each name: generating one takes up to half a second,
a large one several.
"""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

_PASSPHRASE = "TEST_PASSPHRASE"
OPEN_SESAME = "open sesame"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key as OpenSSL wrote it, with its public half and passphrase.

    Attributes:
        private: The PEM text, encrypted when there is a passphrase.
        public: The same key's SubjectPublicKeyInfo as PEM text.
        passphrase: Decrypts `private`; `None` when it is not encrypted.
    """

    private: str = field(repr=False)
    public: str
    passphrase: str | None = field(default=None, repr=False)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public half."""
        return fingerprint(self.public)


def openssl(*arguments: str, text: str = "", passphrase: str | None = None) -> str:
    """Run openssl with `text` on its standard input and return what it prints.

    A passphrase goes through the environment; the arguments name it as `env:TEST_PASSPHRASE`.
    """
    environment = {**os.environ, _PASSPHRASE: passphrase or ""}
    return subprocess.run(
        ["openssl", *arguments], input=text, capture_output=True, text=True, check=True, env=environment
    ).stdout


@cache
def rsa(name: str = "first", bits: int = 2048) -> KeyPair:
    """Make an unencrypted pair with `openssl genrsa`, PKCS#8 from OpenSSL 3 on; another name, another key."""
    del name  # only part of the cache's key
    private = openssl("genrsa", str(bits))
    return KeyPair(private=private, public=public_of(private))


@cache
def encrypted(name: str = "first", passphrase: str = OPEN_SESAME) -> KeyPair:
    """Make a pair with `openssl genrsa -des3`: an encrypted PKCS#8 from OpenSSL 3 on."""
    del name  # only part of the cache's key
    private = openssl("genrsa", "-des3", "-passout", f"env:{_PASSPHRASE}", "2048", passphrase=passphrase)
    return KeyPair(private=private, public=public_of(private, passphrase), passphrase=passphrase)


@cache
def encrypted_classic(name: str = "first", passphrase: str = OPEN_SESAME) -> KeyPair:
    """Make a pair with `openssl genrsa -des3 -traditional`: an encrypted PKCS#1, as OpenSSL 1 wrote it."""
    del name  # only part of the cache's key
    private = openssl(
        "genrsa", "-des3", "-traditional", "-passout", f"env:{_PASSPHRASE}", "2048", passphrase=passphrase
    )
    return KeyPair(private=private, public=public_of(private, passphrase), passphrase=passphrase)


@cache
def elliptic(curve: str = "prime256v1") -> KeyPair:
    """Make a pair of the wrong kind with `openssl ecparam -genkey`."""
    private = openssl("ecparam", "-name", curve, "-genkey", "-noout")
    return KeyPair(private=private, public=openssl("pkey", "-pubout", text=private))


@cache
def classic(private: str) -> str:
    """Rewrite an unencrypted private key as PKCS#1 with `openssl rsa -traditional`."""
    return openssl("rsa", "-traditional", text=private)


@cache
def public_of(private: str, passphrase: str | None = None) -> str:
    """Export the public key with `openssl rsa -pubout`."""
    return openssl(
        "rsa",
        "-outform",
        "PEM",
        "-pubout",
        "-passin",
        f"env:{_PASSPHRASE}",
        text=private,
        passphrase=passphrase,
    )


@cache
def classic_public_of(private: str, passphrase: str | None = None) -> str:
    """Export the public key as PKCS#1 with `openssl rsa -RSAPublicKey_out`."""
    return openssl("rsa", "-RSAPublicKey_out", "-passin", f"env:{_PASSPHRASE}", text=private, passphrase=passphrase)


@cache
def certificate_of(private: str, passphrase: str | None = None) -> str:
    """Make a self-signed certificate for the key with `openssl req -x509`."""
    subject = ("-subj", "/CN=flows.example.com", "-days", "365")
    return openssl(
        *("req", "-x509", "-new", "-key", "/dev/stdin", *subject, "-passin", f"env:{_PASSPHRASE}"),
        text=private,
        passphrase=passphrase,
    )


@cache
def issued_certificate(private: str, authority: str, serial: int = 1) -> tuple[str, str]:
    """Return a certificate for the key, issued with `openssl req -x509 -CA` by another key, and the issuer's."""
    issuer = certificate_of(authority)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("ca.crt", issuer), ("ca.key", authority)):
            Path(folder, name).write_text(text, encoding="ascii")
        signer = ("-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-set_serial", str(serial))
        subject = ("-subj", "/CN=flows.example.com", "-days", "90")
        issued = openssl("req", "-x509", "-new", "-key", "/dev/stdin", *subject, *signer, text=private)
    return issued, issuer


@cache
def public_of_certificate(certificate: str) -> str:
    """Extract the public key with `openssl x509 -pubkey -noout`."""
    return openssl("x509", "-pubkey", "-noout", text=certificate)


@cache
def fingerprint(pem: str) -> str:
    """Return `sha256:` and the hex digest of the SubjectPublicKeyInfo of a public key or certificate."""
    is_certificate = "BEGIN CERTIFICATE" in pem
    public = (
        load_pem_x509_certificate(pem.encode()).public_key() if is_certificate else load_pem_public_key(pem.encode())
    )
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"
