"""How far a requested check has come: a pure function of the object as it is now."""

from dataclasses import dataclass

from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.reasons import ObjectReason
from bek_operator.crd.status import READY, STALLED

_NEVER_CHECKED = frozenset({ObjectReason.INVALID_KEY, ObjectReason.INVALID_SPEC})
"""Reasons for which no number is checked until the user has acted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A check under way.

    Attributes:
        done: Whether every number was checked, or none will be before the user acts.
        well: Whether the object is Ready; meaningful when it is done.
        text: One line for people.
    """

    done: bool
    well: bool
    text: str


def progress_of(resource: BusinessEncryptionKey) -> Progress:
    """Return how far the check has come that the object's annotation requests."""
    status = resource.status
    ready, stalled = status.condition(READY), status.condition(STALLED)
    current = status.generation == resource.generation
    counted = f"{status.signed}/{status.desired} signed"
    if current and status.request == resource.request:
        well = ready is not None and ready.true
        words = "" if ready is None or well else f"; {ready.reason}: {ready.message}"
        return Progress(done=True, well=well, text=counted + words)
    if current and stalled and stalled.true and stalled.reason in _NEVER_CHECKED:
        return Progress(done=True, well=False, text=f"{stalled.reason}: {stalled.message}")
    return Progress(done=False, well=False, text=f"{counted}; waiting until every number was checked")
