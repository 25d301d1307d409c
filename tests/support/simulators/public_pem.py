"""The public keys that both APIs accept."""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\r?\n(?:[A-Za-z0-9+/=]{1,76}\r?\n)+-----END PUBLIC KEY-----\s*", re.ASCII)
_BITS = 2048


def complaint(pem: str) -> str | None:
    """Return why a text is not a PEM SubjectPublicKeyInfo of an RSA key with 2048 bits; `None` if it is one."""
    if not _PEM.fullmatch(pem):
        return "is not a public key in PEM"
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return "cannot be read"
    if not isinstance(key, RSAPublicKey) or key.key_size != _BITS:
        return f"is not an RSA key of {_BITS} bits"
    return None
