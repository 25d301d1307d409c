"""Decrypts private keys with a bounded key-derivation cost.

The header comes from the Secret and can demand 2^31 rounds or all memory, so the cost is checked before a key is
derived. The result is bytes that are not parsed here: a library that decrypts *and* loads a key would compute with
whatever is inside.

PBES2 and PBES1 are RFC 8018 6, PKCS#12's scheme is RFC 7292 appendix C. The classic encryption of PEM, with its header
lines, is OpenSSL's own (PEM_bytes_read_bio, EVP_BytesToKey with MD5 and one round).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat import asn1
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bek_operator.keys import derive as schemes
from bek_operator.keys.der import oid_of
from bek_operator.keys.derivation import Derivation, Derive
from bek_operator.keys.pem import UnusableError

MAX_ROUNDS: Final = 1_000_000
"""Takes a third of a second with SHA-512, a second with PKCS#12; OpenSSL writes 2,048."""

MAX_SCRYPT_COST: Final = 2**19
"""N * r * p: takes a seventh of a second; OpenSSL writes a quarter of it."""

MAX_SALT_BYTES: Final = 1024
"""OpenSSL writes 16."""

_ACCEPTED: Final = (
    f"at most {MAX_ROUNDS:,} rounds; of scrypt {schemes.SCRYPT_BYTES >> 20} MiB, the most that OpenSSL reads"
)

ADVICE: Final = "encrypt it with openssl rsa -aes256"
"""What to do about an encryption that is not accepted."""

Unlock = Callable[[bytes, Derive], bytes]
"""Decrypts with a passphrase, and what derives the key; raises ValueError if the passphrase is wrong."""


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
class _Derivation:
    """How the key is derived; `limit` is the highest cost that is allowed."""

    cost: int
    limit: int
    scheme: str
    costs: tuple[int, ...]
    salt: bytes = field(repr=False)

    @property
    def is_allowed(self) -> bool:
        return 1 <= self.cost <= self.limit and len(self.salt) <= MAX_SALT_BYTES

    def of(self, passphrase: bytes, size: int) -> Derivation:
        """Return the derivation of a key of so many bytes."""
        return Derivation(scheme=self.scheme, costs=self.costs, size=size, salt=self.salt, passphrase=passphrase)


@dataclass(frozen=True, slots=True)
class _Scheme:
    derivation: _Derivation
    unlock: Unlock


def unlock_of(der: bytes) -> Unlock:
    """Return the function that decrypts an EncryptedPrivateKeyInfo at a bounded cost.

    Raises:
        UnusableError: Its cost is too high, its encryption is not supported, or it is damaged.
    """
    try:
        scheme = _scheme_of(asn1.decode_der(_EncryptedKey, der))
    except KeyError:
        raise UnusableError(f"is encrypted in a way that is not supported; {ADVICE}") from None
    except ValueError:
        raise UnusableError("is damaged or truncated: its encryption parameters cannot be read") from None
    if not scheme.derivation.is_allowed:
        raise UnusableError(f"declares an unsupported key-derivation cost ({_ACCEPTED}); {ADVICE}")
    return scheme.unlock


def unlock_of_classic(name: str, iv: str, content: bytes) -> Unlock:
    """Return the function that decrypts a block with this cipher and IV (hexadecimal) in its DEK-Info line.

    Raises:
        UnusableError: The cipher is not supported, or the IV has the wrong size.
    """
    cipher = _CLASSIC.get(name)
    if cipher is None:
        raise UnusableError(f"is encrypted with a cipher other than {', '.join(_CLASSIC)}; {ADVICE}")
    if len(iv) != 2 * cipher.block_size:
        raise UnusableError("is damaged: its DEK-Info line is too short or too long")
    start = bytes.fromhex(iv)

    def unlock(passphrase: bytes, _: Derive) -> bytes:
        key = digest = b""
        while len(key) < cipher.key_size:
            digest = schemes.md5(digest + passphrase + start[:8])
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

    def unlock(passphrase: bytes, derive: Derive) -> bytes:
        return cipher.decrypt(content, derive(derivation.of(passphrase, cipher.key_size)), iv)

    return _Scheme(derivation, unlock)


def _pbkdf2(parameters: asn1.TLV) -> _Derivation:
    costs: _Pbkdf2 = parameters.parse(_Pbkdf2)
    name = "sha1" if costs.hmac is None else _HMACS[oid_of(costs.hmac)]
    return _Derivation(costs.rounds, MAX_ROUNDS, name, (costs.rounds,), costs.salt)


def _scrypt(parameters: asn1.TLV) -> _Derivation:
    parsed: _Scrypt = parameters.parse(_Scrypt)
    costs = (parsed.n, parsed.r, parsed.p)
    # Numbers out of bounds are not multiplied.
    cost = _scrypt_cost(*costs) if min(costs) >= 1 and max(costs) <= MAX_SCRYPT_COST else 0
    return _Derivation(cost, MAX_SCRYPT_COST, schemes.SCRYPT, costs, parsed.salt)


def _scrypt_cost(n: int, r: int, p: int) -> int:
    """Return the cost; 0 for numbers that scrypt does not allow, or for which it needs too much memory.

    RFC 7914 2: N is a power of two, larger than 1 and less than 2^(16 r). The memory is that of OpenSSL.
    """
    is_valid = n > 1 and n & (n - 1) == 0 and n.bit_length() <= 16 * r
    return n * r * p if is_valid and 128 * r * (n + p + 2) <= schemes.SCRYPT_BYTES else 0


_DERIVATIONS: Final[Mapping[str, Callable[[asn1.TLV], _Derivation]]] = {
    "1.2.840.113549.1.5.12": _pbkdf2,
    "1.3.6.1.4.1.11591.4.11": _scrypt,
}


def _pbes1(scheme: str, parameters: asn1.TLV) -> _Derivation:
    pbes1: _Pbes1 = parameters.parse(_Pbes1)
    return _Derivation(pbes1.rounds, MAX_ROUNDS, scheme, (pbes1.rounds,), pbes1.salt)


def _pkcs12(parameters: asn1.TLV, content: bytes) -> _Scheme:
    """Triple DES as in PKCS#12."""
    derivation = _pbes1(schemes.PKCS12, parameters)

    def unlock(passphrase: bytes, derive: Derive) -> bytes:
        derived = derive(derivation.of(passphrase.decode().encode("utf-16-be") + b"\0\0", 32))
        return _TRIPLE_DES.decrypt(content, derived[:24], derived[24:])

    return _Scheme(derivation, unlock)


def _md5_and_des(parameters: asn1.TLV, content: bytes) -> _Scheme:
    """MD5 and DES, which OpenSSL wrote before 1.1."""
    derivation = _pbes1(schemes.MD5, parameters)

    def unlock(passphrase: bytes, derive: Derive) -> bytes:
        derived = derive(derivation.of(passphrase, 16))
        return _DES.decrypt(content, derived[:8], derived[8:])

    return _Scheme(derivation, unlock)


_SCHEMES: Final[Mapping[str, Callable[[asn1.TLV, bytes], _Scheme]]] = {
    "1.2.840.113549.1.5.13": _pbes2,
    "1.2.840.113549.1.5.3": _md5_and_des,
    "1.2.840.113549.1.12.1.3": _pkcs12,
}
