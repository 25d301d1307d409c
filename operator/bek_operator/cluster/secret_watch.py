"""Hints about Secrets: which one was added, changed or deleted, and nothing of what is in it.

A LIST and WATCH of metadata only. It remembers nothing but the resourceVersion to go on from, so that fifty
thousand unrelated Secrets cost a second of CPU at start and no memory; what hints mean is for others to find out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bek_operator.cluster.client import Client, name_in_path
from bek_operator.cluster.errors import ClusterError, Gone

Hint = Callable[[str, str, str], None]
"""Takes namespace, name and resourceVersion; the latter is empty for a Secret that is gone."""

log = logging.getLogger(__name__)

_META = "g=meta.k8s.io;v=v1"
_LIST_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadataList;{_META}"}
_WATCH_HEADERS = {"Accept": f"application/json;as=PartialObjectMetadata;{_META}"}
_NEVER_REFERRED_TO = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
_PAGE = 1000
_WATCH_SECONDS = 300
_LONGEST_PAUSE = 30.0


class SecretWatch:
    """Watches the Secrets of the served namespaces, narrowed by a label selector where one is given."""

    def __init__(self, client: Client, namespaces: Sequence[str], selector: str, hint: Hint) -> None:
        self._client = client
        self._paths = [f"/api/v1/namespaces/{name_in_path(one)}/secrets" for one in namespaces]
        self._query = {"fieldSelector": _NEVER_REFERRED_TO}
        if selector:
            self._query["labelSelector"] = selector
        self._hint = hint

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Watch until cancelled; what breaks is begun anew after a growing pause."""
        async with asyncio.TaskGroup() as group:
            for path in self._paths or ["/api/v1/secrets"]:
                group.create_task(self._watch_path(path, sleep))

    async def _watch_path(self, path: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        pause = 0.5
        while True:
            try:
                version = await self._list(path)
                pause = 0.5
                while True:
                    version = await self._follow(path, version)
            except Gone:
                log.debug("the watch on Secrets is too far behind and lists them again")
            except ClusterError as error:
                log.warning("the watch on Secrets broke: %s; it begins anew", error)
            await sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self, path: str) -> str:
        query = {**self._query, "limit": str(_PAGE)}
        while True:
            page = await self._client.request("GET", path, query=query, headers=_LIST_HEADERS)
            for item in page.get("items") or ():
                self._tell(item)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                version: str = metadata["resourceVersion"]
                return version
            query["continue"] = metadata["continue"]

    async def _follow(self, path: str, version: str) -> str:
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        events = self._client.stream(path, query=query, headers=_WATCH_HEADERS, seconds=_WATCH_SECONDS + 30)
        async for event in events:
            body = event.get("object") or {}
            if event.get("type") == "ERROR":
                raise Gone("the watch on Secrets has to begin anew")
            version = body["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._tell(body, gone=event["type"] == "DELETED")
        return version

    def _tell(self, body: dict[str, Any], *, gone: bool = False) -> None:
        metadata = body["metadata"]
        self._hint(metadata["namespace"], metadata["name"], "" if gone else metadata["resourceVersion"])
