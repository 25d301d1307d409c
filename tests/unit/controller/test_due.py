"""What goes first: the order in which numbers are worked on."""

import math

from bek_operator.controller.due import due_at, number_due
from bek_operator.controller.workqueue import WorkQueue
from bek_operator.crd.reasons import Reason
from bek_operator.numbers.facts import NumberFacts
from support.builders import NOW, public_key, signed, target
from support.builders import facts as number_facts


def test_what_a_user_waits_for_goes_first() -> None:
    """Then a new key, then repair, then checks; and after its equals, what may well hang."""
    queue: WorkQueue[str] = WorkQueue(50)
    old, new = target(), target(key=public_key("new"))
    waiting: dict[str, tuple[NumberFacts, NumberFacts | None]] = {
        "check": (signed(), None),
        "a check that failed": (signed(failures=1), None),
        "repair": (number_facts(observed=True, reason=Reason.NOT_PUBLISHED), None),
        "unreachable before a restart": (number_facts(observed=True, reason=Reason.UNREACHABLE), None),
        "new key": (number_facts(new, read_at=NOW), signed(old)),
        "new key for one that failed": (number_facts(new, read_at=NOW), signed(old, failures=2)),
        "new number": (number_facts(), None),
        "new spec for a number that answers": (number_facts(read_at=NOW), None),
    }
    for name, (facts, before) in waiting.items():
        due = number_due(facts, NOW, before=before)
        assert due
        queue.add(name, due)
    found = []
    while picked := queue.pick(NOW):
        found.append(picked)
    assert found == [
        "new spec for a number that answers",
        "new number",
        "new key",
        "new key for one that failed",
        "repair",
        "unreachable before a restart",
        "check",
        "a check that failed",
    ]


def test_a_number_is_due_by_what_is_known_of_it() -> None:
    """At once where it was not looked at, but never before its server wants to be asked."""
    assert due_at(signed(due=NOW + 60), NOW) == NOW + 60
    assert due_at(number_facts(due=NOW + 60), NOW) == NOW
    assert due_at(number_facts(retry_at=NOW + 30), NOW) == NOW + 30
    assert number_due(signed(), math.inf) is None
