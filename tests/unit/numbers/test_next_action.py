"""What to do next about a number, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.next_action import Action, Publish, Read, Reuse, Wait, next_action
from support.builders import BUSY, DENIED, NOW, REJECTED, checked, facts, public_key, signed, target

if TYPE_CHECKING:
    from bek_operator.numbers.facts import NumberFacts

OTHER = public_key("other").fingerprint
HOUR = 3600.0


def seen(**more: Any) -> NumberFacts:
    """Return a number that was just found to hold another key."""
    members: dict[str, Any] = {"status": SignatureStatus.VALID, "fingerprint": OTHER, "due": NOW, **more}
    return checked(members.pop("target", None), **members)


def rotated(interval: float = 600.0, **more: Any) -> NumberFacts:
    """Return a number that was signed until its key was replaced by another."""
    return signed(target(key=public_key("new"), interval=interval), fingerprint=OTHER, observed=False, **more)


CASES: dict[str, tuple[NumberFacts, Action]] = {
    "a number that was never checked is read": (facts(), Read()),
    "a signed number is left alone until its check is due": (signed(due=NOW + 60), Wait(NOW + 60)),
    "a signed number is read when its check is due": (signed(due=NOW), Read()),
    "a number with another key is published to": (seen(), Publish()),
    "a number without key is published to": (seen(fingerprint=None, status=None), Publish()),
    "a number whose signature is stale is published to": (
        seen(fingerprint=public_key().fingerprint, status=SignatureStatus.MISMATCH),
        Publish(),
    ),
    "a number with our key but no word about it is published to": (
        seen(fingerprint=public_key().fingerprint, status=None),
        Publish(),
    ),
    "a number that only status rows tell of is read first": (seen(read_at=None), Read()),
    "a new key that the last read has shown already needs no other": (
        signed(observed=False, read_at=NOW - 500, due=NOW + 100),
        Reuse(),
    ),
    "a new key that must wait is no reason to read again": (
        rotated(recent=(NOW - 600,) * 6, read_at=NOW - 500, due=NOW + 100),
        Reuse(),
    ),
    "a new key goes out an hour after the last of six": (
        rotated(recent=(NOW - HOUR,) * 6, read_at=NOW - 500, due=NOW + 100),
        Publish(),
    ),
    "what was read ten minutes ago is read again": (
        signed(target(interval=9000.0), observed=False, read_at=NOW - 600, due=NOW + 8000),
        Read(),
    ),
    "a new key goes out on a fresh read": (
        rotated(read_at=NOW - 500, due=NOW + 100),
        Publish(),
    ),
    "a new key needs a new read after ten minutes": (
        rotated(interval=9000.0, read_at=NOW - 600, due=NOW + 8000),
        Read(),
    ),
    "a new key needs a new read after the check interval": (
        rotated(interval=10.0, read_at=NOW - 10, due=NOW + 1),
        Read(),
    ),
    "a new key does not go out on a read that a check is due after": (
        rotated(read_at=NOW - 500, due=NOW - 1),
        Read(),
    ),
    "a check that failed is waited for": (seen(read_at=None, failures=1, due=NOW + 8), Wait(NOW + 8)),
    "a check that failed is repeated when due": (seen(read_at=None, failures=1), Read()),
    "a server that asked to be left alone is": (facts(retry_at=NOW + 30), Wait(NOW + 30)),
    "even where a key is to be published": (seen(retry_at=NOW + 30), Wait(NOW + 30)),
    "and no longer than it asked": (facts(retry_at=NOW), Read()),
    "a policy of never publishing only reads": (seen(target=target(publish=False), due=NOW + 5), Wait(NOW + 5)),
    "the back-off holds a fourth publish": (
        seen(publishes=3, published_at=NOW - HOUR + 1, due=NOW + 1),
        Wait(NOW + 1),
    ),
    "and lets it go after its hour": (seen(publishes=3, published_at=NOW - HOUR), Publish()),
    "a publish that was accepted is given five minutes": (
        seen(publishes=1, published_at=NOW - 299, accepted=True, due=NOW + 1),
        Wait(NOW + 1),
    ),
    "and is then repeated": (seen(publishes=1, published_at=NOW - 300, accepted=True), Publish()),
    "a key that was refused is not published at once again": (
        seen(refusal=REJECTED, refused_at=NOW - 599, refusals=1, due=NOW + 1),
        Wait(NOW + 1),
    ),
    "but at the next check": (seen(refusal=REJECTED, refused_at=NOW - 600, refusals=1), Publish()),
    "and then after two of them": (
        seen(refusal=REJECTED, refused_at=NOW - 1199, refusals=2, due=NOW + 1),
        Wait(NOW + 1),
    ),
    "a user's long absence spaces refused publishes by a day at most": (
        seen(refusal=DENIED, refused_at=NOW - 24 * HOUR, refusals=40),
        Publish(),
    ),
    "a publish that was turned away for the moment is repeated soon": (
        seen(refusal=BUSY, refused_at=NOW - 30, refusals=1),
        Publish(),
    ),
}


@pytest.mark.parametrize(("one", "decision"), CASES.values(), ids=CASES.keys())
def test_the_decision(one: NumberFacts, decision: Action) -> None:
    """Each case is a sentence."""
    assert next_action(one, NOW, recorded=True) == decision


@pytest.mark.parametrize(
    ("one", "decision"),
    [
        pytest.param(seen(publishes=1, published_at=NOW - 60), Wait(None), id="a second publish waits"),
        pytest.param(seen(publishes=0, published_at=NOW - 60), Publish(), id="the first of another key does not"),
        pytest.param(facts(publishes=1, published_at=NOW - 60), Read(), id="nor does a read"),
    ],
)
def test_no_second_publish_before_the_status_shows_the_first(one: NumberFacts, decision: Action) -> None:
    """A publish that would be forgotten by a crash is not repeated before it is written down."""
    assert next_action(one, NOW, recorded=False) == decision
