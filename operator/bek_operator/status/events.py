"""Events: derived by comparing the last status with the new one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bek_operator.crd.reasons import LACKS_THE_KEY, EndpointReason, ObjectReason, Reason
from bek_operator.crd.status import READY, EndpointStatus, Row, Status
from bek_operator.endpoint.facts import LOST_KEY

_QUIET = frozenset({ObjectReason.PROGRESSING, ObjectReason.SUSPENDED})
_NO_FAULT = frozenset({"", EndpointReason.PENDING, EndpointReason.HOLDS_KEY, EndpointReason.LACKS_OLD_KEY})
_NUMBERS_NAMED = 5
_CAUSES_NAMED = 3
_IDS = re.compile("[0-9]{7,}")


@dataclass(frozen=True, slots=True)
class Event:
    """The content of an event; equal ones are merged."""

    reason: str
    note: str
    warning: bool


def events_of(before: Status, after: Status, causes: Mapping[str, Reason], writers: Iterable[str] = ()) -> list[Event]:
    """Return the events for the changes.

    `causes`: why a number was published to, for each number that accepted a publish; `writers`: the field managers that
    recently wrote the key's Secret.
    """
    return [
        *_publishes(before, after, causes),
        *_key_changes(before, after, writers),
        *_endpoint(before, after),
        *_readiness(before, after),
    ]


def _readiness(before: Status, after: Status) -> Iterator[Event]:
    was, now = before.condition(READY), after.condition(READY)
    if now is None or now.reason in _QUIET:
        return
    if was and (was.true, was.reason) == (now.true, now.reason):
        yield from _other_causes(before, after, now.reason)
        return
    if now.reason in LACKS_THE_KEY and not after.stalled:
        # Its repair will be an event, which says what was lost.
        return
    if now.reason == Reason.KEY_CHANGES_TOO_OFTEN:
        # `_key_changes` posts its event, which names the Secret's writers.
        return
    calm = now.true or now.reason == Reason.WAITING_FOR_ROLLOUT
    yield Event(now.reason, now.message, warning=not calm)


def _endpoint(before: Status, after: Status) -> Iterator[Event]:
    """Yield an event when the Flow endpoint has opened another key, lost an old one, or begins to fail in another way.

    What the event about readiness says is not repeated.
    """
    was, found, ready = before.endpoint or EndpointStatus(reason=""), after.endpoint, after.condition(READY)
    if found is None:
        return
    _, named, lost = found.message.partition(LOST_KEY)
    if named and LOST_KEY not in was.message:
        yield Event(EndpointReason.LACKS_OLD_KEY, f"Flow endpoint: {named}{lost}", warning=True)
    if found.reason == EndpointReason.HOLDS_KEY:
        failed = was.reason not in _NO_FAULT
        if (failed or was.opened != found.opened) and not (failed and _becomes_ready(before, after)):
            yield Event(found.reason, f"the Flow endpoint opens key {after.key_id}", warning=False)
    elif found.reason not in {was.reason, *_NO_FAULT} and not (ready and ready.reason == found.reason):
        yield Event(found.reason, f"Flow endpoint: {found.message}", warning=True)


def _becomes_ready(before: Status, after: Status) -> bool:
    was, now = before.condition(READY), after.condition(READY)
    return now is not None and now.true and not (was and was.true)


def _other_causes(before: Status, after: Status, reason: str) -> Iterator[Event]:
    """Yield new messages of the reason for which the object still is Stalled."""
    if not (before.stalled and after.stalled):
        return
    known = _causes(before, reason)
    fresh = [found for cause, found in _causes(after, reason).items() if cause not in known]
    for message, numbers in fresh[:_CAUSES_NAMED]:
        yield Event(reason, f"{message} ({_named(numbers)})", warning=True)


def _causes(status: Status, reason: str) -> dict[str, tuple[str, list[str]]]:
    """Return the messages of the rows with a reason, each with its numbers.

    Messages that differ only by digits, such as hosts that contain the number, are one cause.
    """
    causes: dict[str, tuple[str, list[str]]] = {}
    for row in status.rows.values():
        if row.reason == reason:
            causes.setdefault(_IDS.sub("", row.message), (row.message, []))[1].append(row.number)
    return causes


def _key_changes(before: Status, after: Status, writers: Iterable[str]) -> Iterator[Event]:
    """Yield an event when numbers begin to wait because the key changes too often."""
    reason = Reason.KEY_CHANGES_TOO_OFTEN
    waiting = _causes(after, reason)
    if not waiting or _causes(before, reason):
        return
    names = ", ".join(sorted(writers))
    who = f"; the Secret's field managers: {names}" if names else ""
    for message, numbers in waiting.values():
        yield Event(reason, f"{message} ({_named(numbers)}){who}", warning=True)


def _publishes(before: Status, after: Status, causes: Mapping[str, Reason]) -> Iterator[Event]:
    same_key = before.fingerprint == after.fingerprint
    published: dict[Reason, list[str]] = defaultdict(list)
    for number, cause in causes.items():
        row, was = after.rows.get(number), before.rows.get(number)
        if row and not (same_key and was and not _was_published(was, row)):
            published[cause].append(number)
    for cause, numbers in sorted(published.items()):
        if cause in _LOST:
            yield Event(str(cause), f"{_LOST[cause]} {_named(numbers)}; published the key again", warning=True)
        else:
            yield Event("Published", f"published key {after.key_id} to {_named(numbers)}", warning=False)


def _was_published(before: Row, after: Row) -> bool:
    """Return whether there was a publish between two rows; a count that was reset is not a publish."""
    return after.published_at != before.published_at or after.publishes > before.publishes


def _named(numbers: list[str]) -> str:
    more = len(numbers) - _NUMBERS_NAMED
    return ", ".join(numbers[:_NUMBERS_NAMED]) + (f" and {more} more" if more > 0 else "")


_LOST = {
    Reason.NOT_PUBLISHED: "the API no longer held the key of",
    Reason.STALE_SIGNATURE: "the signature was no longer VALID on",
    Reason.FOREIGN_KEY: "another key had been published to",
}
