"""How far a requested check has come: a pure function of the object as it is now."""

from collections.abc import Mapping
from dataclasses import dataclass

from bek_operator.cli.durations import short
from bek_operator.cli.session import LEASE_NAME
from bek_operator.cli.summary import SEE_WHETHER_IT_RUNS, blocked_by
from bek_operator.cluster.lease import LeaseRecord
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.status import READY, Condition
from bek_operator.times import instant

_STALE_SECONDS = 60.0
"""A Lease is renewed every few seconds, but by another clock."""


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


def lease_warning(leases: Mapping[str, LeaseRecord], now: float) -> str:
    """Return a warning if there are Leases, by namespace, and none was renewed of late; empty otherwise."""
    ages = {namespace: now - (instant(record.renewed) or now) for namespace, record in leases.items()}
    if not leases or any(record.holder and ages[namespace] < _STALE_SECONDS for namespace, record in leases.items()):
        return ""
    namespace = min(ages, key=lambda one: ages[one])
    return (
        f"the operator's Lease {namespace}/{LEASE_NAME} was renewed {short(ages[namespace])} ago last, and nobody holds"
        f" it; {SEE_WHETHER_IT_RUNS}"
    )


def unfinished(requested: BusinessEncryptionKey, now: BusinessEncryptionKey, seconds: float) -> str:
    """Return why a check was not finished in time: the object when the check was requested, and now."""
    name, ready = requested.ref.name, now.status.condition(READY)
    if now.version == requested.version:
        return f"the operator has not answered within {seconds:g} s; {SEE_WHETHER_IT_RUNS}"
    said = f": {_words(ready)}" if ready and not ready.true else ""
    return f"not every number of {name} was checked within {seconds:g} s{said}"


def _words(condition: Condition) -> str:
    return f"{condition.reason}: {condition.message}"
