"""The answers of a pod of the On-Premises API: strict, and as documented.

Without sockets and faults; callers hold the pod's lock.
"""

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from support.keys import fingerprint
from support.simulators import envelope, public_pem
from support.simulators.call import Call as BaseCall
from support.simulators.envelope import Refusal
from support.simulators.exchange import Reply
from support.simulators.ledger import Kind

if TYPE_CHECKING:
    from support.simulators.pod import Pod

LOGIN = "/v1/users/login"
ENCRYPTION = "/v1/settings/business/whatsapp_business_encryption"
FIRST_VERSION = (2, 51)
"""Older clients do not know the encryption path."""

_PASSWORD = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])(?=.*[^A-Za-z0-9]).{8,64}")


class Call(BaseCall):
    """A request at a pod."""

    __slots__ = ()

    @property
    def kind(self) -> Kind:
        """The kind of request."""
        kinds: dict[tuple[str, str], Kind] = {
            ("POST", LOGIN): "login",
            ("GET", ENCRYPTION): "read",
            ("POST", ENCRYPTION): "publish",
        }
        return kinds.get((self.method, self.path), "other")


def handle(pod: "Pod", call: Call) -> Reply:
    """Carry out a request."""
    try:
        return Reply.json({**_route(pod, call), **envelope.meta(pod.version)})
    except Refusal as refusal:
        return refusal.reply(pod.version)


def is_authorised(pod: "Pod", call: Call) -> bool:
    """Return whether the request is authorised."""
    if call.kind == "login":
        return _basic(call) == (pod.username, pod.password)
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and pod.knows_token(token)


def offered_fingerprint(call: Call) -> str | None:
    """Return the fingerprint of a publish's key, if it is acceptable."""
    try:
        return fingerprint(_published_key(call)) if call.kind == "publish" else None
    except Refusal:
        return None


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
        pod.violations.append("the password was changed")
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
    if (complaint := public_pem.complaint(pem)) is not None:
        raise Refusal(1009, f"public_key {complaint}")
    return pem


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
