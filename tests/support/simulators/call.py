"""A request as the simulators see it, without its connection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote_plus

from aiohttp import web

BODY_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was received.

    Attributes:
        path: As it came, without the query.
        headers: By lower-case name; a repeated one has all its values, joined by commas.
        body: `None` when it was longer than `BODY_LIMIT`.
    """

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=b"", repr=False)

    @classmethod
    async def receive(cls, request: web.BaseRequest, path: str) -> Self:
        """Read a request up to the limit of its body."""
        body = b""
        while len(body) <= BODY_LIMIT and (part := await request.content.readany()):
            body += part
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        return cls(
            method=request.method,
            path=path,
            query=request.rel_url.raw_query_string,
            headers=headers,
            body=body if len(body) <= BODY_LIMIT else None,
        )

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def mentions(self, text: str) -> bool:
        """Return whether a text is anywhere in the request, URL-encoded or not."""
        body = (self.body or b"").decode("utf-8", "replace")
        parts = (self.path, self.query, body, *self.headers.values())
        return any(text in part or text in unquote_plus(part) for part in parts)

    @property
    def brings_private_key(self) -> bool:
        """Whether a private key is anywhere in the request."""
        return self.mentions("PRIVATE KEY")
