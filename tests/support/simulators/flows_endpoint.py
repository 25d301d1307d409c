"""A simulator of a business's Flow endpoint, as strict as Meta's sample endpoint.

    with FlowsEndpoint(keys.rsa(), app_secret="…") as endpoint:
        endpoint.url                       # https://127.0.0.1:<port>/flows
        endpoint.hold(keys.rsa("second"))  # and `lose`
        endpoint.flaw = "in the clear"     # what its author did wrong
        endpoint.fail(faults.Hang())       # what its server does wrong

`FlowsEndpointCore` does the same without connections, for tests in virtual time.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal, TypeVar

from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.keys import KeyPair
from support.simulators.call import Call
from support.simulators.exchange import Exchange, Fault, Reply
from support.simulators.fault_queue import FaultQueue
from support.simulators.listener import Listener
from support.simulators.one_port import OnePort
from support.tls import Certificate, self_signed

PATH: Final = "/flows"

Flaw = Literal[
    "",
    "in the clear",
    "not base64",
    "another key",
    "vector not inverted",
    "AES-256",
    "wrong padding",
    "not active",
    "wants a flow token",
]
"""What can be wrong with an endpoint's program."""

F = TypeVar("F", bound=Fault)

_MEMBERS = frozenset({"encrypted_flow_data", "encrypted_aes_key", "initial_vector"})
_OAEP = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)
_AES_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A request: when it arrived, whether it carried a signature, the key that opened it, and the answer's status."""

    at: float
    signed: bool
    opened: str | None = None
    status: int = 0


class _Refusal(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class FlowsEndpointCore:
    """Opens pings; plain attributes may be set at any time.

    Attributes:
        target: The path, with the query, at which it answers, exactly as it is sent.
        app_secret: What requests must be signed with; without it signatures are not looked at.
        flaw: What is wrong with its program.
        lacks_status: Its answer to what none of its keys opens: 421, or at a careless one 500 or 400.
        versioned: Whether it answers with the version beside the data, as older ones do.
        retry_after: Seconds of a Retry-After, with which it answers 503 to every request; 0 for none.
        error: Raised by a call without a connection, such as the error of an HTTP client.
        seconds: How long such a call takes.
        violations: What a client did and Meta never does.
    """

    def __init__(self, *held: KeyPair, app_secret: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.target = PATH
        self.app_secret = app_secret
        self.flaw: Flaw = ""
        self.lacks_status = 421
        self.versioned = False
        self.retry_after = 0
        self.error: Exception | None = None
        self.seconds = 0.05
        self._clock = clock
        self.violations: list[str] = []
        self.condition = threading.Condition()
        self._held = list(held)
        self._pings: list[Ping] = []

    @property
    def pings(self) -> list[Ping]:
        """Every request so far, oldest first."""
        with self.condition:
            return list(self._pings)

    def hold(self, pair: KeyPair) -> None:
        """Get a private key, beside those that it holds."""
        with self.condition:
            self._held.append(pair)
            self.condition.notify_all()

    def lose(self, pair: KeyPair) -> None:
        """Lose a private key, if it holds it."""
        with self.condition:
            self._held = [one for one in self._held if one != pair]
            self.condition.notify_all()

    def holds(self, pair: KeyPair) -> bool:
        """Return whether it holds a private key."""
        return pair in self._held

    def forget_pings(self) -> None:
        """Forget all records."""
        with self.condition:
            self._pings.clear()

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 10, what: str = "it") -> None:
        """Wait for a state of the endpoint, looking again after each request and each change by a test.

        Raises:
            TimeoutError: it did not happen.
        """
        with self.condition:
            if not self.condition.wait_for(predicate, timeout):
                raise TimeoutError(f"{what} did not happen within {timeout} s; pings: {self._pings[-5:]}")

    def ask(self, call: Call) -> Reply:
        """Answer a request, and record it."""
        with self.condition:
            ping = Ping(at=self._clock(), signed="x-hub-signature-256" in call.headers)
            fingerprint: str | None
            try:
                fingerprint, reply = self._handle(call)
            except _Refusal as refusal:
                fingerprint, reply = None, Reply(status=refusal.status, content_type="text/plain")
            self._pings.append(replace(ping, opened=fingerprint, status=reply.status))
            self.condition.notify_all()
            return reply

    def _handle(self, call: Call) -> tuple[str | None, Reply]:
        if (call.method, call.path) != ("POST", self.target):
            raise _Refusal(404)
        if call.content_type != "application/json":
            self.violations.append(f"content type {call.content_type}")
        if self.retry_after:
            return None, Reply(status=503, headers={"Retry-After": str(self.retry_after)}, content_type="text/plain")
        body = call.body or b""
        if self.app_secret and not self._is_signed(call.headers, body):
            raise _Refusal(432)
        request = _parse(body)
        fingerprint, key = self._decrypt_key(request["encrypted_aes_key"])
        vector = request["initial_vector"]
        if self.flaw == "AES-256" or len(key) != _AES_BYTES or len(vector) != _AES_BYTES:
            raise _Refusal(500)
        try:
            payload = json.loads(AESGCM(key).decrypt(vector, request["encrypted_flow_data"], None))
        except InvalidTag:
            raise _Refusal(500) from None  # the sample answers 421 for the RSA part only
        if payload != {"version": "3.0", "action": "ping"}:
            self.violations.append("not a ping")
            raise _Refusal(500)
        if self.flaw == "wants a flow token":
            raise _Refusal(427)
        return fingerprint, self._answer(key, vector)

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        expected = hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(headers.get("x-hub-signature-256", "").encode(), f"sha256={expected}".encode())

    def _decrypt_key(self, encrypted: bytes) -> tuple[str, bytes]:
        if self.flaw == "wrong padding":
            raise _Refusal(500)
        for pair in self._held:
            try:
                return pair.fingerprint, _private_key(pair.private).decrypt(encrypted, _OAEP)
            except ValueError:
                continue
        raise _Refusal(self.lacks_status)

    def _answer(self, key: bytes, vector: bytes) -> Reply:
        version = {"version": "3.0"} if self.versioned else {}
        active = {**version, "data": {"acknowledged": True} if self.flaw == "not active" else {"status": "active"}}
        if self.flaw == "in the clear":
            return Reply.json(active)
        if self.flaw == "not base64":
            return Reply(body=b"active", content_type="text/plain")
        if self.flaw == "another key":
            key = bytes(_AES_BYTES)
        if self.flaw != "vector not inverted":
            vector = bytes(255 - byte for byte in vector)
        encrypted = AESGCM(key).encrypt(vector, json.dumps(active).encode(), None)
        return Reply(body=base64.b64encode(encrypted), content_type="text/plain")


def _parse(body: bytes) -> dict[str, bytes]:
    try:
        document = json.loads(body)
        if not isinstance(document, dict) or document.keys() != _MEMBERS:
            raise _Refusal(400)
        return {name: base64.b64decode(text, validate=True) for name, text in document.items()}
    except (ValueError, TypeError):
        raise _Refusal(400) from None


@cache
def _private_key(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("not an RSA key")
    return key


class FlowsEndpoint(FlowsEndpointCore, OnePort):
    """An endpoint with a port, which is open inside `with`.

    Attributes:
        certificate: Its certificate.
    """

    def __init__(self, *held: KeyPair, app_secret: str = "", certificate: Certificate | None = None) -> None:
        super().__init__(*held, app_secret=app_secret)
        self.certificate = certificate or self_signed("flows.example.com", "localhost", "127.0.0.1")
        self._faults = FaultQueue(self.condition)
        self._listener = Listener(self._serve, self.certificate, "127.0.0.1")

    @property
    def url(self) -> str:
        """Its URL."""
        host, port = self._listener.address
        return f"https://{host}:{port}{self.target}"

    @property
    def connections(self) -> int:
        """How many connections there were."""
        return self._listener.connections

    def fail(self, fault: F, times: int | None = 1) -> F:
        """Answer the next requests with a fault; `None` times means always."""
        self._faults.add("any", fault, times)
        return fault

    def heal(self) -> None:
        """Drop every queued fault and the flaw."""
        self._faults.clear()
        self.flaw = ""

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        with self._switch.holding(request.transport):
            if self.state == "frozen":
                await asyncio.Event().wait()  # ends with the connection
            exchange = Exchange(request, Reply)
            if self.state == "stopped":
                return exchange.hang_up()
            call = await Call.receive(request, request.raw_path)
            exchange = Exchange(request, lambda: self.ask(call))
            fault = self._faults.next("other")
            return await fault(exchange) if fault else exchange.reply.response()
