"""Decrypts private keys with a bounded key-derivation cost.

The header comes from the Secret and can demand 2^31 rounds or all memory, so the cost is checked before a key is
derived. The result is bytes that are not parsed here: a library that decrypts *and* loads a key would compute with
whatever is inside.

PBES2 and PBES1 are RFC 8018 6, the derivation of PKCS#12 is RFC 7292 appendix B.2. The classic encryption of PEM,
with its header lines, is OpenSSL's own (PEM_bytes_read_bio, EVP_BytesToKey with MD5 and one round).
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat import asn1
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bek_operator.keys.der import oid_of
from bek_operator.keys.pem import UnusableError

MAX_ROUNDS: Final = 1_000_000
"""Takes a third of a second with SHA-512, a second with PKCS#12; OpenSSL writes 2,048."""

MAX_SCRYPT_COST: Final = 2**19
"""N * r * p: takes 64 MiB and a seventh of a second; OpenSSL writes a quarter of it."""

_SCRYPT_BYTES: Final = 2**28
"""The memory limit for scrypt: four times what it needs at that cost."""

_ADVICE: Final = "encrypt it with openssl rsa -aes256"

Unlock = Callable[[bytes], bytes]
"""Decrypts with a passphrase; raises ValueError if it is wrong."""


@dataclass(frozen=True, slots=True)
class _Cbc:
    """A block cipher in CBC mode; sizes in bytes."""

    algorithm: Callable[[bytes], BlockCipherAlgorithm] = field(repr=False)
    key_size: int
    block_size: int

    def decrypt(self, content: bytes, key: bytes, iv: bytes) -> bytes:
        """Return the plaintext without padding.

        Raises:
            ValueError: The key is wrong, or the content is damaged.
        """
        decryptor = Cipher(self.algorithm(key), CBC(iv)).decryptor()
        unpadder = PKCS7(self.block_size * 8).unpadder()
        return unpadder.update(decryptor.update(content) + decryptor.finalize()) + unpadder.finalize()


_TRIPLE_DES: Final = _Cbc(TripleDES, 24, 8)
_DES: Final = _Cbc(lambda key: TripleDES(key * 3), 8, 8)

_CLASSIC: Final[Mapping[str, _Cbc]] = {
    "AES-128-CBC": _Cbc(AES, 16, 16),
    "AES-192-CBC": _Cbc(AES, 24, 16),
    "AES-256-CBC": _Cbc(AES, 32, 16),
    "DES-EDE3-CBC": _TRIPLE_DES,
}
"""Ciphers by their name in a DEK-Info line."""

_CIPHERS: Final[Mapping[str, _Cbc]] = {
    "2.16.840.1.101.3.4.1.2": _Cbc(AES, 16, 16),
    "2.16.840.1.101.3.4.1.22": _Cbc(AES, 24, 16),
    "2.16.840.1.101.3.4.1.42": _Cbc(AES, 32, 16),
    "1.2.840.113549.3.7": _TRIPLE_DES,
}
_HMACS: Final[Mapping[str, str]] = {
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.8": "sha224",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}


@asn1.sequence
class _EncryptedKey:
    algorithm: list[asn1.TLV]
    content: bytes


@asn1.sequence
class _Pbes2:
    derivation: list[asn1.TLV]
    cipher: list[asn1.TLV]


@asn1.sequence
class _Pbkdf2:
    salt: bytes
    rounds: int
    length: int | None
    hmac: list[asn1.TLV] | None


@asn1.sequence
class _Scrypt:
    salt: bytes
    n: int
    r: int
    p: int
    length: int | None


@asn1.sequence
class _Pbes1:
    salt: bytes
    rounds: int


@dataclass(frozen=True, slots=True)
class _Scheme:
    cost: int
    limit: int
    unlock: Unlock


@dataclass(frozen=True, slots=True)
class _Derivation:
    cost: int
    limit: int
    derive: Callable[[bytes, int], bytes]
    """Takes a passphrase and the size of the key in bytes."""


def unlock_of(der: bytes) -> Unlock:
    """Return the function that decrypts an EncryptedPrivateKeyInfo at a bounded cost.

    Raises:
        UnusableError: Its cost is too high, its encryption is not supported, or it is damaged.
    """
    try:
        scheme = _scheme_of(asn1.decode_der(_EncryptedKey, der))
    except KeyError:
        raise UnusableError(f"is encrypted in a way that is not supported; {_ADVICE}") from None
    except ValueError:
        raise UnusableError("is damaged or truncated: its encryption parameters cannot be read") from None
    if not 1 <= scheme.cost <= scheme.limit:
        raise UnusableError(f"declares an unsupported key-derivation cost; {_ADVICE}")
    return scheme.unlock


def unlock_of_classic(name: str, iv: str, content: bytes) -> Unlock:
    """Return the function that decrypts a block with this cipher and IV (hexadecimal) in its DEK-Info line.

    Raises:
        UnusableError: The cipher is not supported, or the IV has the wrong size.
    """
    cipher = _CLASSIC.get(name)
    if cipher is None:
        raise UnusableError(f"is encrypted with a cipher other than {', '.join(_CLASSIC)}; {_ADVICE}")
    if len(iv) != 2 * cipher.block_size:
        raise UnusableError("is damaged: its DEK-Info line is too short or too long")
    start = bytes.fromhex(iv)

    def unlock(passphrase: bytes) -> bytes:
        key = digest = b""
        while len(key) < cipher.key_size:
            digest = _md5(digest + passphrase + start[:8])
            key += digest
        return cipher.decrypt(content, key[: cipher.key_size], start)

    return unlock


def _scheme_of(encrypted: _EncryptedKey) -> _Scheme:
    oid, (_, parameters) = oid_of(encrypted.algorithm), encrypted.algorithm
    return _SCHEMES[oid](parameters, encrypted.content)


def _pbes2(parameters: asn1.TLV, content: bytes) -> _Scheme:
    halves: _Pbes2 = parameters.parse(_Pbes2)
    (_, costs), (_, start) = halves.derivation, halves.cipher
    cipher, iv = _CIPHERS[oid_of(halves.cipher)], start.parse(bytes)
    derivation = _DERIVATIONS[oid_of(halves.derivation)](costs)

    def unlock(passphrase: bytes) -> bytes:
        return cipher.decrypt(content, derivation.derive(passphrase, cipher.key_size), iv)

    return _Scheme(derivation.cost, derivation.limit, unlock)


def _pbkdf2(parameters: asn1.TLV) -> _Derivation:
    costs: _Pbkdf2 = parameters.parse(_Pbkdf2)
    name = "sha1" if costs.hmac is None else _HMACS[oid_of(costs.hmac)]
    # hashlib releases the GIL while it derives; `cryptography` does not.
    return _Derivation(
        costs.rounds,
        MAX_ROUNDS,
        lambda passphrase, size: hashlib.pbkdf2_hmac(name, passphrase, costs.salt, costs.rounds, size),
    )


def _scrypt(parameters: asn1.TLV) -> _Derivation:
    parsed: _Scrypt = parameters.parse(_Scrypt)
    costs = (parsed.n, parsed.r, parsed.p)
    # Numbers out of bounds are not multiplied.
    extreme = min(costs) if min(costs) < 1 else max(costs)
    return _Derivation(
        math.prod(costs) if 1 <= extreme <= MAX_SCRYPT_COST else extreme,
        MAX_SCRYPT_COST,
        lambda passphrase, size: hashlib.scrypt(
            passphrase,
            salt=parsed.salt,
            n=parsed.n,
            r=parsed.r,
            p=parsed.p,
            maxmem=_SCRYPT_BYTES,
            dklen=size,
        ),
    )


_DERIVATIONS: Final[Mapping[str, Callable[[asn1.TLV], _Derivation]]] = {
    "1.2.840.113549.1.5.12": _pbkdf2,
    "1.3.6.1.4.1.11591.4.11": _scrypt,
}


def _pkcs12(parameters: asn1.TLV, content: bytes) -> _Scheme:
    """Triple DES as in PKCS#12."""
    pbes1: _Pbes1 = parameters.parse(_Pbes1)

    def unlock(passphrase: bytes) -> bytes:
        key, iv = (_pkcs12_derive(passphrase, pbes1, *use) for use in ((1, 24), (2, 8)))
        return _TRIPLE_DES.decrypt(content, key, iv)

    return _Scheme(pbes1.rounds, MAX_ROUNDS, unlock)


def _md5_and_des(parameters: asn1.TLV, content: bytes) -> _Scheme:
    """MD5 and DES, which OpenSSL wrote before 1.1."""
    pbes1: _Pbes1 = parameters.parse(_Pbes1)

    def unlock(passphrase: bytes) -> bytes:
        derived = passphrase + pbes1.salt
        for _ in range(pbes1.rounds):
            derived = _md5(derived)
        return _DES.decrypt(content, derived[:8], derived[8:])

    return _Scheme(pbes1.rounds, MAX_ROUNDS, unlock)


_SCHEMES: Final[Mapping[str, Callable[[asn1.TLV, bytes], _Scheme]]] = {
    "1.2.840.113549.1.5.13": _pbes2,
    "1.2.840.113549.1.5.3": _md5_and_des,
    "1.2.840.113549.1.12.1.3": _pkcs12,
}


def _pkcs12_derive(passphrase: bytes, pbes1: _Pbes1, purpose: int, size: int) -> bytes:
    text = passphrase.decode().encode("utf-16-be") + b"\0\0"
    diversifier = bytes([purpose]) * _SHA1_BLOCK
    filled = _filled(pbes1.salt) + _filled(text)
    derived = b""
    while len(derived) < size:
        digest = diversifier + filled
        for _ in range(pbes1.rounds):
            digest = hashlib.sha1(digest, usedforsecurity=False).digest()
        derived += digest
        step = int.from_bytes((digest * 4)[:_SHA1_BLOCK], "big") + 1
        blocks = (filled[at : at + _SHA1_BLOCK] for at in range(0, len(filled), _SHA1_BLOCK))
        filled = b"".join(_low(int.from_bytes(block, "big") + step) for block in blocks)
    return derived[:size]


_SHA1_BLOCK: Final = 64


def _filled(part: bytes) -> bytes:
    """Repeat a part until it fills whole blocks."""
    blocks = -(-len(part) // _SHA1_BLOCK)
    return (part * _SHA1_BLOCK)[: blocks * _SHA1_BLOCK]


def _low(number: int) -> bytes:
    return (number % (1 << 8 * _SHA1_BLOCK)).to_bytes(_SHA1_BLOCK, "big")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
