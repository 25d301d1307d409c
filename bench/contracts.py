"""Both APIs on the wire, from bytes to bytes: requests and answers.

Every answer is prepared. What the real services would refuse is refused here: another path, a missing token, a
body that is no form, an unknown key.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import parse_qs

from bench import names
from bench.ledger import CAPACITY, Mode

_CLOUD_PREFIX = "/v25.0/"
_CLOUD_EDGE = "/whatsapp_business_encryption"
_LOGIN = "/v1/users/login"
_SETTING = "/v1/settings/business/whatsapp_business_encryption"
_FORM = b"application/x-www-form-urlencoded"
_STATUS_WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_FORMS_REMEMBERED = 64

NO_KEY: Final = 0


class Kind(Enum):
    """What a call does."""

    LOGIN = "login"
    READ = "read"
    PUBLISH = "publish"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are in lower case."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, understood; `key` is the one to publish, `refusal` the answer if the request is wrong."""

    kind: Kind
    is_cloud: bool = False
    index: int = -1
    key: int = NO_KEY
    refusal: bytes = b""


class Contracts:
    """Parses requests and makes answers; keys are numbered by their place in the list, from 1."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        self._keys = {_bare(pem): place for place, pem in enumerate(public_keys, start=1)}
        texts = ["", *public_keys]
        self._cloud_readings = [_answer(200, {"data": [_reading(text)]}) for text in texts]
        self._pod_readings = [_answer(200, {**_reading(text), **_META}) for text in texts]
        self._forms: dict[bytes, int] = {}
        self._bearer = f"Bearer {names.TOKEN}".encode()
        login = f"{names.USERNAME}:{names.PASSWORD}".encode()
        self._basic = b"Basic " + base64.b64encode(login)

    def understand(self, request: Request) -> Asked:
        """Parse a request."""
        path = request.target.decode("ascii", "replace")
        if path.startswith(_CLOUD_PREFIX) and path.endswith(_CLOUD_EDGE):
            return self._understand_cloud(path, request)
        if path in {_LOGIN, _SETTING}:
            return self._understand_pod(path, request)
        return _wrong(404, {"error": {"message": "Unknown path", "type": "GraphMethodException", "code": 2500}})

    def answer(self, call: Asked, held: int, mode: Mode) -> bytes:
        """Return the answer of a number that holds a key."""
        if mode is not Mode.FINE:
            return (_CLOUD_TROUBLES if call.is_cloud else _POD_TROUBLES)[mode]
        if call.kind is Kind.LOGIN:
            return _login(call.index)
        if call.kind is Kind.PUBLISH:
            return _CLOUD_ACCEPTED if call.is_cloud else _POD_ACCEPTED
        return (self._cloud_readings if call.is_cloud else self._pod_readings)[held]

    def _understand_cloud(self, path: str, request: Request) -> Asked:
        if not request.headers.get(b"authorization", b"").startswith(self._bearer):
            return _wrong(401, {"error": {"message": "No token", "type": "OAuthException", "code": 190}})
        index = _index(names.index_of_id, path[len(_CLOUD_PREFIX) : -len(_CLOUD_EDGE)])
        if index < 0:
            return _wrong(404, {"error": {"message": "No such number", "type": "GraphMethodException", "code": 803}})
        if request.method == b"GET":
            return Asked(kind=Kind.READ, is_cloud=True, index=index)
        key = self._key_in(request, b"business_public_key")
        if key is None:
            return _wrong(400, {"error": {"message": "Invalid parameter", "type": "OAuthException", "code": 100}})
        return Asked(kind=Kind.PUBLISH, is_cloud=True, index=index, key=key)

    def _understand_pod(self, path: str, request: Request) -> Asked:
        index = _index(names.index_of_host, request.headers.get(b"host", b"").decode("ascii", "replace"))
        if index < 0:
            return _wrong(404, _pod_error(1006, "Resource not found"))
        authorization = request.headers.get(b"authorization", b"")
        if path == _LOGIN:
            if request.method != b"POST" or authorization != self._basic:
                return _wrong(401, _pod_error(1005, "Access denied"))
            return Asked(kind=Kind.LOGIN, index=index)
        if authorization != f"Bearer {_pod_token(index)}".encode():
            return _wrong(401, _pod_error(1005, "Access denied"))
        return self._understand_setting(index, request)

    def _understand_setting(self, index: int, request: Request) -> Asked:
        if request.method == b"GET":
            return Asked(kind=Kind.READ, index=index)
        key = self._key_in(request, b"public_key")
        if key is None:
            return _wrong(400, _pod_error(1009, "Parameter value is not valid"))
        return Asked(kind=Kind.PUBLISH, index=index, key=key)

    def _key_in(self, request: Request, field: bytes) -> int | None:
        """Return the number of the key in a form; `None` without a form or a known key."""
        if request.method != b"POST" or not request.headers.get(b"content-type", b"").startswith(_FORM):
            return None
        known = self._forms.get(request.body)
        if known is None:
            given = parse_qs(request.body).get(field, [])
            known = self._keys.get(_bare(given[0].decode("ascii", "replace"))) if len(given) == 1 else None
            if known is not None and len(self._forms) < _FORMS_REMEMBERED:
                self._forms[request.body] = known
        return known


def _bare(pem: str) -> str:
    """Return a PEM text without white space, which differs between writers."""
    return "".join(pem.split())


def _index(parse: Callable[[str], int], text: str) -> int:
    try:
        index = parse(text)
    except ValueError:
        return -1
    return index if 0 <= index < CAPACITY else -1


def _reading(pem: str) -> dict[str, str]:
    return {
        "business_public_key": pem,
        "business_public_key_signature_status": "VALID" if pem else "MISMATCH",
    }


def _pod_token(index: int) -> str:
    return f"bench-token-{index}"


def _pod_error(code: int, title: str) -> dict[str, object]:
    return {"errors": [{"code": code, "title": title}], **_META}


def _login(index: int) -> bytes:
    until = datetime.now(UTC) + timedelta(days=7)
    users = [{"token": _pod_token(index), "expires_after": until.strftime("%Y-%m-%dT%H:%M:%S.000Z")}]
    return _answer(200, {"users": users, **_META})


def _wrong(status: int, body: object) -> Asked:
    return Asked(kind=Kind.WRONG, refusal=_answer(status, body))


def _answer(status: int, body: object, **headers: str) -> bytes:
    text = json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {_STATUS_WORDS.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n{more}\r\n"
    )
    return head.encode() + text


_META = {"meta": {"api_status": "stable", "version": "v2.53.1"}}
_CLOUD_ACCEPTED = _answer(200, {"success": True})
_POD_ACCEPTED = _answer(200, _META)
_CLOUD_TROUBLES = {
    Mode.REFUSES: _answer(403, {"error": {"message": "No permission", "type": "OAuthException", "code": 200}}),
    Mode.FAILS: _answer(
        503, {"error": {"message": "Temporary", "type": "OAuthException", "code": 2, "is_transient": True}}
    ),
    Mode.LIMITED: _answer(
        429, {"error": {"message": "Too many calls", "type": "OAuthException", "code": 4, "is_transient": True}}
    ),
}
_POD_TROUBLES = {
    Mode.REFUSES: _answer(403, _pod_error(1005, "Access denied")),
    Mode.FAILS: _answer(503, _pod_error(1011, "Service not ready")),
    Mode.LIMITED: _answer(429, _pod_error(1015, "Too many requests"), Retry_After="5"),
}
