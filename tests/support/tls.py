"""Certificates for the simulators, self-signed as the real pods', or signed by a CA."""

import base64
import ipaddress
import math
import secrets
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from support.programs.interrupts import held

POD_NAMES = ("whatsapp-web-service", "localhost", "127.0.0.1")
MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A server's certificate and key.

    Attributes:
        pem: The certificate itself.
        authority: The certificate that a client must trust; the same one when it is self-signed.
        private: Its key, unencrypted.
    """

    pem: str
    authority: str
    private: str = field(repr=False)

    def server_context(self) -> ssl.SSLContext:
        """Return a server's context with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The standard library loads a certificate from a file only.
        with held(), tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.private + self.pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts only this certificate's authority."""
        return ssl.create_default_context(cadata=self.authority)


def self_signed(*names: str, start: datetime | None = None, life: timedelta = MONTH) -> Certificate:
    """Make a self-signed certificate for host names and addresses; without any, for those of a pod.

    With `start` and `life` in the past it has expired.
    """
    return _issue(names or POD_NAMES, start, life, None)


def self_signed_by_rsa() -> Certificate:
    """Make a pod's self-signed certificate with an RSA key, as most have."""
    return _issue(POD_NAMES, None, MONTH, None, key=rsa.generate_private_key(65537, 2048))


def signed_by(
    authority: Certificate, *names: str, start: datetime | None = None, life: timedelta = MONTH
) -> Certificate:
    """Make a certificate that is signed by the authority's key rather than its own."""
    return _issue(names or POD_NAMES, start, life, authority)


def lax_authority() -> Certificate:
    """Make an authority as some older clusters have it: without key usage and without a key identifier."""
    return _issue(("lax authority",), None, MONTH, None, lax=True)


def lax(authority: Certificate, *names: str) -> Certificate:
    """Make a certificate without the identifier of the authority's key."""
    return _issue(names, None, MONTH, authority, lax=True)


def expensive_chain(length: int) -> Certificate:
    """Make a certificate below a chain of authorities whose RSA key has an exponent as long as its modulus.

    Of all keys that OpenSSL verifies with, these take the most time for their size: 4 ms for 1.3 kB.
    """
    key = _with_large_exponent(3072)
    last = first = _issue(("0",), None, MONTH, None, key=key)
    between: list[str] = []
    for index in range(1, length):
        last = _issue((f"{index}",), None, MONTH, last, key=key, is_authority=True)
        between.insert(0, last.pem)
    leaf = _issue(POD_NAMES, None, MONTH, last)
    return Certificate(pem=leaf.pem + "".join(between), authority=first.pem, private=leaf.private)


def _with_large_exponent(bits: int) -> rsa.RSAPrivateKey:
    usual = rsa.generate_private_key(65537, bits).private_numbers()
    order = (usual.p - 1) * (usual.q - 1)
    exponent = next(one for one in iter(lambda: secrets.randbits(bits - 1) | 1, None) if math.gcd(one, order) == 1)
    d = pow(exponent, -1, order)
    public = rsa.RSAPublicNumbers(exponent, usual.p * usual.q)
    parts = rsa.RSAPrivateNumbers(usual.p, usual.q, d, d % (usual.p - 1), d % (usual.q - 1), usual.iqmp, public)
    return parts.private_key(unsafe_skip_rsa_key_validation=True)


def dhe_only(certificate: Certificate, bits: int) -> ssl.SSLContext:
    """Return a server's context that offers only finite-field DHE, with a modulus of so many bits.

    The certificate must be of an RSA key.
    """
    context = certificate.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE")
    # Not a prime, which no client checks.
    modulus = (1 << bits - 1) | secrets.randbits(bits - 1) | 1
    numbers = _der(0x02, modulus.to_bytes(bits // 8 + 1, "big")) + _der(0x02, b"\x02")
    with held(), tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"-----BEGIN DH PARAMETERS-----\n{base64.encodebytes(_der(0x30, numbers)).decode()}")
        file.write("-----END DH PARAMETERS-----\n")
        file.flush()
        context.load_dh_params(file.name)
    return context


def _der(kind: int, content: bytes) -> bytes:
    """Write a value in DER, with a length of two bytes, or of one where that is enough."""
    size = len(content)
    short = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([kind]) + short + content


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _issue(
    names: Iterable[str],
    start: datetime | None,
    life: timedelta,
    authority: Certificate | None,
    *,
    lax: bool = False,
    key: Key | None = None,
    is_authority: bool | None = None,
) -> Certificate:
    names = tuple(names)
    is_authority = authority is None if is_authority is None else is_authority
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    issuer, signer = subject, key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate(authority.pem.encode()).subject
        signer = _private_key(authority)
    begin = start or datetime.now(UTC) - timedelta(hours=1)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if not lax:
        builder = (
            builder.add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
    certificate = builder.sign(signer, hashes.SHA256())
    pem = certificate.public_bytes(Encoding.PEM).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Certificate(pem=pem, authority=authority.authority if authority else pem, private=private)


def _private_key(certificate: Certificate) -> Key:
    key = load_pem_private_key(certificate.private.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, Key):
        raise TypeError("not a key of this module's making")
    return key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
