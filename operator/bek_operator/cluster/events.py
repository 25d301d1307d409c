"""Events on BusinessEncryptionKeys (events.k8s.io/v1): one that repeats grows a count instead of a crowd."""

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bek_operator.cluster.client import Client, name_in_path
from bek_operator.cluster.errors import ClusterError, NotFound
from bek_operator.cluster.objects import GROUP, KIND, VERSION
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.lru_cache import LRUCache
from bek_operator.status.events import Event

log = logging.getLogger(__name__)

_CONTROLLER = "bek.dev/operator"
_MERGED = timedelta(hours=1)
_REMEMBERED = 4096
_LONGEST_PREFIX = 200
_LONGEST_NOTE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Posted:
    name: str
    count: int
    at: datetime


class Events:
    """Posts events; a failure to do so is logged and forgotten, since the status says it all."""

    def __init__(
        self, client: Client, instance: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._now = now
        self._posted: LRUCache[tuple[str, Event], _Posted] = LRUCache(_REMEMBERED)

    async def post(self, resource: BusinessEncryptionKey, events_of: Iterable[Event]) -> None:
        """Post what happened to an object, merging what is told again within the hour."""
        for event in events_of:
            try:
                await self._post(resource, event)
            except ClusterError as error:
                log.warning("an event could not be posted: %s", error)

    async def _post(self, resource: BusinessEncryptionKey, event: Event) -> None:
        key, now = (resource.uid, event), self._now()
        known = self._posted.get(key)
        if known and now - known.at < _MERGED and await self._merge(resource, known, now):
            posted = _Posted(known.name, known.count + 1, now)
        else:
            posted = _Posted(await self._create(resource, event, now), 1, now)
        self._posted.put(key, posted)

    async def _merge(self, resource: BusinessEncryptionKey, known: _Posted, now: datetime) -> bool:
        series = {"count": known.count + 1, "lastObservedTime": _micro(now)}
        try:
            await self._client.request(
                "PATCH",
                f"{_path(resource)}/{name_in_path(known.name)}",
                body={"series": series},
                headers={"Content-Type": "application/merge-patch+json"},
            )
        except NotFound:
            return False
        return True

    async def _create(self, resource: BusinessEncryptionKey, event: Event, now: datetime) -> str:
        name = f"{resource.ref.name[:_LONGEST_PREFIX].rstrip('-.')}.{secrets.token_hex(8)}"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": resource.ref.namespace, "name": name},
            "eventTime": _micro(now),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": "Reconcile",
            "note": _cut(event.note),
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": resource.ref.namespace,
                "name": resource.ref.name,
                "uid": resource.uid,
            },
        }
        await self._client.request("POST", _path(resource), body=body)
        return name


def _path(resource: BusinessEncryptionKey) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{name_in_path(resource.ref.namespace)}/events"


def _cut(note: str) -> str:
    """Return as much of a note as the API server takes; it counts bytes."""
    return note.encode(errors="replace")[:_LONGEST_NOTE_BYTES].decode(errors="ignore")


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
