"""Report: write an object's status when it says something new, and tell of it in events."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bek_operator.cluster.errors import Conflict, NotFound
from bek_operator.controller.clock import Clock
from bek_operator.controller.store import KeyState, Store
from bek_operator.controller.workqueue import Limits
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey
from bek_operator.status.compute import status_of
from bek_operator.status.events import Event, events_of

log = logging.getLogger(__name__)

BATCHING_SECONDS = 3.0
"""What news waits while more is on its way: most changes are over by then, and take one write."""


class StatusClient(Protocol):
    """Where a status goes."""

    async def write_status(self, resource: BusinessEncryptionKey, status: Mapping[str, Any]) -> str:
        """Replace the status of this very object at this very version; return its new resourceVersion."""
        ...


class EventPoster(Protocol):
    """Where events go."""

    async def post(self, resource: BusinessEncryptionKey, events_of: Iterable[Event]) -> None:
        """Post what happened to an object."""
        ...


class StatusWriter:
    """Writes one object's status at a time.

    `again` has an object reported at a later instant, `recorded` is told when the status shows what was done.
    """

    def __init__(
        self,
        *,
        store: Store,
        objects: StatusClient,
        events: EventPoster,
        again: Callable[[ObjectKey, float], None],
        recorded: Callable[[ObjectKey, KeyState], None],
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._objects = objects
        self._events = events
        self._again = again
        self._recorded = recorded
        self._limits = limits
        self._clock = clock

    async def report(self, ref: ObjectKey, entry: KeyState) -> None:
        """Write the status if it differs from the one that the API server holds.

        Raises:
            ClusterError: it could not be written.
        """
        if entry.key is None:
            return
        now = self._clock()
        if now < (next_write := self._next_write(entry, now)):
            self._again(ref, next_write)
            return
        waited_since, entry.unwritten_since = entry.unwritten_since, None
        before = entry.resource
        status = status_of(before, entry.key, entry.known, now, rate_limited_count=self._rate_limited_count(entry, now))
        if status == before.status:
            self._recorded(ref, entry)
            return
        causes = {number: seen.cause for number, seen in entry.known.items() if seen.cause}
        written = False
        try:
            written = await self._write(ref, before, status)
        finally:
            if not written:
                # This has waited already.
                entry.unwritten_since = waited_since
        if written:
            self._recorded(ref, entry)
            await self._tell(before, events_of(before.status, status, causes, entry.writers))

    async def _tell(self, resource: BusinessEncryptionKey, told: Sequence[Event]) -> None:
        for one in told:
            log.log(
                logging.WARNING if one.warning else logging.INFO,
                "%s: %s",
                one.reason,
                one.note,
                extra={"object": f"{resource.ref.namespace}/{resource.ref.name}"},
            )
        await self._events.post(resource, told)

    def _rate_limited_count(self, entry: KeyState, now: float) -> int:
        """Return how many numbers wait for no more than room under the limits of their API."""
        limits = [entry.known[number].target.limiter_key for number in entry.not_observed]
        closed = {
            limiter_key for limiter_key in set(limits) if self._limits.available_at(limiter_key, now, urgent=True) > now
        }
        return sum(limiter_key in closed for limiter_key in limits)

    def _next_write(self, entry: KeyState, now: float) -> float:
        """Return when to write: soon after the last news that is about to come, and not all too often."""
        if entry.unwritten_since is None:
            entry.unwritten_since = now
        batched_until = entry.unwritten_since + BATCHING_SECONDS
        allowed = now + max(1.0 - entry.allowed_at(now), 0.0)
        return max(min(batched_until, entry.batch_until(now)), allowed)

    async def _write(self, ref: ObjectKey, resource: BusinessEncryptionKey, status: dict[str, Any]) -> bool:
        self._store.writes(ref, self._clock())
        try:
            version = await self._objects.write_status(resource, status)
        except (Conflict, NotFound) as refusal:
            # Somebody was faster, or the object is gone; a definition that has no status says the same for ever.
            log.info("the status was not taken: %s", refusal, extra={"object": f"{ref.namespace}/{ref.name}"})
            self._store.hear(ref)
            self._again(ref, self._clock())
            return False
        self._store.wrote(ref, version, status)
        return True
