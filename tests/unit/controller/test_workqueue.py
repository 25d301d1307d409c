"""The work queue: what is picked when, and what has to wait for capacity."""

import math
from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bek_operator.controller.workqueue import SLOW_SECONDS, Due, Priority, WorkQueue
from bek_operator.crd.types import ObjectKey
from support.fakes import FakeLimits

LIMITERS = ("a", "b", "c")
TENANTS = ("x", "y", "z")
CAPACITY = 2
SIZE = 4


def tenant_of(key: int) -> str:
    """Return whose key it is."""
    return TENANTS[key % len(TENANTS)]


def picked(queue: WorkQueue[str], now: float) -> list[str]:
    """Return everything that may be worked on at once, in the order that it is picked."""
    keys = []
    while (key := queue.pick(now)) is not None:
        keys.append(key)
    return keys


def test_a_key_is_picked_when_it_is_due_and_not_before() -> None:
    """Nothing is handed out early, and the schedule tells how long nothing will be."""
    queue: WorkQueue[str] = WorkQueue(50)
    queue.add("x", Due(at=10.0))
    assert queue.pick(9.9) is None
    assert queue.next_at(9.9) == 10.0
    assert queue.pick(10.0) == "x"
    assert queue.next_at(10.0) == math.inf


def test_of_several_additions_the_earliest_and_the_most_urgent_win() -> None:
    """A key that is added for later is not put off by that, and loses no urgency."""
    queue: WorkQueue[str] = WorkQueue(50)
    queue.add("x", Due(at=10.0, priority=Priority.REPAIR))
    queue.add("x", Due(at=5.0, priority=Priority.CHECK))
    queue.add("x", Due(at=20.0, priority=Priority.USER))
    queue.add("other", Due(at=1.0, priority=Priority.KEY))
    assert picked(queue, 5.0) == ["x", "other"]
    queue.done("x")
    assert picked(queue, 100.0) == []


def test_a_key_that_is_at_work_is_not_picked_again_before_it_is_done() -> None:
    """An addition meanwhile is kept for afterwards, and is not forgotten."""
    queue: WorkQueue[str] = WorkQueue(50)
    queue.add("x", Due(at=0.0))
    assert queue.pick(0.0) == "x"
    queue.add("x", Due(at=1.0))
    queue.add("x", Due(at=3.0))
    assert queue.pick(2.0) is None
    assert queue.next_at(2.0) == math.inf
    queue.done("x")
    assert queue.pick(2.0) == "x"


def test_a_cancelled_key_is_not_picked() -> None:
    """Cancelling forgets what was waiting, in a queue as well as for its time."""
    queue: WorkQueue[str] = WorkQueue(50, limits=FakeLimits(1))
    queue.add("x", Due(at=0.0))
    queue.add("queued", Due(at=0.0))
    assert queue.pick(0.0) == "x"
    assert queue.pick(0.0) is None
    queue.add("x", Due(at=1.0))
    for key in ("x", "queued"):
        queue.cancel(key)
    queue.done("x")
    assert picked(queue, 10.0) == []
    assert "x" not in queue


def test_what_is_urgent_goes_first_and_a_suspect_after_its_equals() -> None:
    """Priorities are in order; within one, what may hang waits for the rest."""
    queue: WorkQueue[str] = WorkQueue(50)
    queue.add("check", Due(at=0.0))
    queue.add("suspect", Due(at=0.0, priority=Priority.USER, suspect=True))
    queue.add("repair", Due(at=0.0, priority=Priority.REPAIR))
    queue.add("key", Due(at=0.0, priority=Priority.KEY))
    queue.add("user", Due(at=0.0, priority=Priority.USER))
    assert picked(queue, 0.0) == ["user", "suspect", "key", "repair", "check"]


def test_no_more_keys_are_worked_on_at_once_than_there_are_workers() -> None:
    """The next one is picked when one of them is done, or beside it when it is slow, up to half as many more."""
    queue: WorkQueue[str] = WorkQueue(2)
    for key in "abcdef":
        queue.add(key, Due(at=0.0))
    assert picked(queue, 0.0) == ["a", "b"]
    assert queue.next_at(0.0) == SLOW_SECONDS
    queue.done("a")
    assert picked(queue, 0.1) == ["c"]
    assert picked(queue, SLOW_SECONDS) == ["d"]
    assert picked(queue, 10.0) == []
    queue.done("b")
    assert picked(queue, 10.0) == ["e"]
    assert queue.next_at(10.0) == math.inf


def test_limiters_take_turns_and_get_no_more_than_their_capacity() -> None:
    """A host with many due numbers gets its limit, and others are served in between."""
    queue: WorkQueue[str] = WorkQueue(50, limits=FakeLimits(2))
    for key in ("a1", "a2", "a3", "b1", "c1"):
        queue.add(key, Due(at=0.0, limiter_key=key[0]))
    assert picked(queue, 0.0) == ["a1", "b1", "c1", "a2"]
    queue.done("b1")
    assert queue.pick(0.0) is None
    queue.done("a1")
    assert queue.pick(0.0) == "a3"


def test_a_limiter_without_capacity_is_served_again_on_every_level() -> None:
    """Capacity that is given back goes to its most urgent key, though all levels had set it aside."""
    queue: WorkQueue[str] = WorkQueue(50, limits=FakeLimits(1))
    queue.add("at work", Due(at=0.0, limiter_key="a"))
    assert queue.pick(0.0) == "at work"
    queue.add("check", Due(at=0.0, limiter_key="a"))
    queue.add("repair", Due(at=0.0, limiter_key="a", priority=Priority.REPAIR))
    assert queue.pick(0.0) is None
    queue.done("at work")
    assert queue.pick(0.0) == "repair"
    queue.done("repair")
    assert queue.pick(0.0) == "check"


def test_suspects_leave_workers_to_the_others() -> None:
    """Half of the workers are theirs, three quarters where a user or a new key waits, and the rest for what answers."""
    queue: WorkQueue[str] = WorkQueue(8)
    for index in range(6):
        queue.add(f"repair {index}", Due(at=0.0, limiter_key=str(index), priority=Priority.REPAIR, suspect=True))
    assert picked(queue, 0.0) == [f"repair {index}" for index in range(4)]
    for index in range(3):
        queue.add(f"user {index}", Due(at=0.0, limiter_key="a", priority=Priority.USER, suspect=True))
    assert picked(queue, 0.0) == ["user 0", "user 1"]
    queue.add("well", Due(at=0.0, limiter_key="well"))
    assert picked(queue, 0.0) == ["well"]
    queue.done("repair 0")
    assert picked(queue, 0.0) == ["user 2"]
    for key in ("repair 1", "user 0", "user 1"):
        queue.done(key)
    assert picked(queue, 0.0) == ["repair 4"]


def test_a_suspect_stays_one_under_its_limiter_until_it_was_worked_on() -> None:
    """Another addition for the same host clears nothing; one for another host does."""
    queue: WorkQueue[str] = WorkQueue(50)
    for key in ("x", "y"):
        queue.add(key, Due(at=5.0, limiter_key="a", suspect=True))
    queue.add("x", Due(at=0.0, limiter_key="a", priority=Priority.KEY))
    queue.add("y", Due(at=0.0, limiter_key="b", priority=Priority.KEY))
    assert picked(queue, 10.0) == ["y", "x"]


def test_failed_work_is_tried_again_as_what_it_was() -> None:
    """It keeps its priority, and goes by the earlier of two times and by the limiter that it was given last."""
    queue: WorkQueue[str] = WorkQueue(50, limits=FakeLimits(1))
    queue.add("x", Due(at=0.0, priority=Priority.KEY, limiter_key="a"))
    queue.add("other", Due(at=0.0, limiter_key="a"))
    assert queue.pick(0.0) == "x"
    queue.add("x", Due(at=60.0, limiter_key="b"))
    queue.done("x", retry_at=1.0)
    assert picked(queue, 1.0) == ["x", "other"]


def test_failed_work_that_was_cancelled_is_not_tried_again() -> None:
    """Whoever was told to leave a key alone does so, however the work on it ends."""
    queue: WorkQueue[str] = WorkQueue(50)
    queue.add("x", Due(at=0.0))
    assert queue.pick(0.0) == "x"
    queue.cancel("x")
    queue.done("x", retry_at=1.0)
    assert picked(queue, 10.0) == []


def test_what_is_requeued_is_due_again_unless_it_was_cancelled() -> None:
    """Also where it was added after that; what was added meanwhile stays if it is due before."""
    queue: WorkQueue[str] = WorkQueue(50)
    for key in ("x", "cancelled", "added again", "added"):
        queue.add(key, Due(at=0.0))
    for key in picked(queue, 0.0):
        if "cancelled" in key or "again" in key:
            queue.cancel(key)
        if "added" in key:
            queue.add(key, Due(at=5.0))
        queue.requeue(key, Due(at=1.0))
        queue.done(key)
    assert picked(queue, 1.0) == ["x", "added"]
    assert picked(queue, 5.0) == ["added again"]


def test_nothing_is_kept_of_what_was_replaced() -> None:
    """A year of edits to a number that is checked weekly takes no memory."""
    queue: WorkQueue[str] = WorkQueue(50)
    for at in range(10_000):
        queue.add("x", Due(at=at + 7 * 86400.0))
        queue.add("x", Due(at=float(at), priority=Priority.KEY))
        assert queue.pick(float(at)) == "x"
        queue.done("x")
        queue.add("x", Due(at=at + 7 * 86400.0))
        queue.cancel("x")
    assert len(queue._later) < 200


class WorkQueueMachine(RuleBasedStateMachine):
    """Holds the queue against a list that is searched from end to end."""

    keys = st.integers(0, 7)
    limiters = st.sampled_from(LIMITERS)
    delays = st.floats(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.queue: WorkQueue[int] = WorkQueue(
            SIZE, limits=FakeLimits(CAPACITY), object_of=lambda key: ObjectKey(tenant_of(key), str(key))
        )
        self.now = 0.0
        self.waiting: dict[int, Due] = {}
        self.running: dict[int, Due] = {}
        self.since: dict[int, float] = {}
        self.wanted: set[int] = set()
        self.passed_over: Counter[str] = Counter()

    def _add(self, key: int, due: Due) -> None:
        known = self.waiting.get(key)
        if known:
            suspect = due.suspect or (known.suspect and known.limiter_key == due.limiter_key)
            at, priority = min(due.at, known.at), min(due.priority, known.priority)
            due = Due(at=at, priority=priority, limiter_key=due.limiter_key, suspect=suspect)
        self.waiting[key] = due

    def _has_worker(self) -> bool:
        slow = sum(self.now >= self.since[key] + SLOW_SECONDS for key in self.running)
        return len(self.running) < SIZE + slow

    def _has_share(self, key: int, due: Due) -> bool:
        of_it = [one for running, one in self.running.items() if tenant_of(running) == tenant_of(key)]
        free = 2 * SIZE - len(self.running) - 1
        if free < 0 or (of_it and len(of_it) + 1 > 3 * free):
            return False
        suspects, of_all = (sum(one.suspect for one in found) for found in (of_it, self.running.values()))
        free, times = SIZE - of_all - 1, 3 if due.priority <= Priority.KEY else 1
        return not due.suspect or (free >= 0 and (not suspects or suspects + 1 <= times * free))

    def _eligible(self) -> dict[int, Due]:
        limiters = [one.limiter_key for one in self.running.values()]
        return {
            key: one
            for key, one in self.waiting.items()
            if one.at <= self.now
            and key not in self.running
            and self._has_worker()
            and self._has_share(key, one)
            and limiters.count(one.limiter_key) < CAPACITY
        }

    @rule(key=keys, delay=delays, priority=st.sampled_from(Priority), limiter_key=limiters, suspect=st.booleans())
    def add(self, key: int, delay: float, priority: Priority, limiter_key: str, *, suspect: bool) -> None:
        """Add a key."""
        due = Due(at=self.now + delay, priority=priority, limiter_key=limiter_key, suspect=suspect)
        self.queue.add(key, due)
        self._add(key, due)

    @rule(key=keys, delay=delays, priority=st.sampled_from(Priority))
    def requeue(self, key: int, delay: float, priority: Priority) -> None:
        """Have a key that is worked on worked on again."""
        if key not in self.running:
            return
        due = Due(at=self.now + delay, priority=priority, limiter_key=self.running[key].limiter_key)
        self.queue.requeue(key, due)
        if key in self.wanted:
            self._add(key, due)

    @rule(key=keys)
    def cancel(self, key: int) -> None:
        """Cancel a key."""
        self.queue.cancel(key)
        self.waiting.pop(key, None)
        self.wanted.discard(key)

    @rule(delay=delays)
    def let_time_go_by(self, delay: float) -> None:
        """Let time go by."""
        self.now += delay

    @rule()
    def pick(self) -> None:
        """Pick one of the most urgent keys of a tenant whose turn it is, if there is a worker and capacity for it."""
        eligible = self._eligible()
        key = self.queue.pick(self.now)
        if key is None:
            assert not eligible
            later = [one.at for name, one in self.waiting.items() if one.at > self.now and name not in self.running]
            if not self._has_worker():
                later += [at for key in self.running if (at := self.since[key] + SLOW_SECONDS) > self.now]
            assert self.queue.next_at(self.now) == min(later, default=math.inf)
            return
        tenant = tenant_of(key)
        assert eligible[key].level == min(one.level for other, one in eligible.items() if tenant_of(other) == tenant)
        self.passed_over = Counter({tenant_of(one): self.passed_over[tenant_of(one)] + 1 for one in eligible})
        del self.passed_over[tenant]
        assert max(self.passed_over.values(), default=0) < len(TENANTS)
        self.running[key], self.since[key] = self.waiting.pop(key), self.now
        self.wanted.add(key)

    @rule(key=keys, fails=st.booleans(), delay=delays)
    def end(self, key: int, delay: float, *, fails: bool) -> None:
        """End the work on a key, well or not."""
        if key not in self.running:
            return
        ended = self.running.pop(key)
        self.queue.done(key, retry_at=self.now + delay if fails else None)
        if fails and key in self.wanted:
            limiter_key = self.waiting.get(key, ended).limiter_key
            self._add(key, replace(ended, at=self.now + delay, limiter_key=limiter_key))
        self.wanted.discard(key)

    @invariant()
    def there_is_one_entry_for_each_key(self) -> None:
        """The queue holds what the list holds, and hardly more."""
        assert {key for key in range(8) if key in self.queue} == set(self.waiting)
        assert len(self.queue._later) <= 2 * len(self.waiting) + 65


TestWorkQueueMachine = WorkQueueMachine.TestCase
TestWorkQueueMachine.settings = settings(max_examples=100, stateful_step_count=40)
