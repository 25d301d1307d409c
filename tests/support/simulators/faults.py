"""Faults of a server; each is given to a simulator and answers one request at a time.

None outlives its client or the simulator: what waits is cancelled when the connection ends.
"""

import asyncio
import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from functools import cache
from typing import Literal

from aiohttp import web

from support.simulators import envelope
from support.simulators.exchange import Exchange, Reply

MEBIBYTE = 1024 * 1024

SHAPES: Mapping[str, str] = {
    "nothing": "",
    "list": "[]",
    "list of objects": '[{"business_public_key": ""}]',
    "null": "null",
    "number": "17",
    "text": '"VALID"',
    "empty object": "{}",
    "number as key": '{1: "VALID"}',
    "not a number": '{"business_public_key": NaN, "business_public_key_signature_status": Infinity}',
    "wrong types": '{"business_public_key": ["x"], "business_public_key_signature_status": 1, "users": {}}',
    "nulls": '{"business_public_key": null, "business_public_key_signature_status": null, "users": null}',
    "lone surrogate": r'{"business_public_key": "\ud800", "business_public_key_signature_status": "\udfff"}',
    "large integer": '{"business_public_key": ' + "9" * 5000 + "}",
    "deep": "[" * 100_000 + "]" * 100_000,
    "cut": '{"business_public_key": "-----BEGIN PUB',
    "errors that are none": '{"errors": [], "meta": {}}',
    "errors of another shape": '{"errors": {"code": "1006"}}',
}
"""JSON, valid or not, that the API does not document."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers every request with this; the request is not carried out."""

    reply: Reply

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        del exchange  # not needed
        return self.reply.response()


def error(
    code: int, *, status: int | None = None, details: str | None = None, retry_after: str | None = None
) -> Answer:
    """Answer with an error code of the On-Premises API."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(envelope.error(code, details, status=status, headers=headers))


def rate_limited(retry_after: str | datetime | None = None) -> Answer:
    """Answer 429, with a Retry-After in seconds, as a date, or malformed."""
    if isinstance(retry_after, datetime):
        retry_after = format_datetime(retry_after, usegmt=True)
    return error(1015, status=429, retry_after=retry_after)


def page(status: int = 200) -> Answer:
    """Answer with a proxy's web page."""
    body = b"<!doctype html><title>Sign in</title><p>Welcome to the guest network."
    return Answer(Reply(status=status, body=body, content_type="text/html; charset=utf-8"))


def text(body: str | bytes, *, status: int = 200, content_type: str = "application/json") -> Answer:
    """Answer with exactly this body, see `SHAPES`."""
    raw = body.encode() if isinstance(body, str) else body
    return Answer(Reply(status=status, body=raw, content_type=content_type))


def redirect(location: str, status: int = 302) -> Answer:
    """Send the client elsewhere."""
    return Answer(Reply(status=status, headers={"Location": location}))


def odd_reason(status: int = 503) -> Answer:
    """Answer with a reason phrase that is not ASCII."""
    return Answer(replace(envelope.error(1011, status=status), reason="Störung ☎"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """Answers correctly except for some members, headers or the content type."""

    members: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        proper = exchange.reply
        body = json.dumps({**proper.document(), **self.members}).encode()
        headers = {**proper.headers, **self.headers}
        return replace(proper, body=body, headers=headers, content_type=self.content_type).response()


@dataclass(frozen=True, slots=True)
class Slow:
    """Answers correctly, but late; with `carried_out` the request takes effect before the wait."""

    seconds: float
    carried_out: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        if self.carried_out:
            _ = exchange.reply
        await asyncio.sleep(self.seconds)
        return exchange.reply.response()


class Hang:
    """Does not answer until released, from any thread; from then on answers correctly."""

    def __init__(self, *, carried_out: bool = False) -> None:
        self._carried_out = carried_out
        self._lock = threading.Lock()
        self._released = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def release(self) -> None:
        """Release every request."""
        with self._lock:
            self._released = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        if self._carried_out:
            _ = exchange.reply
        ticket = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            if self._released:
                return exchange.reply.response()
            self._waiting.append(ticket)
        try:
            await ticket[1].wait()
        finally:
            with self._lock:
                self._waiting.remove(ticket)
        return exchange.reply.response()


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Closes the connection before the answer, or within its head or body.

    Attributes:
        within: Where it ends.
        carried_out: Whether the request takes effect nevertheless.
        reset: Whether it ends by a TCP reset.
    """

    within: Literal["nothing", "head", "body"] = "nothing"
    carried_out: bool = False
    reset: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        reply = exchange.reply if self.carried_out else Reply.json(envelope.meta())
        whole = reply.raw()
        body = len(reply.body)
        if self.within != "nothing":
            exchange.write(whole[:20] if self.within == "head" else whole[: -body // 2])
        return exchange.hang_up(reset=self.reset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """Sends the correct answer one byte at a time, from its first byte on or from the body's."""

    interval: float = 1.0
    head_at_once: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        reply = exchange.reply
        whole = reply.raw()
        begin = len(whole) - len(reply.body) if self.head_at_once else 0
        exchange.write(whole[:begin])
        for position in range(begin, len(whole)):
            if not exchange.connected:
                break
            exchange.write(whole[position : position + 1])
            await asyncio.sleep(self.interval)
        return exchange.hang_up()


@dataclass(frozen=True, slots=True, kw_only=True)
class Huge:
    """Answers correctly, followed by megabytes of blanks."""

    size: int = 16 * MEBIBYTE

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        proper = exchange.reply
        return replace(proper, body=proper.body.ljust(self.size)).response()


@dataclass(frozen=True, slots=True)
class Endless:
    """Sends a body, or headers, without an end."""

    part: Literal["body", "headers"] = "body"

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        if self.part == "headers":
            return await self._headers(exchange)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(exchange.request)
            await response.write(b'{"business_public_key": "')
            while exchange.connected:
                await response.write(b"A" * 65536)
                await asyncio.sleep(0)  # a write to a connection that was reset never gives way by itself
        except ConnectionError:  # the client closed the connection
            exchange.sent = False
        return response

    async def _headers(self, exchange: Exchange) -> web.StreamResponse:
        exchange.write(b"HTTP/1.1 200 OK\r\n")
        count = 0
        while exchange.connected:
            exchange.write(f"X-{count}: {'y' * 1000}\r\n".encode())
            count += 1
            await asyncio.sleep(0 if count < 1000 else 0.05)  # a raw write knows no back-pressure
        return exchange.hang_up()


@dataclass(frozen=True, slots=True, kw_only=True)
class GzipBomb:
    """Answers correctly, with a small body that its Content-Encoding expands to a huge one."""

    size: int = 64 * MEBIBYTE

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Meet a request."""
        proper = exchange.reply
        headers = {**proper.headers, "Content-Encoding": "gzip"}
        return replace(proper, body=_bomb(proper.body, self.size), headers=headers).response()


@cache
def _bomb(body: bytes, size: int) -> bytes:
    packer = zlib.compressobj(level=9, wbits=31)
    parts = [packer.compress(body)]
    parts += [packer.compress(b" " * MEBIBYTE) for _ in range(size // MEBIBYTE)]
    return b"".join([*parts, packer.flush()])
