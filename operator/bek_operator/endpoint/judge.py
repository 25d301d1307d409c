"""The judgement of an endpoint's answer to a ping: does it hold the private key, and if not, what is wrong?

Pure. Statuses 421, 427 and 432 are Meta's, and so is the form of the answer: base64 of AES-128-GCM with its tag behind,
with the key of the request and its initial vector inverted.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bek_operator.crd.reasons import EndpointReason, Reason
from bek_operator.endpoint.ping import Session

MAX_ANSWER_BYTES: Final = 64 * 1024
"""The answer to a ping has about a hundred bytes."""

_OK, _BAD_REQUEST, _CANNOT_DECRYPT, _FLOW_REFUSED, _SIGNATURE_REFUSED = 200, 400, 421, 427, 432
_PASSING = frozenset({408, 429, *range(500, 600)})
_REFUSALS = frozenset({401, 403})
_SUCCESS = range(200, 300)
_REDIRECTION = range(300, 400)
_FAILED = frozenset({_BAD_REQUEST, 500})


class Step(StrEnum):
    """The steps of a ping, in their order."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "TLS"
    STATUS = "HTTP 200"
    BASE64 = "base64"
    DECRYPTION = "decryption"
    CONTENT = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint's answer to a ping means, or its absence.

    Attributes:
        reason: `EndpointHoldsKey`, or what is wrong; a `Reason` for what is wrong with certificates or addresses.
        message: Our own words, at most 200 characters, the same for the same fault; empty if nothing is wrong.
        certain: Whether it shows at once; otherwise the failure threshold applies.
        failed: The step that failed; `None` if nothing is wrong.
        retry_after: Seconds of the server's Retry-After, already bounded; `None` without one.
    """

    reason: EndpointReason | Reason
    message: str = ""
    certain: bool = True
    failed: Step | None = None
    retry_after: float | None = None

    @property
    def holds_key(self) -> bool:
        """Return whether the endpoint opened the ping, and answered as it must."""
        return self.reason is EndpointReason.HOLDS_KEY


HOLDS_KEY: Final = Answer(reason=EndpointReason.HOLDS_KEY)


def judge(status: int, body: bytes, session: Session, *, signed: bool) -> Answer:
    """Return what an answer means; `signed` is whether the ping was."""
    if status == _OK:
        step, flaw = _flaw_of(body, session)
        return Answer(reason=EndpointReason.INVALID_ANSWER, message=flaw, failed=step) if step else HOLDS_KEY
    if status == _CANNOT_DECRYPT:
        return Answer(reason=EndpointReason.LACKS_KEY, message=_LACKS_KEY, failed=Step.STATUS)
    if status == _SIGNATURE_REFUSED:
        message = _WRONG_SIGNATURE if signed else _NO_SIGNATURE
        return Answer(reason=EndpointReason.SIGNATURE_REFUSED, message=message, failed=Step.STATUS)
    if status in _FAILED:
        return _answer(status, EndpointReason.INVALID_ANSWER, _FAILED_ON_PING)
    if status in _PASSING:
        return _answer(status, EndpointReason.UNREACHABLE, _UNAVAILABLE)
    return _answer(status, EndpointReason.INVALID_ANSWER, _fault_of(status, body, session))


def _answer(status: int, reason: EndpointReason, message: str) -> Answer:
    certain = status not in _PASSING
    return Answer(reason=reason, message=f"HTTP {status}: {message}", certain=certain, failed=Step.STATUS)


def _fault_of(status: int, body: bytes, session: Session) -> str:
    """Return what is wrong with a status that does not answer a ping."""
    if status in _SUCCESS and _flaw_of(body, session) == _NOTHING:
        return _NOT_200
    if status == _FLOW_REFUSED:
        return _WANTS_FLOW
    if status in _REFUSALS:
        return _REFUSED
    return _REDIRECT if status in _REDIRECTION else _ANOTHER_APP


def _flaw_of(body: bytes, session: Session) -> tuple[Step | None, str]:
    """Return what is wrong with the body of an answer, and at which step."""
    if len(body) > MAX_ANSWER_BYTES:
        return Step.BASE64, _TOO_LARGE
    text = body.strip()
    if not text:
        return Step.BASE64, _EMPTY
    inverted = bytes(byte ^ 0xFF for byte in session.vector)
    try:
        encrypted = base64.b64decode(text, validate=True)
    except ValueError:
        bare = b"".join(text.split())
        is_wrapped = bare != text and _flaw_of(bare, session) == _NOTHING
        return Step.BASE64, _LINE_BREAKS if is_wrapped else _flaw_of_text(text)
    answer = _opened(encrypted, session.key, inverted)
    if answer is not None:
        return _NOTHING if _is_active(answer) else (Step.CONTENT, _NOT_ACTIVE)
    if _opened(encrypted, session.key, session.vector) is not None:
        return Step.DECRYPTION, _NOT_INVERTED
    return Step.DECRYPTION, _IN_THE_CLEAR if _is_object(encrypted) else _DOES_NOT_OPEN


def _flaw_of_text(text: bytes) -> str:
    """Return what is wrong with an answer that is not base64."""
    if _is_object(text):
        return _IN_THE_CLEAR
    return _QUOTED if isinstance(_json(text), str) else _NOT_BASE64


def _opened(encrypted: bytes, key: bytes, vector: bytes) -> bytes | None:
    try:
        return AESGCM(key).decrypt(vector, encrypted, None)
    except InvalidTag:
        return None


def _is_active(answer: bytes) -> bool:
    document = _json(answer)
    data = document.get("data") if isinstance(document, Mapping) else None
    return isinstance(data, Mapping) and data.get("status") == "active"


def _is_object(text: bytes) -> bool:
    return isinstance(_json(text), Mapping)


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    # A few kilobytes of brackets exceed the parser's recursion limit.
    except (ValueError, RecursionError):
        return None


_NOTHING: Final = (None, "")
_LACKS_KEY: Final = (
    "HTTP 421: it cannot decrypt with any private key that it holds; give it the private half of the Secret's key. "
    "If it holds that, a proxy in front of it may have answered"
)
_WRONG_SIGNATURE: Final = (
    "HTTP 432: it refuses the signature; use the same app secret there and in `flowsEndpoint.appSecretRef`"
)
_NO_SIGNATURE: Final = "HTTP 432: it requires a signature; name the app secret in `flowsEndpoint.appSecretRef`"
_FAILED_ON_PING: Final = (
    "it failed on the ping: it may lack the private key, or not decrypt with RSA-OAEP (SHA-256) and AES-128-GCM; "
    "see its log"
)
_WANTS_FLOW: Final = "it refuses the flow token, which a ping does not have; it must answer pings without one"
_UNAVAILABLE: Final = "it is unavailable, or a proxy in front of it"
_REDIRECT: Final = "redirects are not followed; correct `flowsEndpoint.url`"
_ANOTHER_APP: Final = "not the answer of a Flow endpoint; check `flowsEndpoint.url`"
_NOT_200: Final = "it opens the ping, but must answer it with HTTP 200"
_REFUSED: Final = (
    "it, or a proxy in front of it, refuses the ping; check the app secret in `flowsEndpoint.appSecretRef`, and that "
    "requests without a login are let through"
)
_TOO_LARGE: Final = f"its answer is larger than {MAX_ANSWER_BYTES} bytes; check `flowsEndpoint.url`"
_EMPTY: Final = "its answer is empty; it must be base64 as plain text"
_LINE_BREAKS: Final = "its answer is base64 with line breaks or blanks in it; it must be base64 on one line"
_IN_THE_CLEAR: Final = "its answer is JSON in the clear; it must be encrypted with the AES key of the request"
_QUOTED: Final = "its answer is a JSON string; it must be base64 as plain text, without quotes"
_NOT_BASE64: Final = "its answer is not base64; another application may answer at `flowsEndpoint.url`"
_NOT_INVERTED: Final = (
    "its answer is encrypted with the initial vector of the request; it must invert every bit of the vector"
)
_DOES_NOT_OPEN: Final = (
    "its answer does not open; it must encrypt with AES-128-GCM and the AES key of the request, and append the tag"
)
_NOT_ACTIVE: Final = 'it opens the ping, but does not answer it with {"data": {"status": "active"}}'
