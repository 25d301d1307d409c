"""Authorities: what a text with certificates to trust must be like before the TLS library tries to parse it."""

import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat import asn1

from bek_operator.keys.der import ALGORITHMS, EC, ED448, ED25519, RSA, RSA_PSS, Kind, RsaPublicKey, content_of
from bek_operator.keys.pem import UnusableError, decode_base64

MAX_CHARACTERS: Final = 64 * 1024
MAX_CERTIFICATES: Final = 100

MAX_RSA_BITS: Final = 16 * 1024
"""With a larger key OpenSSL verifies nothing (OPENSSL_RSA_MAX_MODULUS_BITS)."""

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_CERTIFICATE = re.compile(f"{_BEGIN}(.*?){_END}", re.DOTALL)
_SIGNERS: Final = frozenset({RSA, RSA_PSS, EC, ED25519, ED448})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a server's certificate is checked against.

    Attributes:
        authorities: PEM certificates of the only CAs to trust; `None` for the system's.
        server_name: The name that the certificate must carry (and that is sent as SNI).
        tenant: The namespace whose object names the server; empty where the operator's own settings do. Servers of one
            tenant share a limit on what their handshakes cost.
    """

    ca_bundle: str | None
    server_name: str
    tenant: str = ""


def check_ca_bundle(text: str) -> None:
    """Make sure that a text is of a bearable size, that its certificates begin and end, and whose keys they hold.

    Raises:
        ValueError: It is not so; the message says why, shows nothing of the text, and may be shown.
    """
    count = text.count(_BEGIN)
    if len(text) > MAX_CHARACTERS or count > MAX_CERTIFICATES:
        raise ValueError(f"is larger than {MAX_CHARACTERS // 1024} KiB or {MAX_CERTIFICATES} certificates")
    if not count:
        raise ValueError(f"holds no certificate in PEM form (none begins with {_BEGIN})")
    if text.count(_END) != count:
        raise ValueError("holds a certificate that is cut short")
    for body in _CERTIFICATE.findall(text):
        _check_key(body)


def _check_key(body: str) -> None:
    """Make sure that TLS can verify with a certificate's key; what cannot be read is for the library to tell."""
    try:
        content = content_of(decode_base64(body))
    except UnusableError:
        return
    if content is None or content.kind is not Kind.CERTIFICATE:
        return
    if content.algorithm not in _SIGNERS:
        found = ALGORITHMS.get(content.algorithm, "a key of another algorithm")
        raise ValueError(f"holds a certificate of {found}; one of an RSA, EC or Ed25519 key is needed")
    if content.algorithm in {RSA, RSA_PSS}:
        try:
            bits = asn1.decode_der(RsaPublicKey, content.body).n.bit_length()
        except ValueError:
            return
        if bits > MAX_RSA_BITS:
            raise ValueError(f"holds a certificate of an RSA key of {bits} bits; {MAX_RSA_BITS} are the most")
