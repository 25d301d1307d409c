"""The status writer: writes an object's status, and posts events for the changes."""

import logging
from collections.abc import Sequence
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
    """Writes statuses."""

    async def write_status(self, resource: BusinessEncryptionKey, status: Status) -> BusinessEncryptionKey:
        """Replace the status, guarded by uid and resourceVersion; return the object as it is now."""
        ...


class EventPoster(Protocol):
    """Posts events."""

    def post(self, resource: BusinessEncryptionKey, event: Event) -> None:
        """Have an event posted, without waiting for it."""
        ...

    async def run(self) -> None:
        """Post events until cancelled."""
        ...


class StatusWriter:
    """Writes statuses, and posts their events."""

    def __init__(self, *, store: Store, objects: StatusClient, events: EventPoster, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._events = events
        self._clock = clock

    async def write(self, state: KeyState, status: Status) -> bool:
        """Write a status; return whether it was accepted.

        Raises:
            ClusterError: the API server did not answer.
        """
        before, ref = state.resource, state.resource.ref
        causes = {number: facts.cause for number, facts in state.facts.items() if facts.cause}
        self._store.count_write(ref, self._clock())
        try:
            written = await self._objects.write_status(before, status)
        except (Conflict, NotFound) as refusal:
            # The object was changed or deleted; a CRD without the status subresource also gives NotFound.
            log.info("status update rejected (conflict or gone), retrying: %s", refusal)
            return False
        self._store.status_written(written)
        self._post(before, events_of(before.status, status, causes, state.secrets.writers))
        return True

    def _post(self, resource: BusinessEncryptionKey, events: Sequence[Event]) -> None:
        for one in events:
            log.log(logging.WARNING if one.warning else logging.INFO, "%s: %s", one.reason, one.note)
            self._events.post(resource, one)
