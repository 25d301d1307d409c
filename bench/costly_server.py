"""Run as a program: a server that makes handshakes expensive for its clients and cheap for itself.

Its certificates are a long chain whose RSA keys have public exponents as long as their moduli (4 ms for each signature
to verify), and with a client that offers it, it uses finite-field DHE with 10,000 bits (0.6 s). It closes the
connection after every answer, so that the next call needs another handshake.
"""

import argparse
import asyncio
import math
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench import names
from support.tls import Certificate, dhe_only

AUTHORITY, HANDSHAKES, UP = "costly-ca.crt", "costly-handshakes", "costly.up"

_AUTHORITIES = 20
_MODULUS_BITS = 3072
"""OpenSSL accepts long exponents up to this size."""

_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def chain() -> Certificate:
    """Return a certificate with its chain."""
    above, own = _costly_key(), rsa.generate_private_key(65537, 2048)
    titles = [f"authority {place}" for place in range(_AUTHORITIES + 1)]
    top = _certificate(titles[0], titles[0], above.public_key(), above)
    between = [_certificate(title, titles[place], above.public_key(), above) for place, title in enumerate(titles[1:])]
    leaf = _certificate(names.SERVER_NAME, titles[-1], own.public_key(), above)
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Certificate(pem="".join([leaf, *reversed(between)]), authority=top, private=private)


def _costly_key() -> rsa.RSAPrivateKey:
    """Make a key whose public exponent is chosen, and whose private one follows."""
    numbers = rsa.generate_private_key(65537, _MODULUS_BITS).private_numbers()
    first, second = numbers.p, numbers.q
    order = math.lcm(first - 1, second - 1)
    public = 0
    while math.gcd(public, order) != 1:
        public = secrets.randbits(_MODULUS_BITS - 1) | 1 << _MODULUS_BITS - 2 | 1
    private = pow(public, -1, order)
    return rsa.RSAPrivateNumbers(
        p=first,
        q=second,
        d=private,
        dmp1=private % (first - 1),
        dmq1=private % (second - 1),
        iqmp=rsa.rsa_crt_iqmp(first, second),
        public_numbers=rsa.RSAPublicNumbers(public, first * second),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def _certificate(subject: str, issuer: str, key: rsa.RSAPublicKey, signer: rsa.RSAPrivateKey) -> str:
    is_authority = subject != names.SERVER_NAME
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject.replace(" ", "-"))]), critical=False)
        .sign(signer, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


async def _serve(folder: Path, port: int) -> None:
    certificate = chain()
    context = dhe_only(certificate, 10_000)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers("DHE+AESGCM:ECDHE+AESGCM")
    with (folder / HANDSHAKES).open("wb", buffering=0) as counted:
        context.sni_callback = lambda *_: counted.write(b".") and None
        (folder / AUTHORITY).write_text(certificate.authority, encoding="ascii")
        server = await asyncio.start_server(_answer, "", port, ssl=context, backlog=1024)
        (folder / UP).touch()
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.transport.abort()


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_serve(given.folder, given.port))


if __name__ == "__main__":
    main()
