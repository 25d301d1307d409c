"""What a pod of the On-Premises API answers: strict, and nothing that is not documented.

Knows neither sockets nor faults; the pod's lock is held by whoever calls.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kit import envelope
from kit.envelope import Refusal
from kit.exchange import Reply
from kit.keys import fingerprint
from kit.ledger import Kind

if TYPE_CHECKING:
    from kit.pod import Pod

LOGIN = "/v1/users/login"
ENCRYPTION = "/v1/settings/business/whatsapp_business_encryption"
BODY_LIMIT = 64 * 1024
FIRST_VERSION = (2, 51)
"""Older clients do not know the encryption path."""

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\r?\n(?:[A-Za-z0-9+/=]{1,76}\r?\n)+-----END PUBLIC KEY-----\s*", re.ASCII)
_PASSWORD = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])(?=.*[^A-Za-z0-9]).{8,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as far as a pod looks at it.

    Attributes:
        path: As it came, without the query.
        headers: By lower-case name; a repeated one has all its values, joined by commas.
        body: `None` when it was longer than `BODY_LIMIT`.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=b"", repr=False)

    @property
    def kind(self) -> Kind:
        """What the request is for."""
        kinds: dict[tuple[str, str], Kind] = {
            ("POST", LOGIN): "login",
            ("GET", ENCRYPTION): "read",
            ("POST", ENCRYPTION): "publish",
        }
        return kinds.get((self.method, self.path), "other")

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def handle(pod: "Pod", call: Call) -> Reply:
    """Carry out a request."""
    try:
        return Reply.json({**_route(pod, call), **envelope.meta(pod.version)})
    except Refusal as refusal:
        return refusal.reply(pod.version)


def is_authorised(pod: "Pod", call: Call) -> bool:
    """Tell whether the request carries what it needs."""
    if call.kind == "login":
        return _basic(call) == (pod.username, pod.password)
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and pod.knows_token(token)


def offered_fingerprint(call: Call) -> str | None:
    """Return the fingerprint of the key that a publish brings, if it brings an acceptable one."""
    try:
        return fingerprint(_published_key(call)) if call.kind == "publish" else None
    except Refusal:
        return None


def brings_private_key(call: Call) -> bool:
    """Tell whether a private key is anywhere in the request."""
    body = (call.body or b"").decode("utf-8", "replace")
    return any("PRIVATE KEY" in unquote_plus(part) for part in (body, call.query, *call.headers.values()))


def _route(pod: "Pod", call: Call) -> dict[str, object]:
    if call.body is None:
        raise Refusal(1025, "The request is too large", 413)
    unknown = call.kind != "login" and _version(pod.version) < FIRST_VERSION
    if call.kind == "other" or unknown:
        raise Refusal(1006, f"{call.method} on an unknown path")
    if call.query:
        raise Refusal(1010, "There are no parameters in the query")
    if call.kind == "login":
        return _login(pod, call)
    if not is_authorised(pod, call):
        raise Refusal(1005, "Invalid or expired token")
    if not pod.registered:
        raise Refusal(pod.unregistered_code, "The number is not registered")
    if call.kind == "read":
        return pod.show_key()
    pod.take_key(_published_key(call))
    return {}


def _login(pod: "Pod", call: Call) -> dict[str, object]:
    if call.content_type != "application/json":
        raise Refusal(1025, "The content type of a login is application/json")
    if not is_authorised(pod, call):
        raise Refusal(1005, "Invalid credentials")
    document = _json_object(call.body or b"")
    new_password = document.pop("new_password", None)
    if document:
        raise Refusal(1010, "Only new_password is known")
    if new_password is not None:
        if not isinstance(new_password, str) or not _PASSWORD.fullmatch(new_password):
            raise Refusal(1009, "The new password is too weak")
        pod.scandals.append("the password was changed")
        pod.password = new_password
    if (pod.username, pod.password) == ("admin", "secret"):
        raise Refusal(1024, "The first login must set a new password")
    token, expires_after = pod.issue_token()
    return {"users": [{"token": token, "expires_after": expires_after}]}


def _json_object(body: bytes) -> dict[str, object]:
    if not body:
        return {}
    try:
        document = Reply(body=body).document()
    except (ValueError, TypeError) as cause:
        raise Refusal(1025, "The body of a login is a JSON object") from cause
    return document


def _basic(call: Call) -> tuple[str, str] | None:
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def _published_key(call: Call) -> str:
    if call.content_type != "application/x-www-form-urlencoded":
        raise Refusal(1008, "public_key is missing; the body is a URL-encoded form")
    try:
        form = parse_qsl(
            (call.body or b"").decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=10,
        )
    except ValueError as cause:
        raise Refusal(1008, "public_key is missing; the body is no form") from cause
    if not form:
        raise Refusal(1008, "public_key is missing")
    if [name for name, _ in form if name != "public_key"] or len(form) > 1:
        raise Refusal(1010, "Only public_key is known, and only once")
    pem = form[0][1]
    if not _PEM.fullmatch(pem):
        raise Refusal(1009, "public_key is not a public key in PEM")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise Refusal(1009, "public_key cannot be read") from cause
    if not isinstance(key, RSAPublicKey) or key.key_size != 2048:
        raise Refusal(1009, "public_key is not an RSA key of 2048 bits")
    return pem


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
