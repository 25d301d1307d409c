"""The encrypted ping that a Flow's data endpoint must open, as Meta sends it.

Bytes in, bytes out. Source: Meta, "Implementing Endpoints for Flows" (request decryption, health check, signature).
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from bek_operator.keys.public_key import exponent_and_modulus

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
SESSION_BYTES: Final = 16
"""The size of the AES key, and of the initial vector."""

PING: Final = b'{"version":"3.0","action":"ping"}'


@dataclass(frozen=True, slots=True)
class Session:
    """The AES key and the initial vector of one ping and of its answer: `SESSION_BYTES` random bytes each."""

    key: bytes = field(repr=False)
    vector: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if (len(self.key), len(self.vector)) != (SESSION_BYTES, SESSION_BYTES):
            raise ValueError(f"AES key and initial vector must have {SESSION_BYTES} bytes each")


def ping_for(public_key: str, session: Session) -> bytes:
    """Return the body of the request with a ping, encrypted to a public key (PEM).

    Raises:
        ValueError: It is not an RSA key of 2048 bits.
    """
    exponent, modulus = exponent_and_modulus(public_key)
    key = RSAPublicNumbers(exponent, modulus).public_key()
    padding = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)
    return json.dumps(
        {
            "encrypted_flow_data": _base64(AESGCM(session.key).encrypt(session.vector, PING, None)),
            "encrypted_aes_key": _base64(key.encrypt(session.key, padding)),
            "initial_vector": _base64(session.vector),
        }
    ).encode()


def signature_of(body: bytes, app_secret: str) -> str:
    """Return the value of `SIGNATURE_HEADER` for the body of a request."""
    return f"sha256={hmac.digest(app_secret.encode(), body, hashlib.sha256).hex()}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
