"""Turns one block of a Secret's entry into its RSA public key, or into the reason why it is unusable.

A block is identified by its content; the label is only used for messages about other content. A usable key is RSA,
of exactly 2048 bits, not restricted to signatures, with halves that match. Private halves are dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat import asn1

from bek_operator.keys.der import (
    ALGORITHMS,
    RSA,
    Content,
    Kind,
    RsaPrivateKey,
    RsaPublicKey,
    content_of,
    label_of_other,
    public_key_info,
)
from bek_operator.keys.derivation import Derive
from bek_operator.keys.encryption import unlock_of, unlock_of_classic
from bek_operator.keys.pem import Block, UnusableError

BITS: Final = 2048
NEEDED: Final = f"an RSA key of {BITS} bits is needed"

KNOWN_LABELS: Final[Mapping[str, str]] = {
    "CERTIFICATE": "certificate",
    "ENCRYPTED PRIVATE KEY": "private key",
    "PRIVATE KEY": "private key",
    "PUBLIC KEY": "public key",
    "RSA PRIVATE KEY": "private key",
    "RSA PUBLIC KEY": "public key",
    "X509 CERTIFICATE": "certificate",
}
"""Labels of usable blocks."""

_OTHERS: Final[Mapping[str, str]] = {
    "CERTIFICATE REQUEST": "a certificate request",
    "CMS": "a PKCS#7 bundle",
    "DH PARAMETERS": "Diffie-Hellman parameters",
    "DSA PARAMETERS": "a DSA key",
    "DSA PRIVATE KEY": "a DSA key",
    "EC PARAMETERS": "an EC key",
    "EC PRIVATE KEY": "an EC key",
    "NEW CERTIFICATE REQUEST": "a certificate request",
    "OPENSSH PRIVATE KEY": "a key in OpenSSH's own format",
    "PGP PRIVATE KEY BLOCK": "a PGP key",
    "PGP PUBLIC KEY BLOCK": "a PGP key",
    "PKCS12": "a PKCS#12 file",
    "PKCS7": "a PKCS#7 bundle",
    "TRUSTED CERTIFICATE": "a certificate in OpenSSL's own format",
    "X509 CRL": "a certificate revocation list",
}
"""Other labels, and names for their content."""

SHOWN_LABELS: Final = frozenset({*KNOWN_LABELS, *_OTHERS})
"""Labels that can be shown; any other one is arbitrary text."""

_COMMANDS: Final[Mapping[str, str]] = {
    "OPENSSH PRIVATE KEY": "ssh-keygen -p -m PEM converts it",
    "PKCS12": "openssl pkcs12 -nocerts extracts the key",
    "PKCS7": "openssl pkcs7 -print_certs extracts its certificates",
    "TRUSTED CERTIFICATE": "openssl x509 converts it",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A block, and the key that it contains."""

    block: Block
    content: Content


def part_of(block: Block) -> Part:
    """Return the key in a block.

    Raises:
        UnusableError: There is none; the message describes the block.
    """
    if block.cipher and block.label not in _OTHERS:
        return Part(block, Content(Kind.ENCRYPTED, "", block.der))
    # Parameters (a prime and a generator) have the same structure as an RSA public key.
    content = None if block.cipher or block.label.endswith(" PARAMETERS") else content_of(block.der)
    if content is None:
        raise UnusableError(f"{_other(block)}; {NEEDED}")
    return Part(block, content)


def public_key_of(part: Part, passphrases: Callable[[], tuple[bytes, ...]], derive: Derive) -> bytes | None:
    """Return the SubjectPublicKeyInfo of a part's key; `None` if it is encrypted and there are no passphrases.

    Neither the dates of a certificate nor its signature are checked.

    Raises:
        UnusableError: It cannot be decrypted, or is not a usable key.
    """
    if part.content.kind is not Kind.ENCRYPTED:
        return _needed(part.content)
    candidates = passphrases()
    return _needed(_opened(part, candidates, derive)) if candidates else None


def is_rsa(key: RsaPublicKey | RsaPrivateKey) -> bool:
    """Return whether modulus and exponent are plausible for an RSA key."""
    return 1 < key.e < key.n and bool(key.n & key.e & 1)


def refuse_unusable(key: RsaPublicKey | RsaPrivateKey) -> None:
    """Check that a key is usable; nothing is computed with numbers that are too large.

    Primality is not tested, which would take 29 ms and more.

    Raises:
        UnusableError: The key is not usable.
    """
    if not is_rsa(key):
        raise UnusableError("is damaged: its modulus and exponent are not those of an RSA key")
    if (bits := key.n.bit_length()) != BITS:
        raise UnusableError(f"is an RSA key of {bits} bits; {NEEDED}")
    if isinstance(key, RsaPrivateKey) and not _halves_match(key):
        raise UnusableError("is damaged: its private and public halves do not match")


def _halves_match(key: RsaPrivateKey) -> bool:
    if not all(1 < number < key.n for number in (key.p, key.q, key.d)) or key.p * key.q != key.n:
        return False
    product = key.d * key.e
    return product % (key.p - 1) == product % (key.q - 1) == 1


def _needed(content: Content) -> bytes:
    if content.algorithm != RSA:
        raise UnusableError(f"is {ALGORITHMS.get(content.algorithm, 'a key of another algorithm')}; {NEEDED}")
    form: type[RsaPrivateKey | RsaPublicKey] = RsaPrivateKey if content.kind is Kind.PRIVATE else RsaPublicKey
    try:
        key = asn1.decode_der(form, content.body)
    except ValueError:
        raise UnusableError(f"is not a readable RSA key: damaged or truncated; {NEEDED}") from None
    refuse_unusable(key)
    return public_key_info(key.n, key.e)


def _opened(part: Part, passphrases: tuple[bytes, ...], derive: Derive) -> Content:
    block = part.block
    unlock = unlock_of_classic(block.cipher, block.iv, block.der) if block.cipher else unlock_of(block.der)
    for passphrase in passphrases:
        try:
            content = content_of(unlock(passphrase, derive))
        except UnusableError:
            raise
        except ValueError:
            continue
        # With a wrong passphrase the padding is valid one in 256 times, but the plaintext is not a key.
        if content is not None and content.kind is Kind.PRIVATE:
            return content
    raise UnusableError(
        "cannot be decrypted: the passphrase is wrong, or the key is damaged or its encryption is not supported"
    )


def _other(block: Block) -> str:
    """Describe a block that does not contain a key."""
    actual = block.label if block.label in _OTHERS else label_of_other(block.der)
    command = _COMMANDS.get(actual)
    if actual and block.label in {actual, ""}:
        return f"{'holds' if block.label else 'is'} {_OTHERS[actual]}{f' ({command})' if command else ''}"
    if actual:
        # An unknown label is arbitrary text, so it is not quoted.
        label = f"the label {block.label}" if block.label in KNOWN_LABELS else "another label"
        first = "decode the base64 text between its lines" if actual == "PKCS12" else f"change the label to {actual}"
        return f"holds {_OTHERS[actual]} under {label}; {first}{f', then {command}' if command else ''}"
    if block.label in KNOWN_LABELS:
        return f"is not a readable {KNOWN_LABELS[block.label]}: damaged, truncated or of an unknown kind"
    return "holds PEM of another kind" if block.label else "is binary data of an unknown kind"
