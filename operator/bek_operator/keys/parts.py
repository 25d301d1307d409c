"""From one block of an entry to the RSA public key that it stands for, or to the reason why it stands for none.

What a block is, its content says; the label only names what the content leaves open. The rules of a usable key are
here: RSA, exactly 2048 bits, not restricted to signatures, halves that belong together. Private halves are looked at
and dropped.
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
from bek_operator.keys.encryption import unlock_of, unlock_of_classic
from bek_operator.keys.pem import Block, UnusableError

BITS: Final = 2048
NEEDED: Final = f"an RSA key of {BITS} bits is needed"

_KEYS: Final[Mapping[str, str]] = {
    "CERTIFICATE": "certificate",
    "ENCRYPTED PRIVATE KEY": "private key",
    "PRIVATE KEY": "private key",
    "PUBLIC KEY": "public key",
    "RSA PRIVATE KEY": "private key",
    "RSA PUBLIC KEY": "public key",
    "X509 CERTIFICATE": "certificate",
}
"""The labels of what is needed."""

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
"""What other labels stand for."""

_COMMANDS: Final[Mapping[str, str]] = {
    "OPENSSH PRIVATE KEY": "ssh-keygen -p -m PEM converts it",
    "PKCS12": "openssl pkcs12 -nocerts extracts the key",
    "PKCS7": "openssl pkcs7 -print_certs extracts its certificates",
    "TRUSTED CERTIFICATE": "openssl x509 converts it",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One block, and what its content is."""

    block: Block
    content: Content


def part_of(block: Block) -> Part:
    """Tell what a block is.

    Raises:
        UnusableError: It is none that holds a key; the message says what it is instead.
    """
    if block.cipher and block.label not in _OTHERS:
        return Part(block, Content(Kind.ENCRYPTED, "", block.der))
    # What a prime and a generator are encoded as might be a modulus and an exponent, too.
    content = None if block.cipher or block.label.endswith(" PARAMETERS") else content_of(block.der)
    if content is None:
        raise UnusableError(f"{_other(block)}; {NEEDED}")
    return Part(block, content)


def public_key_of(part: Part, passphrases: Callable[[], tuple[bytes, ...]]) -> bytes | None:
    """Return the SubjectPublicKeyInfo of a part's key; `None` if it is encrypted and there are no passphrases to try.

    Neither the dates of a certificate nor its signature matter.

    Raises:
        UnusableError: It cannot be opened, or is not of the kind that is needed.
    """
    if part.content.kind is not Kind.ENCRYPTED:
        return _needed(part.content)
    candidates = passphrases()
    return _needed(_opened(part, candidates)) if candidates else None


def is_rsa(key: RsaPublicKey | RsaPrivateKey) -> bool:
    """Return whether a modulus and an exponent may be those of an RSA key."""
    return 1 < key.e < key.n and bool(key.n & key.e & 1)


def refuse_unusable(key: RsaPublicKey | RsaPrivateKey) -> None:
    """Make sure that numbers are those of a key that is needed; nothing is computed with larger ones.

    The primes of a private key go untested, which would take 29 ms and more.

    Raises:
        UnusableError: They are not.
    """
    if not is_rsa(key):
        raise UnusableError("is damaged: its modulus and exponent are none of an RSA key")
    if (bits := key.n.bit_length()) != BITS:
        raise UnusableError(f"is an RSA key of {bits} bits; {NEEDED}")
    if isinstance(key, RsaPrivateKey) and not _halves_belong_together(key):
        raise UnusableError("is damaged: its private and public halves do not belong together")


def _halves_belong_together(key: RsaPrivateKey) -> bool:
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
        raise UnusableError(f"is no readable RSA key: damaged or cut off; {NEEDED}") from None
    refuse_unusable(key)
    return public_key_info(key.n, key.e)


def _opened(part: Part, passphrases: tuple[bytes, ...]) -> Content:
    block = part.block
    unlock = unlock_of_classic(block.cipher, block.iv, block.der) if block.cipher else unlock_of(block.der)
    for passphrase in passphrases:
        try:
            content = content_of(unlock(passphrase))
        except ValueError:
            continue
        # With another passphrase, one in 256 times what comes out ends as it should; it is no key then.
        if content is not None and content.kind is Kind.PRIVATE:
            return content
    raise UnusableError(
        "cannot be opened: the passphrase is wrong, or the key is damaged or encrypted in a way that is not supported"
    )


def _other(block: Block) -> str:
    """Say what a block is that is no key."""
    right = block.label if block.label in _OTHERS else label_of_other(block.der)
    command = _COMMANDS.get(right)
    if right and block.label in {right, ""}:
        return f"{'holds' if block.label else 'is'} {_OTHERS[right]}{f' ({command})' if command else ''}"
    if right:
        # A label that is not known is whatever somebody wrote there.
        label = f"the label {block.label}" if block.label in _KEYS else "another label"
        first = "decode what is between its lines" if right == "PKCS12" else f"change that to {right}"
        return f"holds {_OTHERS[right]} under {label}; {first}{f', then {command}' if command else ''}"
    if block.label in _KEYS:
        return f"is no readable {_KEYS[block.label]}: damaged, cut off or of an unknown kind"
    return "holds PEM of another kind" if block.label else "is binary, and of no kind that is known"
