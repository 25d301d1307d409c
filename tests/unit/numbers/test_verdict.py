"""What the facts about a number mean: the first check that objects names the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.reasons import Reason, Severity
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Retry
from bek_operator.numbers.facts import FailureStreak
from bek_operator.numbers.verdict import NOT_CHECKED, Verdict
from support.builders import (
    BROKEN,
    BUSY,
    DENIED,
    NOW,
    REJECTED,
    UNREACHABLE,
    checked,
    facts,
    failure,
    public_key,
    signed,
    target,
    verdict_of,
)

if TYPE_CHECKING:
    from bek_operator.numbers.facts import NumberFacts

HOUR = 3600.0
RETRY, USER = Retry.TRANSIENT, Retry.TERMINAL
OURS, FOREIGN = public_key().fingerprint, public_key("other").fingerprint
BLOCKED = target(endpoint=None, problem=failure(Reason.CREDENTIALS_NOT_FOUND, "Secret is gone"))
NEVER = target(publish=False)
NOT_YET = Verdict(Reason.WAITING_FOR_ROLLOUT, "not yet")
HELD: dict[str, Any] = {"publishes": 3, "published_at": NOW - 60}
REFUSED: dict[str, Any] = {"refusal": REJECTED, "refused_at": NOW, "refusals": 1}
ACCEPTED: dict[str, Any] = {"publishes": 1, "published_at": NOW - 60, "accepted": True}


def failing(before: NumberFacts, count: int = 1, seconds: float = 0.0, **more: Any) -> NumberFacts:
    """Return a number whose checks have failed since, for a passing reason unless told."""
    streak = {"count": count, "since": NOW, "last_at": NOW + seconds, "last": UNREACHABLE, **more}
    return replace(before, failing=FailureStreak(**streak))


CASES: dict[str, tuple[NumberFacts, Reason, Retry | None]] = {
    "a problem of the target goes before everything": (
        failing(signed(BLOCKED), last=DENIED),
        Reason.CREDENTIALS_NOT_FOUND,
        RETRY,
    ),
    "a number that was never checked is pending": (facts(), Reason.PENDING, None),
    "what was shown before a change is shown until more is known": (
        checked(fingerprint=FOREIGN, carried=verdict_of(Reason.TOKEN_EXPIRED)),
        Reason.TOKEN_EXPIRED,
        USER,
    ),
    "a failed check of a number that was never checked is shown": (failing(facts()), Reason.UNREACHABLE, RETRY),
    "one of a number that is well is not": (failing(signed()), Reason.SIGNED, None),
    "nor are many within five minutes": (failing(signed(), count=9, seconds=299.0), Reason.SIGNED, None),
    "nor two in a longer time": (failing(signed(), count=2, seconds=HOUR), Reason.SIGNED, None),
    "three in five minutes are": (failing(signed(), count=3, seconds=300.0), Reason.UNREACHABLE, RETRY),
    "and one where something had changed": (failing(signed(), tolerated=False), Reason.UNREACHABLE, RETRY),
    "and one that needs the user": (failing(signed(), last=DENIED, passing=False), Reason.ACCESS_DENIED, USER),
    "and one that does not, after one that did": (failing(signed(), passing=False), Reason.UNREACHABLE, RETRY),
    "a number that waits for the rollout is given the same time": (
        failing(checked(fingerprint=FOREIGN, hold=NOT_YET)),
        Reason.WAITING_FOR_ROLLOUT,
        None,
    ),
    "one that is about to be published to is not": (failing(checked()), Reason.UNREACHABLE, RETRY),
    "what was found wrong with the key stands": (
        failing(checked(**REFUSED), count=9, seconds=HOUR),
        Reason.KEY_REJECTED,
        USER,
    ),
    "the fifth failure that is not sure to pass needs the user": (
        failing(facts(), last=BROKEN, limited=5),
        Reason.INVALID_ANSWER,
        USER,
    ),
    "our key, VALID, is signed": (signed(NEVER, hold=NOT_YET, **HELD, **REFUSED), Reason.SIGNED, None),
    "where nothing is published the user must": (checked(NEVER, hold=NOT_YET), Reason.NOT_PUBLISHED, USER),
    "a number waits for the rollout though its publish was refused": (
        checked(hold=NOT_YET, **REFUSED),
        Reason.WAITING_FOR_ROLLOUT,
        None,
    ),
    "unless the rollout waits because of such refusals": (
        checked(hold=NOT_YET, refusal=BUSY, refused_at=NOW - 600, refusals=1),
        Reason.RATE_LIMITED,
        RETRY,
    ),
    "a refused publish is shown until the next one is due": (checked(**REFUSED), Reason.KEY_REJECTED, USER),
    "and no longer": (checked(**{**REFUSED, "refused_at": NOW - 600}), Reason.NOT_PUBLISHED, RETRY),
    "one that is not sure to pass has few tries under the back-off": (
        checked(**HELD, refusal=BROKEN, refused_at=NOW, refusals=1),
        Reason.INVALID_ANSWER,
        USER,
    ),
    "one that passes is retried": (
        checked(**HELD, refusal=BUSY, refused_at=NOW, refusals=9),
        Reason.RATE_LIMITED,
        RETRY,
    ),
    "an accepted key is waited for": (checked(**ACCEPTED), Reason.PENDING, None),
    "for five minutes": (checked(**{**ACCEPTED, "published_at": NOW - 300}), Reason.NOT_PUBLISHED, RETRY),
    "somebody else's key while the back-off holds is a fight": (
        checked(fingerprint=FOREIGN, **HELD),
        Reason.CONTENDED,
        USER,
    ),
    "ours, never VALID, is a mismatch": (checked(fingerprint=OURS, **HELD), Reason.SIGNATURE_MISMATCH, USER),
    "so is none": (checked(**HELD), Reason.SIGNATURE_MISMATCH, USER),
    "another key is about to be replaced": (checked(fingerprint=FOREIGN), Reason.FOREIGN_KEY, RETRY),
    "a lost signature is about to be repaired": (
        checked(fingerprint=OURS, status=SignatureStatus.MISMATCH),
        Reason.STALE_SIGNATURE,
        RETRY,
    ),
}


@pytest.mark.parametrize(("known", "reason", "retry"), CASES.values(), ids=CASES.keys())
def test_the_first_check_that_objects_names_the_reason(known: NumberFacts, reason: Reason, retry: Retry | None) -> None:
    """Each case is a sentence."""
    assert (known.reason, known.verdict.retry) == (reason, retry)


def test_a_verdict_does_not_change_by_itself() -> None:
    """Where time matters, it is that of the last answer."""
    held = checked(fingerprint=FOREIGN, **HELD)
    assert held.reason is Reason.CONTENDED
    assert replace(held, as_of=NOW + HOUR).reason is Reason.FOREIGN_KEY


def test_what_is_not_known_any_more_to_need_the_user_does_not() -> None:
    """The reason and the message stay."""
    assert Verdict(Reason.TOKEN_EXPIRED, "renew it", USER).without_user() == Verdict(
        Reason.TOKEN_EXPIRED, "renew it", RETRY
    )
    assert NOT_CHECKED.without_user() is NOT_CHECKED
    assert verdict_of(Reason.TOKEN_EXPIRED).without_user().severity < verdict_of(Reason.UNSUPPORTED).severity
    assert verdict_of(Reason.SIGNED).severity[0] is Severity.HEALTHY
