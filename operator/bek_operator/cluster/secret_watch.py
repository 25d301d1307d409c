"""Hints about Secrets: which one was added, changed or deleted, and nothing of what is in it.

A LIST and WATCH of metadata only. It remembers nothing but the resourceVersion to go on from, so that fifty
thousand unrelated Secrets cost a second of CPU at start and no memory; what hints mean is for others to find out.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from bek_operator.cluster.client import Client, name_in_path, understood
from bek_operator.cluster.errors import ClusterError, Gone, Unavailable

EventHandler = Callable[[str, str, str], None]
"""Takes namespace, name and resourceVersion; the latter is empty for a Secret that is gone."""

log = logging.getLogger(__name__)

_META = "g=meta.k8s.io;v=v1"
_LIST_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadataList;{_META}"}
_WATCH_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadata;{_META}"}
_NEVER_REFERRED_TO = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
_PAGE = 1000
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 90.0
"""A server that is well sends a bookmark every minute, even where nothing happens."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class SecretWatch:
    """Watches the Secrets of the served namespaces, narrowed by a label selector where one is given."""

    def __init__(self, client: Client, namespaces: Sequence[str], selector: str, on_event: EventHandler) -> None:
        self._client = client
        self._paths = [f"/api/v1/namespaces/{name_in_path(one)}/secrets" for one in namespaces]
        self._query = {"fieldSelector": _NEVER_REFERRED_TO}
        if selector:
            self._query["labelSelector"] = selector
        self._on_event = on_event

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Watch until cancelled; what breaks is begun anew after a growing pause."""
        async with asyncio.TaskGroup() as group:
            for path in self._paths or ["/api/v1/secrets"]:
                group.create_task(self._watch_path(path, sleep))

    async def _watch_path(self, path: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        """List once, then go on from the last version that was seen, until that is too old."""
        pause = _FIRST_PAUSE
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list(path)
                async for latest in self._follow(path, version):
                    version, pause = latest, _FIRST_PAUSE
            except Gone:
                version = None
                log.debug("the watch on Secrets is too far behind and lists them again")
            except ClusterError as error:
                log.warning("the watch on Secrets broke: %s; it goes on before long", error)
            await sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self, path: str) -> str:
        query = {**self._query, "limit": str(_PAGE)}
        while True:
            page = await self._client.request("GET", path, query=query, headers=_LIST_HEADERS)
            with understood("a list of Secrets"):
                event_handlers = [_event_of(item) for item in page["items"] or ()]
                version: str = page["metadata"]["resourceVersion"]
                token = page["metadata"].get("continue")
            for on_event in event_handlers:
                self._on_event(*on_event)
            if not token:
                return version
            query["continue"] = token

    async def _follow(self, path: str, version: str) -> AsyncIterator[str]:
        """Tell of every event; yield the version to go on from, as often as there is a new one."""
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
                with understood("an event of a watch"):
                    kind, body = event["type"], event["object"]
                    if kind == "ERROR":
                        raise _fault(body)
                    latest: str = body["metadata"]["resourceVersion"]
                    on_event = None if kind == "BOOKMARK" else _event_of(body, gone=kind == "DELETED")
                if on_event:
                    self._on_event(*on_event)
                yield latest


def _fault(status: Mapping[str, Any]) -> ClusterError:
    """Return what an ERROR event stands for: only 410 says that there is no going on from the last version."""
    code = status.get("code")
    return Gone("410") if code == HTTPStatus.GONE else Unavailable(f"the API server ended it with {code}")


def _event_of(body: dict[str, Any], *, gone: bool = False) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"], "" if gone else metadata["resourceVersion"]
