"""Transitions: what is worth an event, by comparing the status that was with the one that is."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bek_operator.crd.reasons import LACKS_THE_KEY, ObjectReason, Reason
from bek_operator.crd.status import condition_of, rows_of

_QUIET = frozenset({ObjectReason.PROGRESSING, ObjectReason.SUSPENDED})
_NUMBERS_NAMED = 5
_CAUSES_TOLD = 3
_IDS = re.compile("[0-9]{7,}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell in an event; equal ones are merged."""

    reason: str
    note: str
    warning: bool


def events_of(
    before: Mapping[str, Any], after: Mapping[str, Any], causes: Mapping[str, Reason], writers: Iterable[str] = ()
) -> list[Event]:
    """Tell what changed.

    `causes` names what a publish made good, for each number that has accepted one; `writers` are the field managers
    that have written the key's Secret of late.
    """
    return [*_publishes(before, after, causes), *_key_changes(before, after, writers), *_readiness(before, after)]


def _readiness(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Event]:
    was, now = condition_of(before, "Ready"), condition_of(after, "Ready")
    if now["reason"] in _QUIET:
        return
    if (was.get("status"), was.get("reason")) == (now["status"], now["reason"]):
        yield from _other_causes(before, after, now["reason"])
        return
    if now["reason"] in LACKS_THE_KEY and not condition_of(after, "Stalled"):
        # Its end will be told, with what had been lost.
        return
    if now["reason"] == Reason.KEY_CHANGES_TOO_OFTEN:
        # This is told whatever else is wrong, and with who writes the Secret.
        return
    calm = now["status"] == "True" or now["reason"] == Reason.WAITING_FOR_ROLLOUT
    yield Event(now["reason"], now["message"], warning=not calm)


def _other_causes(before: Mapping[str, Any], after: Mapping[str, Any], reason: str) -> Iterable[Event]:
    """Tell a person who was asked to act for a reason, and still is, what else has it now."""
    if not (condition_of(before, "Stalled") and condition_of(after, "Stalled")):
        return
    known = _causes(before, reason)
    fresh = [found for cause, found in _causes(after, reason).items() if cause not in known]
    for message, numbers in fresh[:_CAUSES_TOLD]:
        yield Event(reason, f"{message} ({_named(numbers)})", warning=True)


def _causes(status: Mapping[str, Any], reason: str) -> dict[str, tuple[str, list[str]]]:
    """Return the messages that the rows of a reason show, each as it is shown first, with its numbers.

    What differs only by numbers and ids, as hosts do where each number has one, is one cause.
    """
    causes: dict[str, tuple[str, list[str]]] = {}
    for number, row in rows_of(status).items():
        if row.get("reason") == reason:
            message = str(row.get("message", ""))
            causes.setdefault(_IDS.sub("", message), (message, []))[1].append(number)
    return causes


def _key_changes(before: Mapping[str, Any], after: Mapping[str, Any], writers: Iterable[str]) -> Iterable[Event]:
    """Tell when numbers have begun to wait because the key is changed too often."""
    reason = Reason.KEY_CHANGES_TOO_OFTEN
    waiting = _causes(after, reason)
    if not waiting or _causes(before, reason):
        return
    names = ", ".join(sorted(writers))
    who = f"; the Secret's field managers: {names}" if names else ""
    for message, numbers in waiting.values():
        yield Event(str(reason), f"{message} ({_named(numbers)}){who}", warning=True)


def _publishes(before: Mapping[str, Any], after: Mapping[str, Any], causes: Mapping[str, Reason]) -> Iterable[Event]:
    rows = rows_of(before)
    same_key = before.get("publicKeyFingerprint") == after.get("publicKeyFingerprint")
    published: dict[Reason, list[str]] = defaultdict(list)
    for number, row in rows_of(after).items():
        was = rows.get(number, {})
        cause = causes.get(number)
        if cause is None or (same_key and _publish(row) == _publish(was)):
            continue
        published[cause].append(number)
    for cause, numbers in sorted(published.items()):
        if cause in _LOST:
            yield Event(str(cause), f"{_LOST[cause]} {_named(numbers)}; published the key again", warning=True)
        else:
            yield Event("Published", f"published key {after.get('keyID')} to {_named(numbers)}", warning=False)


def _publish(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("lastPublishTime"), row.get("publishes")


def _named(numbers: list[str]) -> str:
    more = len(numbers) - _NUMBERS_NAMED
    return ", ".join(numbers[:_NUMBERS_NAMED]) + (f" and {more} more" if more > 0 else "")


_LOST = {
    Reason.NOT_PUBLISHED: "the API had lost the key of",
    Reason.STALE_SIGNATURE: "the signature was lost on",
    Reason.FOREIGN_KEY: "somebody else had published another key to",
}
