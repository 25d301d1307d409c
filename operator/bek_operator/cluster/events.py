"""Events on BusinessEncryptionKeys (events.k8s.io/v1); a repeated event becomes a series."""

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
_SERIES_WINDOW = timedelta(hours=1)
_MAX_REMEMBERED = 4096
_MAX_NAME_PREFIX = 200
_MAX_NOTE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Posted:
    name: str
    count: int
    at: datetime


class Events:
    """Posts events; a failure is only logged, because the status has the same information."""

    def __init__(
        self, client: Client, instance: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._now = now
        self._posted: LRUCache[tuple[str, Event], _Posted] = LRUCache(_MAX_REMEMBERED)

    async def post(self, resource: BusinessEncryptionKey, events: Iterable[Event]) -> None:
        """Post events on an object; one that repeats within an hour extends its series."""
        for event in events:
            try:
                await self._post(resource, event)
            except ClusterError as error:
                log.warning("cannot post an event: %s", error)

    async def _post(self, resource: BusinessEncryptionKey, event: Event) -> None:
        key, now = (resource.uid, event), self._now()
        known = self._posted.get(key)
        if known and now - known.at < _SERIES_WINDOW and await self._extend_series(resource, known, now):
            posted = _Posted(known.name, known.count + 1, now)
        else:
            posted = _Posted(await self._create(resource, event, now), 1, now)
        self._posted.put(key, posted)

    async def _extend_series(self, resource: BusinessEncryptionKey, known: _Posted, now: datetime) -> bool:
        series = {"count": known.count + 1, "lastObservedTime": _micro_time(now)}
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
        name = f"{resource.ref.name[:_MAX_NAME_PREFIX].rstrip('-.')}.{secrets.token_hex(8)}"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": resource.ref.namespace, "name": name},
            "eventTime": _micro_time(now),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": "Reconcile",
            "note": _truncate(event.note),
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


def _truncate(note: str) -> str:
    """Truncate a note to the API server's limit, which is in bytes."""
    return note.encode(errors="replace")[:_MAX_NOTE_BYTES].decode(errors="ignore")


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
