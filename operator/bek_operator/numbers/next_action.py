"""The decision: what to do next about one number."""

from dataclasses import dataclass

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.observation import Observation

FRESH_SECONDS = 600.0
"""A read younger than this (and than the interval) need not be repeated before something is done about it."""


@dataclass(frozen=True, slots=True)
class Read:
    """Ask the API which key it holds."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """Go by the last answer, which is fresh enough to tell what the number lacks for a target that is new."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand over the key; the last answer was understood and showed that it is missing."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`; `None`: until the status shows what was done."""

    until: float | None


Decision = Read | Reuse | Publish | Wait


def decide(seen: Observation, now: float, *, recorded: bool) -> Decision:
    """Decide what to do about a number whose target has an endpoint.

    `recorded` tells whether the status shows our last publish of the current key: another one is not made before
    that, so that a crash costs one publish and no more.
    """
    if now < seen.retry_at:
        return Wait(seen.retry_at)
    if _may_publish(seen, now):
        return Publish() if recorded or not seen.publishes else Wait(None)
    if now >= seen.due:
        return Read()
    if not seen.observed:
        return Reuse() if _is_fresh(seen, now) else Read()
    return Wait(seen.due)


def _may_publish(seen: Observation, now: float) -> bool:
    """Tell whether the last answer is good enough to act upon, and asks for a publish that nothing holds back."""
    if not seen.target.publish or seen.finding is Reason.SIGNED or now < seen.publish_due:
        return False
    if seen.read_at is None or not _is_fresh(seen, now):
        return False
    # A check that has come due since goes first.
    return not seen.read_at < seen.due <= now


def _is_fresh(seen: Observation, now: float) -> bool:
    return seen.read_at is not None and now - seen.read_at < min(seen.target.interval, FRESH_SECONDS)
