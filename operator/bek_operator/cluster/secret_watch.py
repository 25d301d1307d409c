"""Watches the metadata of Secrets, and reports which one was added, changed or deleted.

It keeps the resourceVersion to resume from and no cache, so that 50,000 unrelated Secrets take a second of CPU at start
and no memory.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from bek_operator.cluster.client import Client, name_in_path, validating
from bek_operator.cluster.errors import BadRequest, ClusterError, Gone, InvalidSelector, Unavailable
from bek_operator.cluster.pages import pages
from bek_operator.supervise import supervise
from bek_operator.times import Clock

EventHandler = Callable[[str, str, str], None]
"""Takes namespace, name and resourceVersion; the latter is empty for a deleted Secret."""

log = logging.getLogger(__name__)

_META = "g=meta.k8s.io;v=v1"
_LIST_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadataList;{_META}"}
_WATCH_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadata;{_META}"}
_FIELD_SELECTOR = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
_PAGE = 1000
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 90.0
"""A healthy server sends a bookmark every minute, even without changes."""

_MIN_BACKOFF = 0.5
_MAX_BACKOFF = 5.0


class SecretWatch:
    """Watches the Secrets of the given namespaces, or of all; `selector` is a label selector or empty."""

    def __init__(
        self, client: Client, namespaces: Sequence[str], selector: str, on_event: EventHandler, clock: Clock
    ) -> None:
        self._client = client
        self._clock = clock
        self._paths = [f"/api/v1/namespaces/{name_in_path(one)}/secrets" for one in namespaces] or ["/api/v1/secrets"]
        self._heard_at: dict[str, float] = {}
        self.restarts = 0
        self._query = {"fieldSelector": _FIELD_SELECTOR}
        if selector:
            self._query["labelSelector"] = selector
        self._on_event = on_event

    @property
    def heard_at(self) -> float | None:
        """Return when something last came on the path where that is longest ago; `None` before the watch has begun."""
        return min(self._heard_at.values(), default=None)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Watch until cancelled; a watch that fails is restarted with back-off.

        Raises:
            ExceptionGroup: of an InvalidSelector: the API server rejects the label selector.
        """
        self._heard_at = dict.fromkeys(self._paths, self._clock())
        await supervise({f"watch {path}": self._watch_path(path, sleep) for path in self._paths})

    async def _watch_path(self, path: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        """List once, then watch from the last resourceVersion; list again when that is too old."""
        backoff = _MIN_BACKOFF
        version: str | None = None
        logged = ""
        while True:
            try:
                if version is None:
                    version = await self._list(path)
                    self._heard_at[path] = self._clock()
                async for latest in self._follow(path, version):
                    version, backoff, logged = latest, _MIN_BACKOFF, ""
                    self._heard_at[path] = self._clock()
            except Gone:
                version = None
                self.restarts += 1
                log.debug("Secret watch cannot be resumed; listing again")
            except ClusterError as error:
                selector = self._query.get("labelSelector")
                if isinstance(error, BadRequest) and selector and version is None:
                    raise InvalidSelector("--secret-selector", selector, error) from None
                self.restarts += 1
                if str(error) != logged:
                    log.warning("Secret watch failed: %s; reconnecting", error)
                logged = str(error)
            await sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF)

    async def _list(self, path: str) -> str:
        async def fetch(query: Mapping[str, str], most: int) -> dict[str, Any]:
            return await self._client.request(
                "GET", path, query={**self._query, **query}, headers=_LIST_HEADERS, most=most
            )

        latest = ""
        async for items, version in pages(fetch, _PAGE):
            latest = version
            with validating("a list of Secrets"):
                changes = [_change_of(item) for item in items]
            for change in changes:
                self._on_event(*change)
        return latest

    async def _follow(self, path: str, version: str) -> AsyncIterator[str]:
        """Report every event; yield each new resourceVersion to resume from."""
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        stream = self._client.stream(
            path, query=query, headers=_WATCH_HEADERS, seconds=_WATCH_SECONDS + 30, silence=_SILENCE_SECONDS
        )
        async with aclosing(stream) as events:
            async for event in events:
                with validating("an event of a watch"):
                    kind, body = event["type"], event["object"]
                    if kind == "ERROR":
                        raise _error_of(body)
                    latest: str = body["metadata"]["resourceVersion"]
                    change = None if kind == "BOOKMARK" else _change_of(body, gone=kind == "DELETED")
                if change:
                    self._on_event(*change)
                yield latest


def _error_of(status: Mapping[str, Any]) -> ClusterError:
    """Return the error of an ERROR event; only 410 means that the resourceVersion is too old."""
    code = status.get("code")
    return Gone("410") if code == HTTPStatus.GONE else Unavailable(f"the API server ended the watch with {code}")


def _change_of(body: dict[str, Any], *, gone: bool = False) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"], "" if gone else metadata["resourceVersion"]
