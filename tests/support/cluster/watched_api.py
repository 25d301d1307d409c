"""A small API server with discovery and BusinessEncryptionKeys, and with faults on demand.

async with WatchedApi().listening() as api:
    api.misses = 1                           # the next answer of discovery to kopf does not name the resource
    api.is_served = False                    # the definition is deleted: neither discovery nor a list
    api.say({"type": "ADDED", "object": …})  # to every watch
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP, VERSION, PLURAL = "bek.dev", "v1alpha1", "businessencryptionkeys"
OBJECTS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


def key(name: str, version: str = "1") -> dict[str, Any]:
    """Return an object."""
    metadata = {"namespace": "messaging", "name": name, "uid": f"uid of {name}", "resourceVersion": version}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "BusinessEncryptionKey", "metadata": metadata}


class WatchedApi:
    """The server; plain attributes may be set at any time.

    Attributes:
        objects: What a list holds.
        misses: How many answers of discovery to kopf do not yet name the resource, as from a stale replica.
        is_served: Whether the definition exists.
        answers_watches: Watches are answered while it is set.
        breaks: A path that is answered with 503.
        refuses: How many of the next requests are answered with 401.
        requests: How often each path was requested; that of a watch ends with "?watch".
        selectors: The label selectors of lists and watches.
        discoveries: How often kopf requested the groups.
    """

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.misses = 0
        self.is_served = True
        self.answers_watches = asyncio.Event()
        self.answers_watches.set()
        self.breaks = ""
        self.refuses = 0
        self.requests: Counter[str] = Counter()
        self.selectors: list[str | None] = []
        self.discoveries = 0
        self.url = ""
        self._streams: set[asyncio.Queue[dict[str, Any] | None]] = set()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._streams)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        """Listen inside the block."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        server = TestServer(app)
        await server.start_server()
        self.url = str(server.make_url("")).rstrip("/")
        try:
            yield self
        finally:
            self.end_watches()
            await server.close()

    def say(self, event: dict[str, Any]) -> None:
        """Send an event to every watch."""
        for stream in self._streams:
            stream.put_nowait(event)

    def expire_watches(self) -> None:
        """Tell every watch that it is too old, as after a compaction or a restart of the server."""
        self.say({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}})

    def end_watches(self) -> None:
        """End every watch, as the server does from time to time."""
        for stream in self._streams:
            stream.put_nowait(None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        watch = "watch" in request.query
        self.requests[request.path + ("?watch" if watch else "")] += 1
        if self.refuses:
            self.refuses -= 1
            return _status(401)
        if request.path == self.breaks:
            return _status(503)
        if request.path.endswith(f"/{PLURAL}") and self.is_served:
            self.selectors.append(request.query.get("labelSelector"))
            if watch:
                return await self._watch(request)
            # Nobody asks for a name that is one's.
            items = [] if "fieldSelector" in request.query else self.objects
            listed = {"kind": "BusinessEncryptionKeyList", "metadata": {"resourceVersion": "7"}, "items": items}
            return web.json_response(listed)
        named = self.is_served
        if request.path == "/apis" and request.headers["User-Agent"].startswith("kopf/"):
            self.discoveries += 1
            named = named and not self.misses
            self.misses = max(self.misses - 1, 0)
        return self._discovery(request.path, named=named)

    def _discovery(self, path: str, *, named: bool) -> web.Response:
        group_version = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
        group = {"name": GROUP, "versions": [group_version], "preferredVersion": group_version}
        answers: dict[str, Any] = {
            "/api": {"versions": ["v1"]},
            # Kopf does not start without it.
            "/api/v1": {"resources": [_resource("namespaces", "Namespace", namespaced=False)]},
            "/apis": {"groups": [group] if named else []},
        }
        if named:
            answers[f"/apis/{GROUP}/{VERSION}"] = {
                "resources": [_resource(PLURAL, "BusinessEncryptionKey", namespaced=True)]
            }
        return web.json_response(answers[path]) if path in answers else _status(404)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        await self.answers_watches.wait()
        response = web.StreamResponse()
        await response.prepare(request)
        stream: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._streams.add(stream)
        try:
            while event := await stream.get():
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._streams.discard(stream)
        return response


def _resource(plural: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    return {
        "name": plural,
        "singularName": kind.lower(),
        "namespaced": namespaced,
        "kind": kind,
        "verbs": ["get", "list", "watch"],
    }


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "apiVersion": "v1", "code": code, "message": "sesame"}, status=code)
