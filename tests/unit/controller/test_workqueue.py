"""The schedule: what is picked when, and what has to wait for room."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bek_operator.controller.workqueue import Doubt, Priority, WorkQueue
from support.fakes import FakeLimits

LANES = ("a", "b", "c")
LANE_LIMIT = 2
SHARES = {Doubt.NEW: 3, Doubt.FAILED: 1}


def picked(queue: WorkQueue[str], now: float) -> list[str]:
    """Return everything that may be worked on at once, in the order that it is picked."""
    keys = []
    while (key := queue.pick(now)) is not None:
        keys.append(key)
    return keys


def test_a_key_is_picked_when_it_is_due_and_not_before() -> None:
    """Nothing is handed out early, and the schedule tells how long nothing will be."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("x", 10.0)
    assert queue.pick(9.9) is None
    assert queue.next_at() == 10.0
    assert queue.pick(10.0) == "x"
    assert queue.next_at() is None


def test_of_several_additions_the_earliest_and_the_most_urgent_win() -> None:
    """A key that is added for later is not put off by that, and loses no urgency."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("x", 10.0, priority=Priority.USER)
    queue.add("x", 5.0, priority=Priority.CHECK)
    queue.add("x", 20.0, priority=Priority.REPAIR)
    queue.add("other", 1.0, priority=Priority.KEY)
    assert picked(queue, 5.0) == ["x", "other"]
    queue.done("x")
    assert picked(queue, 100.0) == []


def test_a_key_that_is_at_work_is_not_picked_again_before_it_is_done() -> None:
    """An addition meanwhile is kept for afterwards, and is not forgotten."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("x", 0.0)
    assert queue.pick(0.0) == "x"
    queue.add("x", 1.0)
    queue.add("x", 3.0)
    assert queue.pick(2.0) is None
    assert queue.next_at() is None
    queue.done("x")
    assert queue.pick(2.0) == "x"


def test_a_cancelled_key_is_not_picked() -> None:
    """Cancelling forgets what was waiting, in a queue as well as for its time."""
    queue: WorkQueue[str] = WorkQueue(limits=FakeLimits(1))
    queue.add("x", 0.0)
    queue.add("queued", 0.0)
    assert queue.pick(0.0) == "x"
    assert queue.pick(0.0) is None
    queue.add("x", 1.0)
    for key in ("x", "queued"):
        queue.cancel(key)
    queue.done("x")
    assert picked(queue, 10.0) == []
    assert "x" not in queue


def test_what_is_urgent_goes_first_and_what_is_doubtful_after_its_equals() -> None:
    """Priorities are in order; within one, what failed the last time waits for what is new, and that for the rest."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("check", 0.0)
    queue.add("sick", 0.0, priority=Priority.USER, doubt=Doubt.FAILED)
    queue.add("new", 0.0, priority=Priority.USER, doubt=Doubt.NEW)
    queue.add("repair", 0.0, priority=Priority.REPAIR)
    queue.add("key", 0.0, priority=Priority.KEY)
    queue.add("person", 0.0, priority=Priority.USER)
    assert picked(queue, 0.0) == ["person", "new", "sick", "key", "repair", "check"]


def test_lanes_take_turns_and_hold_no_more_than_their_share() -> None:
    """A host with many due numbers gets its limit, and others are served in between."""
    queue: WorkQueue[str] = WorkQueue(limits=FakeLimits(2))
    for key in ("a1", "a2", "a3", "b1", "c1"):
        queue.add(key, 0.0, limiter_key=key[0])
    assert picked(queue, 0.0) == ["a1", "b1", "c1", "a2"]
    queue.done("b1")
    assert queue.pick(0.0) is None
    queue.done("a1")
    assert queue.pick(0.0) == "a3"


def test_a_lane_without_room_is_served_again_on_every_level() -> None:
    """Room that is given back goes to the most urgent key of the lane, though all levels had set it aside."""
    queue: WorkQueue[str] = WorkQueue(limits=FakeLimits(1))
    queue.add("at work", 0.0, limiter_key="a")
    assert queue.pick(0.0) == "at work"
    queue.add("check", 0.0, limiter_key="a")
    queue.add("repair", 0.0, limiter_key="a", priority=Priority.REPAIR)
    assert queue.pick(0.0) is None
    queue.done("at work")
    assert queue.pick(0.0) == "repair"
    queue.done("repair")
    assert queue.pick(0.0) == "check"


def test_a_lane_that_is_closed_for_a_time_is_asked_again_when_it_opens() -> None:
    """The schedule tells when that is; what is urgent may go before, and other lanes go on."""
    limits = FakeLimits(2)
    limits.closed_until["a", False] = 50.0
    limits.closed_until["a", True] = 20.0
    queue: WorkQueue[str] = WorkQueue(limits=limits)
    queue.add("check", 0.0, limiter_key="a")
    queue.add("repair", 0.0, limiter_key="a", priority=Priority.REPAIR)
    queue.add("other", 0.0, limiter_key="b")
    assert picked(queue, 0.0) == ["other"]
    assert queue.next_at() == 20.0
    assert picked(queue, 20.0) == ["repair"]
    queue.done("repair")
    assert picked(queue, 49.0) == []
    assert queue.next_at() == 50.0
    assert picked(queue, 50.0) == ["check"]


def test_a_lane_that_stays_closed_is_asked_ten_times_a_second_at_most() -> None:
    """Whatever it says about when it opens; and nothing piles up meanwhile."""
    limits = FakeLimits(0)
    queue: WorkQueue[str] = WorkQueue(limits=limits)
    queue.add("x", 0.0, limiter_key="a")
    now = 0.0
    for _ in range(1000):
        assert queue.pick(now) is None
        at = queue.next_at()
        assert at
        assert at >= now + 0.099
        now = at
    assert len(queue._opening) < 10


def test_the_doubtful_share_limits_whatever_lane_they_are_in() -> None:
    """Those that failed leave room for what is new, and both for what is less urgent than they are."""
    queue: WorkQueue[str] = WorkQueue(shares={Doubt.NEW: 3, Doubt.FAILED: 2})
    for key in ("f1", "f2", "f3"):
        queue.add(key, 0.0, limiter_key=key, priority=Priority.USER, doubt=Doubt.FAILED)
    for key in ("n1", "n2"):
        queue.add(key, 0.0, limiter_key=key, priority=Priority.REPAIR, doubt=Doubt.NEW)
    queue.add("well", 0.0, limiter_key="well")
    assert picked(queue, 0.0) == ["f1", "f2", "n1", "well"]
    queue.done("n1")
    assert picked(queue, 0.0) == ["n2"]
    queue.done("f1")
    assert picked(queue, 0.0) == ["f3"]


def test_what_is_doubtful_stays_so_in_its_lane_until_it_was_worked_on() -> None:
    """Another addition for the same host clears nothing; one for another host does."""
    queue: WorkQueue[str] = WorkQueue(shares={Doubt.FAILED: 0})
    for key in ("x", "y"):
        queue.add(key, 5.0, limiter_key="a", doubt=Doubt.FAILED)
    queue.add("x", 0.0, limiter_key="a", priority=Priority.KEY, doubt=Doubt.NEW)
    queue.add("y", 0.0, limiter_key="b", priority=Priority.KEY, doubt=Doubt.NEW)
    assert picked(queue, 10.0) == ["y"]


def test_failed_work_is_tried_again_as_what_it_was() -> None:
    """It keeps priority and lane, counts as failing, and goes by the earlier of two times."""
    queue: WorkQueue[str] = WorkQueue(limits=FakeLimits(1))
    queue.add("x", 0.0, priority=Priority.KEY, limiter_key="a")
    queue.add("other", 0.0, limiter_key="a")
    assert queue.pick(0.0) == "x"
    queue.add("x", 60.0, limiter_key="a")
    queue.done("x", again_at=1.0)
    assert picked(queue, 1.0) == ["x"]


def test_failed_work_that_was_cancelled_is_not_tried_again() -> None:
    """Whoever was told to leave a key alone does so, however the work on it ends."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("x", 0.0)
    assert queue.pick(0.0) == "x"
    queue.cancel("x")
    queue.done("x", again_at=1.0)
    assert picked(queue, 10.0) == []


def test_nothing_is_kept_of_what_was_replaced() -> None:
    """A year of edits to a number that is checked weekly takes no memory."""
    queue: WorkQueue[str] = WorkQueue()
    for at in range(10_000):
        queue.add("x", at + 7 * 86400.0)
        queue.add("x", float(at), priority=Priority.KEY)
        assert queue.pick(float(at)) == "x"
        queue.done("x")
        queue.add("x", at + 7 * 86400.0)
        queue.cancel("x")
    assert len(queue._later) < 200


@dataclass(slots=True)
class _Expected:
    at: float
    priority: Priority
    limiter_key: str
    doubt: Doubt

    @property
    def level(self) -> tuple[Priority, Doubt]:
        return self.priority, self.doubt


class ScheduleMachine(RuleBasedStateMachine):
    """Holds the schedule against a list that is searched from end to end."""

    keys = st.integers(0, 7)
    limits = st.sampled_from(LANES)
    delays = st.floats(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.queue: WorkQueue[int] = WorkQueue(limits=FakeLimits(LANE_LIMIT), shares=SHARES)
        self.now = 0.0
        self.waiting: dict[int, _Expected] = {}
        self.running: dict[int, _Expected] = {}
        self.wanted: set[int] = set()

    def _add(self, key: int, at: float, priority: Priority, limiter_key: str, doubt: Doubt) -> None:
        known = self.waiting.get(key)
        if known and known.at <= at and known.priority <= priority and known.limiter_key == limiter_key:
            return
        if known:
            doubt = max(doubt, known.doubt) if known.limiter_key == limiter_key else doubt
            at, priority = min(at, known.at), min(priority, known.priority)
        self.waiting[key] = _Expected(at, priority, limiter_key, doubt)

    def _eligible(self) -> dict[int, _Expected]:
        in_lane = [one.limiter_key for one in self.running.values()]
        doubts = [one.doubt for one in self.running.values()]
        full = [least for least, most in SHARES.items() if sum(one >= least for one in doubts) >= most]
        return {
            key: one
            for key, one in self.waiting.items()
            if one.at <= self.now
            and key not in self.running
            and in_lane.count(one.limiter_key) < LANE_LIMIT
            and not any(one.doubt >= least for least in full)
        }

    @rule(key=keys, delay=delays, priority=st.sampled_from(Priority), limiter_key=limits, doubt=st.sampled_from(Doubt))
    def add(self, key: int, delay: float, priority: Priority, limiter_key: str, doubt: Doubt) -> None:
        """Add a key."""
        self.queue.add(key, self.now + delay, priority=priority, limiter_key=limiter_key, doubt=doubt)
        self._add(key, self.now + delay, priority, limiter_key, doubt)

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
        """Pick one of the most urgent keys that there is room for."""
        eligible = self._eligible()
        key = self.queue.pick(self.now)
        if key is None:
            assert not eligible
            later = [one.at for name, one in self.waiting.items() if one.at > self.now and name not in self.running]
            assert self.queue.next_at() == min(later, default=None)
            return
        assert eligible[key].level == min(one.level for one in eligible.values())
        self.running[key] = self.waiting.pop(key)
        self.wanted.add(key)

    @rule(key=keys, fails=st.booleans(), delay=delays)
    def end(self, key: int, delay: float, *, fails: bool) -> None:
        """End the work on a key, well or not."""
        if key not in self.running:
            return
        ended = self.running.pop(key)
        self.queue.done(key, again_at=self.now + delay if fails else None)
        if fails and key in self.wanted:
            limiter_key = self.waiting.get(key, ended).limiter_key
            self._add(key, self.now + delay, ended.priority, limiter_key, Doubt.FAILED)
        self.wanted.discard(key)

    @invariant()
    def there_is_one_entry_for_each_key(self) -> None:
        """The schedule holds what the list holds, and hardly more."""
        assert {key for key in range(8) if key in self.queue} == set(self.waiting)
        assert len(self.queue._later) <= 2 * len(self.waiting) + 65


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
