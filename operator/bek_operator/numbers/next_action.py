"""The next action: what to do about one number."""

from dataclasses import dataclass

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.facts import NumberFacts

FRESH_SECONDS = 600.0
"""A reading younger than this (and than the interval) can be acted upon without another read."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read which key the number holds."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """Apply the last reading, which is fresh enough, to a new target."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish the key; the last reading shows that the number lacks it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`; `None`: until the status shows what was done."""

    until: float | None


Action = Read | Reuse | Publish | Wait


def next_action(facts: NumberFacts, now: float, *, recorded: bool) -> Action:
    """Return what to do about a number whose target has an endpoint.

    `recorded`: whether the status shows our last publish of the current key. Another one waits for that, so that a
    crash costs at most one extra publish.
    """
    if now < facts.retry_at:
        return Wait(facts.retry_at)
    if facts.check_requested:
        return Read()
    if _may_publish(facts, now):
        return Publish() if recorded or not facts.publishes else Wait(None)
    if now >= facts.due:
        return Read()
    if not facts.observed:
        return Reuse() if _is_fresh(facts, now) else Read()
    return Wait(facts.due)


def _may_publish(facts: NumberFacts, now: float) -> bool:
    """Return whether the last reading is fresh and shows that a publish is necessary and permitted."""
    if not facts.target.publish or facts.finding is Reason.SIGNED or now < facts.publish_due:
        return False
    if facts.read_at is None or not _is_fresh(facts, now):
        return False
    # A check that became due since then goes first.
    return not facts.read_at < facts.due <= now


def _is_fresh(facts: NumberFacts, now: float) -> bool:
    return facts.read_at is not None and now - facts.read_at < min(facts.target.interval, FRESH_SECONDS)
