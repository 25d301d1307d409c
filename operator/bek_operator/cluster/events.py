"""Events on BusinessEncryptionKeys (events.k8s.io/v1); a repeated event becomes a series.

They are posted from a bounded queue, as client-go's broadcaster does: a slow API server delays nothing but events.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from bek_operator.cluster.client import name_in_path
from bek_operator.cluster.errors import ClusterError, NotFound
from bek_operator.cluster.leader_client import Requests
from bek_operator.cluster.objects import GROUP, KIND, VERSION
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey
from bek_operator.lru_cache import LRUCache
from bek_operator.status.events import Event
from bek_operator.supervise import supervise
from bek_operator.times import micro_time

log = logging.getLogger(__name__)

_CONTROLLER = "bek.dev/operator"
_SERIES_WINDOW = timedelta(hours=1)
_MAX_REMEMBERED = 4096
_MAX_NAME_PREFIX = 200
_MAX_NOTE_BYTES = 1024

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 4096
_MOST_WAITING_OF_ONE: Final = 32
"""How many events of one object may wait: they differ, so that an object in trouble could fill the queue."""


@dataclass(frozen=True, slots=True)
class _Posted:
    name: str
    count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Regarding:
    """The object that an event is about."""

    ref: ObjectKey
    uid: str


class Events:
    """Posts events while `run` runs; a failure is only logged, because the status has the same information.

    Attributes:
        waiting: How many events wait to be posted.
    """

    def __init__(
        self, client: Requests, instance: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._instance = instance[:128]
        self._now = now
        self._posted: LRUCache[tuple[str, Event], _Posted] = LRUCache(_MAX_REMEMBERED)
        self._queues: dict[_Regarding, deque[Event]] = {}
        self._ready: asyncio.Queue[_Regarding] = asyncio.Queue()
        self.waiting = 0
        self._dropped = 0

    def post(self, resource: BusinessEncryptionKey, event: Event) -> None:
        """Have an event on an object posted; one that repeats within an hour extends its series."""
        about = _Regarding(resource.ref, resource.uid)
        queue = self._queues.get(about)
        if self.waiting >= _MOST_WAITING or (queue and len(queue) >= _MOST_WAITING_OF_ONE):
            self._dropped += 1
            return
        if queue is None:
            queue = self._queues[about] = deque()
            self._ready.put_nowait(about)
        queue.append(event)
        self.waiting += 1

    async def run(self) -> NoReturn:
        """Post until cancelled; what waits then is dropped."""
        try:
            await supervise({f"worker {index} of events": self._post_waiting() for index in range(_AT_ONCE)})
        finally:
            self._dropped += self.waiting
            self._queues.clear()
            self._ready, self.waiting = asyncio.Queue(), 0
            self._log_dropped()

    async def _post_waiting(self) -> NoReturn:
        """Post the events of one object after the other, each object's in their order."""
        while True:
            about = await self._ready.get()
            queue = self._queues[about]
            while queue:
                try:
                    await self._post(about, queue[0])
                except ClusterError as error:
                    log.warning("cannot post an event: %s", error)
                queue.popleft()
                self.waiting -= 1
            del self._queues[about]
            self._log_dropped()

    def _log_dropped(self) -> None:
        if self._dropped:
            log.warning("%d events were dropped: the API server accepts them too slowly", self._dropped)
            self._dropped = 0

    async def _post(self, about: _Regarding, event: Event) -> None:
        key, now = (about.uid, event), self._now()
        known = self._posted.get(key)
        if known and now - known.at < _SERIES_WINDOW and await self._extend_series(about, known, now):
            posted = _Posted(known.name, known.count + 1, now)
        else:
            posted = _Posted(await self._create(about, event, now), 1, now)
        self._posted.put(key, posted)

    async def _extend_series(self, about: _Regarding, known: _Posted, now: datetime) -> bool:
        series = {"count": known.count + 1, "lastObservedTime": micro_time(now)}
        try:
            await self._client.request(
                "PATCH",
                f"{_path(about)}/{name_in_path(known.name)}",
                body={"series": series},
                headers={"Content-Type": "application/merge-patch+json"},
            )
        except NotFound:
            return False
        return True

    async def _create(self, about: _Regarding, event: Event, now: datetime) -> str:
        name = f"{about.ref.name[:_MAX_NAME_PREFIX].rstrip('-.')}.{secrets.token_hex(8)}"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": about.ref.namespace, "name": name},
            "eventTime": micro_time(now),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": "Reconcile",
            "note": _truncate(event.note),
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": about.ref.namespace,
                "name": about.ref.name,
                "uid": about.uid,
            },
        }
        await self._client.request("POST", _path(about), body=body)
        return name


def _path(about: _Regarding) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{name_in_path(about.ref.namespace)}/events"


def _truncate(note: str) -> str:
    """Truncate a note to the API server's limit, which is in bytes."""
    return note.encode(errors="replace")[:_MAX_NOTE_BYTES].decode(errors="ignore")
