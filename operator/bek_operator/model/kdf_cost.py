"""The work that an encrypted PKCS#8 key asks for, read from its header before anything is derived from it.

The header belongs to whoever wrote the Secret, and can ask for 2^31 rounds or for all memory. It is read by
the parser that the decryption uses too, so that what was bounded is what will be done.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat import asn1

from bek_operator.model.pem import UnusableError

MAX_ROUNDS: Final = 1_000_000
"""A third of a second with SHA-512, all of it with the interpreter held; OpenSSL writes 2,048 of SHA-256."""

MAX_SCRYPT_COST: Final = 2**19
"""N times r times p: 64 MiB and a seventh of a second; OpenSSL writes a quarter of it."""

_PBES2: Final = x509.ObjectIdentifier("1.2.840.113549.1.5.13")
_HINT: Final = "openssl rsa -aes256 writes one that is accepted"


@asn1.sequence
class _Algorithm:
    oid: x509.ObjectIdentifier
    parameters: asn1.TLV


@asn1.sequence
class _EncryptedKey:
    algorithm: _Algorithm
    content: bytes


@asn1.sequence
class _Pbes2:
    derivation: _Algorithm
    cipher: _Algorithm


@asn1.sequence
class _HashFunction:
    oid: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Pbkdf2:
    salt: bytes
    rounds: int
    length: int | None
    hash_function: _HashFunction | None

    def work(self) -> int:
        return self.rounds


@asn1.sequence
class _Scrypt:
    salt: bytes
    cost: int
    block_size: int
    parallelization: int
    length: int | None

    def work(self) -> int:
        return self.cost * self.block_size * self.parallelization


@asn1.sequence
class _Pbes1:
    salt: bytes
    rounds: int

    def work(self) -> int:
        return self.rounds


_SCHEMES: Final[dict[str, tuple[type[_Pbkdf2 | _Scrypt | _Pbes1], int]]] = {
    "1.2.840.113549.1.5.12": (_Pbkdf2, MAX_ROUNDS),
    "1.3.6.1.4.1.11591.4.11": (_Scrypt, MAX_SCRYPT_COST),
    "1.2.840.113549.1.12.1.3": (_Pbes1, MAX_ROUNDS),  # PKCS#12, SHA-1 and triple DES
    "1.2.840.113549.1.12.1.6": (_Pbes1, MAX_ROUNDS),  # PKCS#12, SHA-1 and 40-bit RC2
    "1.2.840.113549.1.5.3": (_Pbes1, MAX_ROUNDS),  # MD5 and DES, what OpenSSL wrote before 1.1
}


def refuse_absurd_work(der: bytes) -> None:
    """Make sure that decrypting an EncryptedPrivateKeyInfo takes a bounded amount of work.

    Raises:
        UnusableError: It asks for more than that, in a way that is not known, or cannot be read.
    """
    try:
        work, limit = _work_and_limit(der)
    except KeyError:
        raise UnusableError(f"is encrypted in a way that is not supported; {_HINT}") from None
    except ValueError:
        raise UnusableError("is damaged or cut off: how it was encrypted cannot be read") from None
    if not 1 <= work <= limit:
        raise UnusableError(f"asks for {'no' if work < 1 else 'too much'} work to be decrypted; {_HINT}")


def _work_and_limit(der: bytes) -> tuple[int, int]:
    algorithm = asn1.decode_der(_EncryptedKey, der).algorithm
    if algorithm.oid == _PBES2:
        algorithm = algorithm.parameters.parse(_Pbes2).derivation
    parameters, limit = _SCHEMES[algorithm.oid.dotted_string]
    return algorithm.parameters.parse(parameters).work(), limit
