"""Identifies the key in a DER structure: its form and its algorithm.

Only the structure is parsed; `cryptography` does not load the key, because loading a DSA key of 14 kB takes it 22
seconds (it computes the public half). Integers are of any size: check it before computing with them.

Forms: RFC 8017 A.1 (RSA), RFC 5958 (PKCS#8), RFC 5280 4.1 (certificates, SubjectPublicKeyInfo), RFC 5915 (EC),
RFC 2315 7 (PKCS#7), RFC 7292 4 (PKCS#12), RFC 2986 4 (requests). DSA's is OpenSSL's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Annotated, Final, Protocol

from cryptography import x509
from cryptography.hazmat import asn1

RSA: Final = "1.2.840.113549.1.1.1"
RSA_PSS: Final = "1.2.840.113549.1.1.10"
EC: Final = "1.2.840.10045.2.1"
DSA: Final = "1.2.840.10040.4.1"
ED25519: Final = "1.3.101.112"
ED448: Final = "1.3.101.113"

ALGORITHMS: Final[Mapping[str, str]] = {
    RSA: "an RSA key",
    RSA_PSS: "an RSA-PSS key, which can only sign",
    EC: "an EC key",
    DSA: "a DSA key",
    "1.2.840.113549.1.3.1": "a Diffie-Hellman key",
    "1.2.840.10046.2.1": "a Diffie-Hellman key",
    "1.3.101.110": "an X25519 key",
    "1.3.101.111": "an X448 key",
    ED25519: "an Ed25519 key",
    ED448: "an Ed448 key",
}
"""Names of algorithms for messages, by object identifier."""


class Kind(Enum):
    """The form of a key."""

    CERTIFICATE = auto()
    PUBLIC = auto()
    PRIVATE = auto()
    ENCRYPTED = auto()


@dataclass(frozen=True, slots=True)
class Content:
    """A key in a DER structure.

    Attributes:
        kind: The form of the key.
        algorithm: The object identifier of the key's algorithm; empty if encrypted.
        body: The key in the algorithm's own form (PKCS#1 for RSA); the whole structure if encrypted.
    """

    kind: Kind
    algorithm: str
    body: bytes = field(repr=False)


@asn1.sequence
class RsaPublicKey:
    """A PKCS#1 public key."""

    n: int
    e: int

    def content(self, der: bytes) -> Content:
        """Return the key."""
        return Content(Kind.PUBLIC, RSA, der)


@asn1.sequence
class RsaPrivateKey:
    """A PKCS#1 private key of two primes."""

    version: int
    n: int
    e: int
    d: int
    p: int
    q: int
    dp: int
    dq: int
    inverse: int

    def content(self, der: bytes) -> Content:
        """Return the key."""
        return Content(Kind.PRIVATE, RSA, der)


@asn1.sequence
class _DsaPrivateKey:
    version: int
    p: int
    q: int
    g: int
    y: int
    x: int

    def content(self, der: bytes) -> Content:
        return Content(Kind.PRIVATE, DSA, der)


@asn1.sequence
class _EcPrivateKey:
    version: int
    d: bytes
    curve: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    public: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]

    def content(self, der: bytes) -> Content:
        return Content(Kind.PRIVATE, EC, der)


@asn1.sequence
class _PublicKeyInfo:
    algorithm: list[asn1.TLV]
    key: asn1.BitString

    def content(self, _: bytes) -> Content:
        return Content(Kind.PUBLIC, oid_of(self.algorithm), self.key.as_bytes())


@asn1.sequence
class _PrivateKeyInfo:
    version: int
    algorithm: list[asn1.TLV]
    key: bytes
    attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    public: Annotated[asn1.BitString | None, asn1.Implicit(1)]

    def content(self, _: bytes) -> Content:
        return Content(Kind.PRIVATE, oid_of(self.algorithm), self.key)


@asn1.sequence
class _EncryptedPrivateKeyInfo:
    algorithm: list[asn1.TLV]
    content_: bytes

    def content(self, der: bytes) -> Content:
        return Content(Kind.ENCRYPTED, "", der)


@asn1.sequence
class _ToBeSigned:
    version: Annotated[int | None, asn1.Explicit(0)]
    serial: int
    signature: list[asn1.TLV]
    issuer: list[asn1.TLV]
    validity: list[asn1.TLV]
    subject: list[asn1.TLV]
    key: _PublicKeyInfo
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    signed: _ToBeSigned
    algorithm: list[asn1.TLV]
    signature: asn1.BitString

    def content(self, der: bytes) -> Content:
        key = self.signed.key.content(der)
        return Content(Kind.CERTIFICATE, key.algorithm, key.body)


@asn1.sequence
class _RequestInfo:
    version: int
    subject: list[asn1.TLV]
    key: _PublicKeyInfo
    attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]


@asn1.sequence
class _Request:
    signed: _RequestInfo
    algorithm: list[asn1.TLV]
    signature: asn1.BitString


@asn1.sequence
class _Pkcs7:
    kind: x509.ObjectIdentifier
    contents: Annotated[list[asn1.TLV], asn1.Implicit(0)]


@asn1.sequence
class _Pkcs12:
    version: int
    safe: _Pkcs7
    mac: list[asn1.TLV] | None


_SEQUENCE: Final = b"\x30"


class _Form(Protocol):
    def content(self, der: bytes, /) -> Content: ...


_KEYS: Final[tuple[type[_Form], ...]] = (
    _PublicKeyInfo,
    _PrivateKeyInfo,
    _EncryptedPrivateKeyInfo,
    _Certificate,
    RsaPublicKey,
    RsaPrivateKey,
    _EcPrivateKey,
    _DsaPrivateKey,
)
"""The structures of keys; no two of them match the same DER. Diffie-Hellman parameters match an RSA public key."""

_OTHERS: Final[Mapping[type, str]] = {
    _Request: "CERTIFICATE REQUEST",
    _Pkcs7: "PKCS7",
    _Pkcs12: "PKCS12",
}
_OPENSSH: Final = b"openssh-key-v1\0"


def is_der(raw: bytes) -> bool:
    """Return whether bytes are exactly one DER SEQUENCE, of any content."""
    try:
        return asn1.decode_der(asn1.TLV, raw).tag_bytes == _SEQUENCE
    except ValueError:
        return False


def content_of(der: bytes) -> Content | None:
    """Return the key in a DER structure; `None` if it is unknown or damaged.

    Takes time proportional to the length.
    """
    for form in _KEYS:
        try:
            return asn1.decode_der(form, der).content(der)
        except ValueError:
            continue
    return None


def label_of_other(content: bytes) -> str:
    """Return the PEM label of a structure that is not a key; empty if it is unknown, too."""
    for form, label in _OTHERS.items():
        try:
            asn1.decode_der(form, content)
        except ValueError:
            continue
        return label
    return "OPENSSH PRIVATE KEY" if content.startswith(_OPENSSH) else ""


def oid_of(algorithm: list[asn1.TLV]) -> str:
    """Return the object identifier of an AlgorithmIdentifier, in dotted form.

    Raises:
        ValueError: It has none.
    """
    oid, *_ = algorithm
    parsed: x509.ObjectIdentifier = oid.parse(x509.ObjectIdentifier)
    return parsed.dotted_string


@asn1.sequence
class _RsaAlgorithm:
    oid: x509.ObjectIdentifier
    parameters: asn1.Null


@asn1.sequence
class _RsaPublicKeyInfo:
    algorithm: _RsaAlgorithm
    key: asn1.BitString


def public_key_info(n: int, e: int) -> bytes:
    """Return the SubjectPublicKeyInfo of an RSA key."""
    key = asn1.BitString(asn1.encode_der(RsaPublicKey(n=n, e=e)), 0)
    algorithm = _RsaAlgorithm(oid=x509.ObjectIdentifier(RSA), parameters=asn1.Null())
    return asn1.encode_der(_RsaPublicKeyInfo(algorithm=algorithm, key=key))
