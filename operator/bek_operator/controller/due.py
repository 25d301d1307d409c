"""When a number is due, and with which priority."""

import math
from typing import Final

from bek_operator.controller.workqueue import Due, Priority
from bek_operator.crd.reasons import AT_EASE, Reason
from bek_operator.endpoint.facts import EndpointFacts
from bek_operator.numbers.facts import NumberFacts

CHECKS_EVERY: Final = 1.0
"""Seconds between the instants at which periodic checks start.

Waking up for a single check costs more than the check.
"""


def due_at(facts: NumberFacts, now: float) -> float:
    """Return when a number is due according to its facts; infinite while it cannot be called."""
    return max(facts.retry_at, facts.due if facts.observed and not facts.check_requested else now)


def number_due(
    facts: NumberFacts, at: float, *, before: NumberFacts | None = None, reached: bool = False
) -> Due | None:
    """Return when a number is due, and its priority; `None` for never.

    `before` are the facts for its last target; `reached` is whether the rollout has just reached it.
    """
    if at == math.inf:
        return None
    if reached or (before is not None and before.target.key != facts.target.key):
        priority = Priority.KEY
    elif not facts.observed or facts.check_requested:
        priority = Priority.USER
    else:
        priority = Priority.CHECK if facts.reason in AT_EASE else Priority.REPAIR
    if priority is Priority.CHECK:
        at = math.ceil(at / CHECKS_EVERY) * CHECKS_EVERY
    suspect = _is_suspect(facts, before)
    return Due(at=at, priority=priority, limiter_key=facts.target.limiter_key, suspect=suspect)


def endpoint_due(facts: EndpointFacts) -> Due | None:
    """Return when a Flow endpoint is due, and its priority; `None` while it cannot be called."""
    if facts.target.problem:
        return None
    at, priority = facts.ask_at, Priority.CHECK if facts.verdict.holds_key else Priority.REPAIR
    if facts.is_unfinished:
        priority = Priority.USER
    elif priority is Priority.CHECK:
        at = math.ceil(at / CHECKS_EVERY) * CHECKS_EVERY
    return Due(at=at, priority=priority, limiter_key=facts.target.limiter_key, suspect=facts.failing is not None)


def _is_suspect(facts: NumberFacts, before: NumberFacts | None) -> bool:
    """Return whether a call is likely to hang: the last one failed, or there was none."""
    failed_before = before is not None and before.failures > 0 and before.target.endpoint == facts.target.endpoint
    never_answered = not facts.observed and facts.read_at is None
    return facts.failures > 0 or facts.reason is Reason.UNREACHABLE or failed_before or never_answered
