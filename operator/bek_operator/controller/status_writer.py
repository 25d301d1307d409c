"""The status writer: replace an object's status, and post what changed as events."""

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from bek_operator.cluster.errors import Conflict, NotFound
from bek_operator.controller.state import KeyState
from bek_operator.controller.store import Store
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.status import Status
from bek_operator.status.events import Event, events_of
from bek_operator.times import Clock

log = logging.getLogger(__name__)


class StatusClient(Protocol):
    """Where a status goes."""

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> str:
        """Replace the status of this very object at this very version; return its new resourceVersion."""
        ...


class EventPoster(Protocol):
    """Where events go."""

    async def post(self, resource: BusinessEncryptionKey, events: Iterable[Event]) -> None:
        """Post what happened to an object."""
        ...


class StatusWriter:
    """Writes one object's status at a time."""

    def __init__(self, *, store: Store, objects: StatusClient, events: EventPoster, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._events = events
        self._clock = clock

    async def write(self, state: KeyState, status: Status) -> bool:
        """Write a status; return whether the API server took it, and otherwise have the object read again.

        Raises:
            ClusterError: the API server did not answer.
        """
        before, ref = state.resource, state.resource.ref
        causes = {number: facts.cause for number, facts in state.facts.items() if facts.cause}
        self._store.count_write(ref, self._clock())
        try:
            version = await self._objects.write_status(before, status)
        except (Conflict, NotFound) as refusal:
            # Somebody was faster, or the object is gone; a definition that has no status says the same for ever.
            log.info("status update rejected (conflict or gone), retrying: %s", refusal)
            self._store.mark_unread(ref)
            return False
        self._store.status_written(ref, version, status)
        await self._post(before, events_of(before.status, status, causes, state.secrets.writers))
        return True

    async def _post(self, resource: BusinessEncryptionKey, events: Sequence[Event]) -> None:
        for one in events:
            log.log(logging.WARNING if one.warning else logging.INFO, "%s: %s", one.reason, one.note)
        await self._events.post(resource, events)
