"""From one PEM block to the RSA public key that it stands for, or to the reason why it stands for none.

The rules of a usable key are here: RSA, exactly 2048 bits, not restricted to signatures, halves that belong
together. Private halves are looked at and dropped. Causes are cut off, so that no traceback shows what a
library has to say about the material.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_private_key,
)

from bek_operator.model.kdf_cost import refuse_absurd_work
from bek_operator.model.pem import Block, UnusableError

CERTIFICATES: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
PRIVATE_KEYS: Final = frozenset({"ENCRYPTED PRIVATE KEY", "PRIVATE KEY", "RSA PRIVATE KEY"})
PUBLIC_KEYS: Final = frozenset({"PUBLIC KEY", "RSA PUBLIC KEY"})

LIBRARY_ERRORS: Final = (ValueError, UnsupportedAlgorithm, InternalError, x509.InvalidVersion)
"""What the library raises over material that it cannot take."""

_BITS: Final = 2048
NEEDED: Final = f"an RSA key of {_BITS} bits is needed"

_OTHER_LABELS: Final[Mapping[str, str]] = {
    "CERTIFICATE REQUEST": "a certificate request",
    "CMS": "a PKCS#7 bundle",
    "DH PARAMETERS": "Diffie-Hellman parameters",
    "DSA PARAMETERS": "a DSA key",
    "DSA PRIVATE KEY": "a DSA key",
    "EC PARAMETERS": "an EC key",
    "EC PRIVATE KEY": "an EC key",
    "NEW CERTIFICATE REQUEST": "a certificate request",
    "OPENSSH PRIVATE KEY": "a key in OpenSSH's own format (ssh-keygen -p -m PEM converts it)",
    "PGP PRIVATE KEY BLOCK": "a PGP key",
    "PGP PUBLIC KEY BLOCK": "a PGP key",
    "PKCS7": "a PKCS#7 bundle",
    "TRUSTED CERTIFICATE": "a certificate in OpenSSL's own format (openssl x509 converts it)",
    "X509 CRL": "a certificate revocation list",
}
_OTHER_ALGORITHMS: Final[Mapping[type, str]] = {
    dsa.DSAPublicKey: "a DSA key",
    ec.EllipticCurvePublicKey: "an EC key",
    ed25519.Ed25519PublicKey: "an Ed25519 key",
    ed448.Ed448PublicKey: "an Ed448 key",
    x25519.X25519PublicKey: "an X25519 key",
    x448.X448PublicKey: "an X448 key",
}
_CLASSIC_IV_DIGITS: Final[Mapping[str, int]] = {"AES-128-CBC": 32, "AES-256-CBC": 32, "DES-EDE3-CBC": 16}
_SIGNATURES_ONLY: Final = "is an RSA-PSS key, which can only sign"
_RSASSA_PSS: Final = x509.ObjectIdentifier("1.2.840.113549.1.1.10")
_RSASSA_PSS_DER: Final = bytes.fromhex("06092a864886f70d01010a")


def refuse_other_labels(blocks: list[Block], accepted: frozenset[str]) -> None:
    """Make sure that every block has one of these labels.

    Raises:
        UnusableError: The first that is not, by its kind.
    """
    for block in blocks:
        if block.label not in accepted:
            raise UnusableError(f"holds {_OTHER_LABELS.get(block.label, 'PEM of another kind')}; {NEEDED}")


def from_public(block: Block) -> rsa.RSAPublicKey:
    """Read a public key, SubjectPublicKeyInfo or PKCS#1.

    Raises:
        UnusableError: It is none, or not of the kind that is needed.
    """
    _refuse_signature_key(block)
    try:
        key = load_der_public_key(block.der)
    except LIBRARY_ERRORS:
        raise _unreadable("public key") from None
    return _needed(key)


def from_certificate(block: Block) -> rsa.RSAPublicKey:
    """Read a certificate's public key; neither its dates nor its signature matter.

    Raises:
        UnusableError: It is none, or its key is not of the kind that is needed.
    """
    try:
        certificate = x509.load_der_x509_certificate(block.der)
        algorithm, key = certificate.public_key_algorithm_oid, certificate.public_key()
    except LIBRARY_ERRORS:
        raise _unreadable("certificate") from None
    if algorithm == _RSASSA_PSS:
        raise UnusableError(f"{_SIGNATURES_ONLY}; {NEEDED}")
    return _needed(key)


def from_private(block: Block, passphrases: Callable[[], tuple[bytes, ...]]) -> rsa.RSAPublicKey | None:
    """Derive the public half of a private key; `None` if it is encrypted and there are no passphrases to try.

    Raises:
        UnusableError: It is none, cannot be opened, or is not of the kind that is needed.
    """
    # Inside an encrypted key this cannot be seen: the library opens it as any other RSA key.
    _refuse_signature_key(block)
    key = _opened(block, passphrases)
    if key is None:
        return None
    public = _needed(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey) and not _halves_belong_together(key.private_numbers()):
        raise UnusableError("is damaged: its private and public halves do not belong together")
    return public


def _opened(block: Block, passphrases: Callable[[], tuple[bytes, ...]]) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(block.armored(), None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        pass  # the library's word for an encrypted key
    except LIBRARY_ERRORS:
        raise _unreadable("private key") from None
    candidates = passphrases()
    return _decrypted(block, candidates) if candidates else None


def _decrypted(block: Block, passphrases: tuple[bytes, ...]) -> PrivateKeyTypes:
    if not block.cipher:
        refuse_absurd_work(block.der)
    elif block.cipher not in _CLASSIC_IV_DIGITS:
        raise UnusableError(f"is encrypted with another cipher than {', '.join(_CLASSIC_IV_DIGITS)}")
    elif len(block.iv) != _CLASSIC_IV_DIGITS[block.cipher]:
        # Not left to the library, which panics.
        raise UnusableError("is damaged: its DEK-Info line is too short or too long")
    for passphrase in passphrases:
        try:
            return load_pem_private_key(block.armored(), passphrase, unsafe_skip_rsa_key_validation=True)
        except UnsupportedAlgorithm:
            raise UnusableError(f"is of a kind, or encrypted in a way, that is not supported; {NEEDED}") from None
        except LIBRARY_ERRORS:
            continue
    raise UnusableError(
        "cannot be opened: the passphrase is wrong, or the key is damaged or encrypted in a way that is not supported"
    )


def _needed(key: PublicKeyTypes) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        kinds = (name for kind, name in _OTHER_ALGORITHMS.items() if isinstance(key, kind))
        raise UnusableError(f"is {next(kinds, 'a key of another algorithm')}; {NEEDED}")
    if key.key_size != _BITS:
        raise UnusableError(f"is an RSA key of {key.key_size} bits; {NEEDED}")
    numbers = key.public_numbers()
    if numbers.n % 2 == 0 or numbers.e % 2 == 0 or not 1 < numbers.e < numbers.n:
        raise UnusableError("is damaged: its modulus and exponent are none of an RSA key")
    return key


def _halves_belong_together(private: rsa.RSAPrivateNumbers) -> bool:
    """Check the arithmetic of a key; its primes go untested, which would take 29 ms and more."""
    p, q = private.p, private.q
    inverse = private.d * private.public_numbers.e
    return p * q == private.public_numbers.n and min(p, q) > 1 and inverse % (p - 1) == inverse % (q - 1) == 1


def _refuse_signature_key(block: Block) -> None:
    # The algorithm is within the first few bytes of a SubjectPublicKeyInfo or a PKCS#8 key.
    if _RSASSA_PSS_DER in block.der[:40]:
        raise UnusableError(f"{_SIGNATURES_ONLY}; {NEEDED}")


def _unreadable(kind: str) -> UnusableError:
    return UnusableError(f"is no readable {kind}: damaged, cut off or of an unknown kind; {NEEDED}")
