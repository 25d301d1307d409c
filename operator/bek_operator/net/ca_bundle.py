"""CA bundles, checked before OpenSSL parses them."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat import asn1

from bek_operator.keys.der import ALGORITHMS, EC, ED448, ED25519, RSA, RSA_PSS, Kind, RsaPublicKey, content_of
from bek_operator.keys.pem import UnusableError, decode_base64

MAX_CHARACTERS: Final = 64 * 1024
MAX_CERTIFICATES: Final = 100

MAX_RSA_BITS: Final = 16 * 1024
"""OpenSSL does not verify with a larger key (OPENSSL_RSA_MAX_MODULUS_BITS)."""

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_CERTIFICATE = re.compile(f"{_BEGIN}(.*?){_END}", re.DOTALL)
_SUPPORTED_ALGORITHMS: Final = frozenset({RSA, RSA_PSS, EC, ED25519, ED448})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTrust:
    """What a server's certificate is checked against.

    Attributes:
        ca_bundle: PEM certificates of the only CAs to trust; `None` for the system's.
        server_name: The name that the certificate must have (and that is sent as SNI).
        tenant: The namespace whose object names the server; empty for servers from the operator's settings. Servers of
            one tenant share a limit on the CPU of their handshakes.
    """

    ca_bundle: str | None
    server_name: str
    tenant: str = ""

    @property
    def ca_digest(self) -> bytes | None:
        """The CA bundle's digest, for keys of caches: text of up to 64 KiB is too large for that."""
        return None if self.ca_bundle is None else sha256(self.ca_bundle.encode("utf-8", "surrogatepass")).digest()


def check_ca_bundle(text: str) -> None:
    """Check the size of a CA bundle, the BEGIN and END lines of its certificates, and their key algorithms.

    Raises:
        ValueError: It is invalid; the message is a predicate, and quotes nothing.
    """
    count = text.count(_BEGIN)
    if len(text) > MAX_CHARACTERS or count > MAX_CERTIFICATES:
        raise ValueError(f"is larger than {MAX_CHARACTERS // 1024} KiB or {MAX_CERTIFICATES} certificates")
    if not count:
        raise ValueError(f"holds no certificate in PEM form (none begins with {_BEGIN})")
    if text.count(_END) != count:
        raise ValueError("holds a truncated certificate")
    for body in _CERTIFICATE.findall(text):
        _check_key(body)


def _check_key(body: str) -> None:
    """Check that TLS can verify with a certificate's key; an unreadable one is left to OpenSSL."""
    try:
        content = content_of(decode_base64(body))
    except UnusableError:
        return
    if content is None or content.kind is not Kind.CERTIFICATE:
        return
    if content.algorithm not in _SUPPORTED_ALGORITHMS:
        found = ALGORITHMS.get(content.algorithm, "a key of another algorithm")
        raise ValueError(f"holds a certificate of {found}; an RSA, EC or Ed25519 key is needed")
    if content.algorithm in {RSA, RSA_PSS}:
        try:
            bits = asn1.decode_der(RsaPublicKey, content.body).n.bit_length()
        except ValueError:
            return
        if bits > MAX_RSA_BITS:
            raise ValueError(f"holds a certificate of an RSA key of {bits} bits; the maximum is {MAX_RSA_BITS}")
