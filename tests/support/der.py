"""DER written by hand, valid or not: hostile keys and certificates of every algorithm."""

import random
from collections.abc import Callable, Mapping

RSA = "1.2.840.113549.1.1.1"
RSA_PSS = "1.2.840.113549.1.1.10"
EC = "1.2.840.10045.2.1"
DSA = "1.2.840.10040.4.1"
DIFFIE_HELLMAN = "1.2.840.113549.1.3.1"
X942 = "1.2.840.10046.2.1"
ED25519 = "1.3.101.112"
NOBODY = "1.2.3.4"

PBES2 = "1.2.840.113549.1.5.13"
PBKDF2 = "1.2.840.113549.1.5.12"
SCRYPT = "1.3.6.1.4.1.11591.4.11"
HMAC_SHA256 = "1.2.840.113549.2.9"
AES_256 = "2.16.840.1.101.3.4.1.42"

_SHA256_WITH_RSA = "1.2.840.113549.1.1.11"
_BASIC_CONSTRAINTS = "2.5.29.19"
_COMMON_NAME = "2.5.4.3"
_PRIME_FIELD = "1.2.840.10045.1.1"
NULL = b"\x05\x00"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return tag, length and content."""
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(0x30, *parts)


def integer(number: int) -> bytes:
    """Return an INTEGER, negative or not."""
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def octets(*parts: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(0x04, *parts)


def bits(*parts: bytes) -> bytes:
    """Return a BIT STRING of whole bytes."""
    return tlv(0x03, b"\0", *parts)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = bytes([first * 40 + second])
    for part in rest:
        digits = [part & 127]
        while part := part >> 7:
            digits.insert(0, part & 127 | 128)
        encoded += bytes(digits)
    return tlv(0x06, encoded)


def odd(size: int, seed: int = 1) -> int:
    """Return an odd number of this many bits, the same for the same seed."""
    return random.Random(seed).getrandbits(size) | 1 | 1 << (size - 1)  # noqa: S311 - no key that anybody uses


def parameters_of(algorithm: str, size: int) -> bytes:
    """Return what an algorithm's identifier is followed by, its numbers having this many bits."""
    p, q, g = (integer(odd(size, seed)) for seed in (1, 2, 3))
    field = (size + 7) // 8
    points = [octets(odd(size, seed).to_bytes(field, "big")) for seed in (1, 2)]
    curve = (integer(1), sequence(oid(_PRIME_FIELD), p), sequence(*points), octets(b"\x02", bytes(field)), q)
    parameters: Mapping[str, Callable[[], bytes]] = {
        RSA: lambda: NULL,
        DSA: lambda: sequence(p, q, g),
        DIFFIE_HELLMAN: lambda: sequence(p, g),
        X942: lambda: sequence(p, g, q),
        EC: lambda: sequence(*curve),
    }
    return parameters.get(algorithm, bytes)()


def rsa_public(size: int, exponent: int = 65537) -> bytes:
    """Return an RSA public key of PKCS#1 whose modulus is of this size."""
    return sequence(integer(odd(size)), integer(exponent))


def rsa_private(size: int, rest: int | None = None) -> bytes:
    """Return an RSA private key of PKCS#1 whose modulus is of this size, and whose other numbers are of another."""
    others = (integer(odd(size if rest is None else rest, seed)) for seed in range(2, 8))
    return sequence(integer(0), integer(odd(size)), integer(65537), *others)


def private_key_info(algorithm: str, size: int) -> bytes:
    """Return a private key in PKCS#8."""
    own = rsa_private(size) if algorithm in {RSA, RSA_PSS} else integer(odd(size, 4))
    return sequence(integer(0), sequence(oid(algorithm), parameters_of(algorithm, size)), octets(own))


def public_key_info(algorithm: str, size: int) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    own = rsa_public(size) if algorithm in {RSA, RSA_PSS} else integer(odd(size, 4))
    return sequence(sequence(oid(algorithm), parameters_of(algorithm, size)), bits(own))


def certificate(algorithm: str, size: int) -> bytes:
    """Return an authority's certificate of a key, signed by nobody."""
    name = sequence(tlv(0x31, sequence(oid(_COMMON_NAME), tlv(0x0C, b"x"))))
    validity = sequence(tlv(0x17, b"260101000000Z"), tlv(0x17, b"360101000000Z"))
    signature = sequence(oid(_SHA256_WITH_RSA), NULL)
    version = tlv(0xA0, integer(2))
    true = tlv(0x01, b"\xff")
    extensions = tlv(0xA3, sequence(sequence(oid(_BASIC_CONSTRAINTS), true, octets(sequence(true)))))
    key = public_key_info(algorithm, size)
    signed = sequence(version, integer(1), signature, name, validity, name, key, extensions)
    return sequence(signed, signature, bits(bytes(256)))
