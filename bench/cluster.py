"""The API server as the benchmark uses it: fast writes, and a watch that records when a status arrived."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

import aiohttp

from support.cluster.apiserver import ApiServer

OBJECTS = "/apis/bek.dev/v1alpha1/{}businessencryptionkeys"
_NAMED = re.compile(rb'"name":"([^"]+)","namespace":"([^"]+)"')
_KEY = re.compile(rb'"keyID":"([0-9a-f]+)"')
_SIGNED = re.compile(rb'"signed":"(\d+)/(\d+)"')
_METRIC = re.compile(r'(\w+)\{.*?resource="(\w+)".*\} (\S+)')
_RECEIVED = frozenset({"apiserver_request_body_size_bytes_sum"})
_SENT = frozenset({"apiserver_response_sizes_sum", "apiserver_watch_events_sizes_sum"})
_RESOURCES = frozenset({"businessencryptionkeys", "events", "secrets"})
_PATCH = {"Content-Type": "application/merge-patch+json"}
_WATCH_SECONDS = 7200
_CHUNK = 1 << 20


class RefusedError(Exception):
    """The API server refused a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One state of an object from the watch, unparsed; `at` is of the monotonic clock."""

    at: float
    name: str
    key_id: str
    signed: int
    desired: int
    raw: bytes = field(repr=False)

    @property
    def body(self) -> dict[str, Any]:
        """Return the object."""
        found: dict[str, Any] = json.loads(self.raw)["object"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that the API server has received and sent since its start, for an operator's resources."""

    received: float
    sent: float

    def __sub__(self, other: Self) -> Self:
        return replace(self, received=self.received - other.received, sent=self.sent - other.sent)


class Recording:
    """Every state that the objects of one namespace have been seen in since `clear`."""

    def __init__(self) -> None:
        self.sights: list[Sight] = []
        self.latest: dict[str, Sight] = {}
        self._changed = asyncio.Event()

    def add(self, sight: Sight) -> None:
        """Record a state."""
        self.sights.append(sight)
        self.latest[sight.name] = sight
        self._changed.set()

    def clear(self) -> None:
        """Forget all but the latest state of each object."""
        self.sights.clear()

    async def signed(self, names: Iterable[str], key_id: str, *, but: int = 0, seconds: float = 120.0) -> None:
        """Wait until all numbers of the objects, `but` for a few, are signed with a key by their status.

        Raises:
            TimeoutError: they did not.
        """
        missing = set(names)

        def is_signed(name: str) -> bool:
            seen = self.latest.get(name)
            return seen is not None and seen.key_id == key_id and 0 < seen.desired <= seen.signed + but

        async with asyncio.timeout(seconds):
            while True:
                self._changed.clear()
                missing = {name for name in missing if not is_signed(name)}
                if not missing:
                    return
                await self._changed.wait()


class Cluster:
    """A connection to the API server, used as an asynchronous context manager."""

    def __init__(self, api_server: ApiServer) -> None:
        self._server = api_server
        self._recordings: dict[str, Recording] = {}
        self._watching: asyncio.Task[None] | None = None
        self._own_bytes = 0

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=self._server.ca_file)
        self._session = aiohttp.ClientSession(
            self._server.url,
            headers={"Authorization": f"Bearer {self._server.admin_token}"},
            connector=aiohttp.TCPConnector(ssl=context, limit=64),
            timeout=aiohttp.ClientTimeout(total=60),
            trust_env=False,
            read_bufsize=_CHUNK,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._session.close()

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> bytes:
        """Make one call; return the answer's body.

        Raises:
            RefusedError: the answer was no success.
        """
        kind = {"Content-Type": "application/json", **headers}
        content = None if body is None else json.dumps(body).encode()
        async with self._session.request(method, path, data=content, headers=kind) as answer:
            text = await answer.read()
            if not answer.ok:
                raise RefusedError(f"{method} {path}: HTTP {answer.status}: {text[:500].decode(errors='replace')}")
            return text

    async def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object."""
        await self.request("POST", path, body)

    async def create_all(self, path: str, bodies: Iterable[Mapping[str, Any]], *, at_once: int = 16) -> None:
        """Create objects as fast as the server accepts them."""
        left = iter(bodies)

        async def work() -> None:
            for body in left:
                await self.create(path, body)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        """Change fields of an object."""
        async with self._session.patch(path, data=json.dumps(changes), headers=_PATCH) as answer:
            if not answer.ok:
                raise RefusedError(f"PATCH {path}: HTTP {answer.status}")

    async def traffic(self) -> Traffic:
        """Return what the API server has received and sent by its metrics, without our own watch."""
        metrics = (await self.request("GET", "/metrics")).decode()
        sums = dict.fromkeys((_RECEIVED, _SENT), 0.0)
        for name, resource, value in _METRIC.findall(metrics):
            for names in sums:
                if name in names and resource in _RESOURCES:
                    sums[names] += float(value)
        return Traffic(received=sums[_RECEIVED], sent=sums[_SENT] - self._own_bytes)

    @asynccontextmanager
    async def recording(self, namespace: str) -> AsyncIterator[Recording]:
        """Record the states of a namespace's objects inside the block."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="watch")
        self._recordings[namespace] = Recording()
        try:
            yield self._recordings[namespace]
        finally:
            del self._recordings[namespace]

    async def _watch(self) -> None:
        """Watch for ever; the server ends a watch when the definition changes, and at other times."""
        while True:
            with suppress(aiohttp.ClientError):
                await self._watch_once()

    async def _watch_once(self) -> None:
        query = {"watch": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = aiohttp.ClientTimeout(total=None)
        rest = bytearray()
        async with self._session.get(OBJECTS.format(""), params=query, timeout=timeout) as answer:
            async for chunk in answer.content.iter_any():
                self._own_bytes += len(chunk)
                rest += chunk
                if b"\n" in chunk:
                    *lines, rest = rest.split(b"\n")
                    for line in lines:
                        self._receive(bytes(line), time.monotonic())

    def _receive(self, line: bytes, now: float) -> None:
        named = _NAMED.search(line)
        recording = self._recordings.get(named[2].decode()) if named else None
        if named is None or recording is None:
            return
        key, signed = _KEY.search(line), _SIGNED.search(line)
        recording.add(
            Sight(
                at=now,
                name=named[1].decode(),
                key_id=key[1].decode() if key else "",
                signed=int(signed[1]) if signed else 0,
                desired=int(signed[2]) if signed else 0,
                raw=line,
            )
        )


def objects_path(namespace: str, name: str = "") -> str:
    """Return the path of a namespace's BusinessEncryptionKeys, or of one of them."""
    return OBJECTS.format(f"namespaces/{namespace}/") + (f"/{name}" if name else "")


def secrets_path(namespace: str, name: str = "") -> str:
    """Return the path of a namespace's Secrets, or of one of them."""
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")
