"""How far a requested check has come: a pure function of the object as it is now."""

from dataclasses import dataclass

from bek_operator.cli.summary import SEE_WHETHER_IT_RUNS, blocked_by
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.status import READY, Condition


@dataclass(frozen=True, slots=True)
class Progress:
    """A check under way.

    Attributes:
        done: Whether every number was checked.
        blocked: Whether no number is checked, as far as the operator has seen; it may not have seen a repair yet.
        well: Whether the object is Ready; meaningful when it is done.
        text: One line for people.
    """

    done: bool
    blocked: bool
    well: bool
    text: str


def progress_of(resource: BusinessEncryptionKey) -> Progress:
    """Return how far the check has come that the object's annotation requests."""
    status, ready = resource.status, resource.status.condition(READY)
    current = status.generation == resource.generation
    counted = f"{status.signed}/{status.desired} signed"
    words = "" if ready is None or ready.true else f"; {_words(ready)}"
    if current and status.request == resource.request:
        return Progress(done=True, blocked=False, well=ready is not None and ready.true, text=counted + words)
    if blocked := blocked_by(resource):
        return Progress(done=False, blocked=True, well=False, text=_words(blocked))
    return Progress(done=False, blocked=False, well=False, text=f"{counted}; waiting until every number was checked")


def unfinished(requested: BusinessEncryptionKey, now: BusinessEncryptionKey, seconds: float) -> str:
    """Return why a check was not finished in time: the object when the check was requested, and now."""
    name, ready = requested.ref.name, now.status.condition(READY)
    if now.version == requested.version:
        return f"the operator has not answered within {seconds:g} s; {SEE_WHETHER_IT_RUNS}"
    said = f": {_words(ready)}" if ready and not ready.true else ""
    return f"not every number of {name} was checked within {seconds:g} s{said}"


def _words(condition: Condition) -> str:
    return f"{condition.reason}: {condition.message}"
