"""The verdict on the facts about a number, as its row shows it.

An ordered chain of small checks; the first that applies gives the reason. Pure and without a clock: where time
matters, it is the instant of the last response, so a verdict never changes without a response.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bek_operator.crd.reasons import AT_EASE, OF_THE_KEY, SEVERITY, Reason, Severity
from bek_operator.numbers import backoff
from bek_operator.numbers.answers import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from bek_operator.numbers.facts import NumberFacts

FAILURE_THRESHOLD_CHECKS: Final = 3
FAILURE_THRESHOLD_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a number is in the state it is in.

    Attributes:
        reason: The reason in its row.
        message: The message in its row; empty if the reason is enough.
        retry: Whether retrying helps; `None` if nothing is wrong. `TERMINAL`: the user must act.
    """

    reason: Reason
    message: str = ""
    retry: Retry | None = None

    @property
    def needs_user(self) -> bool:
        """Return whether the user must act."""
        return self.retry is Retry.TERMINAL

    @property
    def severity(self) -> tuple[Severity, int]:
        """Return how severe it is: by who must act first, then by the reason's rank."""
        kind, rank = SEVERITY[self.reason]
        return (Severity.USER_ACTION if self.needs_user else min(kind, Severity.TRANSIENT)), rank

    def without_user(self) -> Verdict:
        """Return the same, without the need for the user to act."""
        return replace(self, retry=Retry.TRANSIENT) if self.needs_user else self


NOT_CHECKED: Final = Verdict(Reason.PENDING, "not checked yet")
ACCEPTED: Final = Verdict(Reason.PENDING, "the API accepted the key; its signature is not VALID yet")
QUEUED: Final = Verdict(Reason.PENDING, "queued: the first number is verified, this one follows")
PROVEN: Final = Verdict(Reason.PENDING, "queued: the Flow endpoint has opened the key")


def verdict(facts: NumberFacts) -> Verdict:
    """Return the verdict on the facts."""
    for check in _CHECKS:
        if found := check(facts):
            return found
    return _lacks_key(facts)


def _plan_problem(facts: NumberFacts) -> Verdict | None:
    """Return why the number cannot be called; the failure threshold does not apply to that."""
    problem = facts.target.problem
    return Verdict(problem.reason, problem.message, problem.retry) if problem else None


def _check_failing(facts: NumberFacts) -> Verdict | None:
    """Return the last failure, unless the failure threshold covers it.

    A signed number stays signed until its checks have failed three times in a row and for five minutes, unless
    something changed since its last check: then the user may be waiting for the result. A reason about the key remains
    until the next reading.
    """
    failing = facts.failing
    if failing.last is None:
        return None
    if failing.passing:
        known = verdict(replace(facts, failing=replace(failing, last=None))).reason
        lasting = (
            failing.count >= FAILURE_THRESHOLD_CHECKS and failing.last_at - failing.since >= FAILURE_THRESHOLD_SECONDS
        )
        if known in OF_THE_KEY or (known in AT_EASE and failing.tolerated and not lasting):
            return None
    last = failing.last
    return Verdict(last.reason, last.message, backoff.after_tries(last.retry, failing.limited))


def _not_observed(facts: NumberFacts) -> Verdict | None:
    """Return the verdict from before a restart or a change, until the next response."""
    return facts.carried


def _signed(facts: NumberFacts) -> Verdict | None:
    return Verdict(Reason.SIGNED) if facts.finding is Reason.SIGNED else None


def _report_only(facts: NumberFacts) -> Verdict | None:
    if facts.target.publish:
        return None
    return Verdict(facts.finding, f"{_FOUND[facts.finding]}; {_REPORT_ONLY}", Retry.TERMINAL)


def _held(facts: NumberFacts) -> Verdict | None:
    return facts.hold


def _publish_refused(facts: NumberFacts) -> Verdict | None:
    """Return why the last publish was refused; for a passing reason also while the rollout waits because of that."""
    published, hold = facts.published, facts.hold
    refusal = published.refusal
    if refusal is None or (hold and (hold.reason is not Reason.WAITING_FOR_ROLLOUT or refusal.retry is Retry.TERMINAL)):
        return None
    if not hold and not _is_held(facts):
        return None
    # The publish back-off leaves few retries for a LIMITED refusal.
    used_up = refusal.retry is Retry.LIMITED and backoff.holds(published.count)
    retry = Retry.TERMINAL if used_up else backoff.after_tries(refusal.retry, published.refusals)
    return Verdict(refusal.reason, refusal.message, retry)


def _awaiting_signature(facts: NumberFacts) -> Verdict | None:
    published = facts.published
    if not published.accepted or facts.as_of - (published.at or 0.0) >= backoff.SETTLING_SECONDS:
        return None
    return replace(ACCEPTED, message=_NOT_SHOWN_YET) if facts.finding is Reason.FOREIGN_KEY else ACCEPTED


def _key_changes_too_often(facts: NumberFacts) -> Verdict | None:
    published = facts.published
    if backoff.holds(published.count) or facts.as_of >= backoff.next_of_any_key(published.recent):
        return None
    return Verdict(Reason.KEY_CHANGES_TOO_OFTEN, _KEY_CHANGES, Retry.TERMINAL)


def _contended(facts: NumberFacts) -> Verdict | None:
    if facts.finding is not Reason.FOREIGN_KEY or not _is_held(facts):
        return None
    return Verdict(Reason.CONTENDED, _CONTENDED, Retry.TERMINAL)


def _signature_mismatch(facts: NumberFacts) -> Verdict | None:
    return Verdict(Reason.SIGNATURE_MISMATCH, _MISMATCH, Retry.TERMINAL) if _is_held(facts) else None


def _lacks_key(facts: NumberFacts) -> Verdict:
    return Verdict(facts.finding, _FOUND[facts.finding], Retry.TRANSIENT)


def _is_held(facts: NumberFacts) -> bool:
    """Return whether the back-off applied to the next publish at the last response."""
    return facts.as_of < facts.publish_due


_CHECKS: Final[tuple[Callable[[NumberFacts], Verdict | None], ...]] = (
    _plan_problem,
    _check_failing,
    _not_observed,
    _signed,
    _report_only,
    _publish_refused,
    _held,
    _awaiting_signature,
    _key_changes_too_often,
    _contended,
    _signature_mismatch,
)

_FOUND: Final = {
    Reason.NOT_PUBLISHED: "the API holds no key for this number",
    Reason.STALE_SIGNATURE: "the API holds the key, but its signature is no longer VALID",
    Reason.FOREIGN_KEY: "the API holds another key",
}
_REPORT_ONLY: Final = "publish the Secret's key by other means, or set publishPolicy to IfNeeded"
_NOT_SHOWN_YET: Final = "the API accepted the key but still shows another one"
_KEY_CHANGES: Final = (
    "published too often within an hour, because the key in the Secret keeps changing; find out what writes the "
    "Secret, then set the annotation bek.dev/requested-at"
)
_CONTENDED: Final = (
    "another client keeps publishing a different key; find it, then set the annotation bek.dev/requested-at"
)
_MISMATCH: Final = (
    "published several times, but the signature is not VALID; check the number's registration, "
    "then set the annotation bek.dev/requested-at"
)
