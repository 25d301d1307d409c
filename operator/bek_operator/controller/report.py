"""Report: write an object's status when it says something new, and tell of it in events."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bek_operator.cluster.errors import Conflict, NotFound
from bek_operator.controller.board import Board, Entry
from bek_operator.controller.clock import Clock
from bek_operator.controller.schedule import Lanes
from bek_operator.model.resource import Resource
from bek_operator.model.spec import ObjectRef
from bek_operator.model.status import status_of
from bek_operator.model.transitions import Happening, happenings

log = logging.getLogger(__name__)

SECONDS_FOR_COMPANY = 3.0
"""What news waits while more is on its way: most changes are over by then, and take one write."""


class StatusWriter(Protocol):
    """Where a status goes."""

    async def write_status(self, resource: Resource, status: Mapping[str, Any]) -> str:
        """Replace the status of this very object at this very version; return its new resourceVersion."""
        ...


class EventPoster(Protocol):
    """Where events go."""

    async def post(self, resource: Resource, happenings: Iterable[Happening]) -> None:
        """Post what happened to an object."""
        ...


class Reporter:
    """Writes one object's status at a time.

    `again` has an object reported at a later instant, `recorded` is told when the status shows what was done.
    """

    def __init__(
        self,
        *,
        board: Board,
        objects: StatusWriter,
        events: EventPoster,
        again: Callable[[ObjectRef, float], None],
        recorded: Callable[[ObjectRef, Entry], None],
        lanes: Lanes,
        clock: Clock,
    ) -> None:
        self._board = board
        self._objects = objects
        self._events = events
        self._again = again
        self._recorded = recorded
        self._lanes = lanes
        self._clock = clock

    async def report(self, ref: ObjectRef, entry: Entry) -> None:
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
        status = status_of(before, entry.key, entry.known, now, crowded=self._crowded(entry, now))
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
            await self._tell(before, happenings(before.status, status, causes, entry.writers))

    async def _tell(self, resource: Resource, told: Sequence[Happening]) -> None:
        for one in told:
            log.log(
                logging.WARNING if one.warning else logging.INFO,
                "%s: %s",
                one.reason,
                one.note,
                extra={"object": f"{resource.ref.namespace}/{resource.ref.name}"},
            )
        await self._events.post(resource, told)

    def _crowded(self, entry: Entry, now: float) -> int:
        """Return how many numbers wait for no more than room under the limits of their API."""
        lanes = [entry.known[number].target.lane for number in entry.untried]
        closed = {lane for lane in set(lanes) if self._lanes.opens_at(lane, now, urgent=True) > now}
        return sum(lane in closed for lane in lanes)

    def _next_write(self, entry: Entry, now: float) -> float:
        """Return when to write: soon after the last news that is about to come, and not all too often."""
        if entry.unwritten_since is None:
            entry.unwritten_since = now
        in_company = entry.unwritten_since + SECONDS_FOR_COMPANY
        allowed = now + max(1.0 - entry.allowed_at(now), 0.0)
        return max(min(in_company, entry.awaits_news_until(now)), allowed)

    async def _write(self, ref: ObjectRef, resource: Resource, status: dict[str, Any]) -> bool:
        self._board.writes(ref, self._clock())
        try:
            version = await self._objects.write_status(resource, status)
        except (Conflict, NotFound) as refusal:
            # Somebody was faster, or the object is gone; a definition that has no status says the same for ever.
            log.info("the status was not taken: %s", refusal, extra={"object": f"{ref.namespace}/{ref.name}"})
            self._board.hear(ref)
            self._again(ref, self._clock())
            return False
        self._board.wrote(ref, version, status)
        return True
