"""The rate limiters of tokens never let the API refuse a call, and use what it allows."""

import heapq
import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bek_operator.whatsapp.ratelimit.limiter import UNLIMITED, RateLimiters
from bek_operator.whatsapp.ratelimit.meter import UNKNOWN_CAPACITY
from support.simulators.usage import Limit, Payer, Per, headers

LIMITER = "graph.facebook.com#12345678"
START = 1_795_000_000.0
HOUR = 3600.0
PAYER = Payer(app="app", token="t", waba="waba", number="n")


def app(percent: float) -> dict[str, str]:
    """Return the header with the usage of an app."""
    return {"x-app-usage": json.dumps({"call_count": percent})}


def business(identity: str, percent: float, minutes: int = 0) -> dict[str, str]:
    """Return the header with the usage of a business account."""
    usage = {"type": "whatsapp", "call_count": percent, "estimated_time_to_regain_access": minutes}
    return {"x-business-use-case-usage": json.dumps({identity: [usage]})}


class Client:
    """Rate limiters, and a clock that a test moves."""

    def __init__(self) -> None:
        self.rate_limiters = RateLimiters()
        self.now = START

    def record(
        self, headers: dict[str, str], *, refused: bool = False, times: int = 1, limiter_key: str = LIMITER
    ) -> None:
        """Record the same response some times."""
        for _ in range(times):
            self.rate_limiters.record(limiter_key, headers, refused, self.now)

    def capacity(self, *, urgent: bool = True, limiter_key: str = LIMITER) -> int:
        """Return how many numbers may be reconciled at once."""
        return self.rate_limiters.capacity(limiter_key, self.now, urgent=urgent)

    def pause(self, *, urgent: bool = True) -> float:
        """Return the seconds until there is capacity again, and check that there is none before."""
        pause = self.rate_limiters.available_at(LIMITER, self.now, urgent=urgent) - self.now
        assert (pause > 0) == (self.capacity(urgent=urgent) == 0)
        if pause > 0:
            assert self.rate_limiters.capacity(LIMITER, self.now + pause - 0.1, urgent=urgent) == 0
            assert self.rate_limiters.capacity(LIMITER, self.now + pause, urgent=urgent) == 1
        return pause


@pytest.fixture(name="client")
def client_fixture() -> Client:
    """New rate limiters."""
    return Client()


class TestCapacity:
    """How many numbers are reconciled at once."""

    def test_unknown(self, client: Client) -> None:
        """Before the first response there is some capacity."""
        assert client.capacity() == client.capacity(urgent=False) == UNKNOWN_CAPACITY == 10
        assert client.pause() == 0

    @pytest.mark.parametrize(("percent", "checks", "urgent"), [(15, 40, 50), (30, 30, 40), (72, 2, 12), (87, 0, 2)])
    def test_known(self, client: Client, percent: float, checks: int, urgent: int) -> None:
        """Each number may take three of the lowest limit's 200 calls; a new key has capacity when checks have none."""
        client.record(app(percent), times=50)
        assert (client.capacity(urgent=False), client.capacity()) == (checks, urgent)

    def test_slow_start(self, client: Client) -> None:
        """Each response raises the capacity by one number, up to what fits."""
        client.record(app(0))
        assert client.capacity() == 11
        client.record(app(1), times=9)
        assert client.capacity() == 20

    def test_cheap_calls(self, client: Client) -> None:
        """If a thousand calls used a fifth, there is capacity for many numbers."""
        for percent in range(21):
            client.record(app(percent), times=50)
        assert client.capacity() > 300

    def test_expensive_calls(self, client: Client) -> None:
        """If each call uses two percent, fewer fit."""
        for percent in range(0, 42, 2):
            client.record(app(percent))
        assert client.capacity() == (90 - 40) // 6

    def test_outdated_usage(self, client: Client) -> None:
        """After some minutes others may have used the rest, so the capacity starts low again."""
        client.record(app(20), times=100)
        client.now += 301
        assert client.capacity() == 10
        client.record(app(80))
        client.now += HOUR
        assert client.capacity(urgent=False) == 10

    def test_highest_usage_counts(self, client: Client) -> None:
        """Of several limits the one with the highest usage counts, for as long as it is known."""
        client.record(business("1", 84), times=100)
        client.record(business("2", 15), times=50)
        assert client.capacity() == 4
        client.now += HOUR
        client.record(business("2", 15), times=50)
        assert client.capacity() == 50

    def test_out_of_order(self, client: Client) -> None:
        """A response that arrives out of order does not count; a later one does."""
        client.record(app(80), times=100)
        client.record(app(40))
        assert client.capacity() == 6
        client.now += 16
        client.record(app(70))
        assert client.capacity() == 13

    def test_new_hour(self, client: Client) -> None:
        """In a new hour of the limit, the cost of a call is not taken from the last hour."""
        for percent in range(81):
            client.record(app(percent), times=50)
        client.now += 16
        client.record(app(0), times=20)
        assert client.capacity() == 30

    def test_expensive_calls_in_a_new_hour(self, client: Client) -> None:
        """Expensive calls are remembered in a new hour of the limit."""
        for percent in range(0, 82, 2):
            client.record(app(percent))
        client.now += 16
        client.record(app(0), times=100)
        assert client.capacity() == 15

    def test_no_headers(self, client: Client) -> None:
        """Without usage headers there is no limit."""
        client.record({})
        assert client.capacity() == 10
        client.record({}, times=2)
        assert client.capacity() == client.capacity(urgent=False) == UNLIMITED

    def test_header_left_out(self, client: Client) -> None:
        """A response without usage does not invalidate the last usage."""
        client.record(app(89))
        client.record({}, times=5)
        assert client.capacity() == 0

    def test_a_limiter_for_each_token(self, client: Client) -> None:
        """Each token has its own rate limiter; of very many, the most recently used are kept."""
        client.record(app(95))
        client.record(app(10), limiter_key="other", times=50)
        assert (client.capacity(), client.capacity(limiter_key="other")) == (0, 53)
        for limiter_key in range(10_000):
            client.record(app(10), limiter_key=str(limiter_key))
        assert client.capacity() == 10

    def test_meters_are_bounded(self, client: Client) -> None:
        """Of very many business accounts of one token, the most recently used are kept."""
        client.record(business("full", 99))
        for identity in range(64):
            client.record(business(str(identity), 10), times=2)
        assert client.capacity() == 12


class TestPauses:
    """How long there is no capacity."""

    def test_pause_grows_with_usage(self, client: Client) -> None:
        """Near the ceiling the usage is probed once a minute, above it less often, at least once an hour."""
        pauses = {}
        for percent in (74, 75, 80, 85, 89, 90, 93, 96, 99, 100):
            client.record(app(percent))
            pauses[percent] = round(client.pause(urgent=False)), round(client.pause())
        assert pauses == {
            74: (60, 0),
            75: (60, 0),
            80: (138, 0),
            85: (317, 0),
            89: (616, 60),
            90: (728, 60),
            93: (1198, 209),
            96: (1974, 728),
            99: (3252, 2533),
            100: (3300, 3300),
        }

    def test_probe(self, client: Client) -> None:
        """After the pause one number is a probe, and its usage decides."""
        client.record(app(95), times=100)
        client.now += client.pause()
        assert client.capacity() == 1
        client.record(app(96))
        assert client.capacity() == 0
        client.now += client.pause()
        client.record(app(10))
        assert client.capacity() == 11

    @pytest.mark.parametrize(
        ("header", "pause"),
        [
            ({"retry-after": "90"}, 90.0),
            ({"retry-after": "86400"}, HOUR),
            ({"retry-after": "Wed, 18 Nov 2026 12:08:20 GMT"}, 500.0),
            ({"retry-after": "90", **business("1", 100, 5)}, 90.0),
            (business("1", 100, 5), 300.0),
            (business("1", 100, 600), HOUR),
            ({"retry-after": "soon"}, 60.0),
            ({}, 60.0),
        ],
    )
    def test_refused(self, client: Client, header: dict[str, str], pause: float) -> None:
        """A server that refuses is called again when it says, within an hour; after a minute if it does not say."""
        client.now = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()
        client.record(header, refused=True)
        assert client.pause() == client.pause(urgent=False) == pause

    def test_refused_at_once(self, client: Client) -> None:
        """Fifty refusals of concurrent calls count as one."""
        client.record({}, refused=True, times=50)
        assert client.pause() == 60.0

    def test_refused_again(self, client: Client) -> None:
        """Without a time from the server the wait doubles with each refusal; a success in between does not reset it."""
        pauses = []
        for _ in range(8):
            client.record({}, refused=True)
            pauses.append(client.pause())
            client.now += pauses[-1]
            client.record({})
        assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
        client.now += 3 * HOUR
        client.record({}, refused=True)
        assert client.pause() == 60.0

    def test_late_responses(self, client: Client) -> None:
        """The response to a call that was made before the refusal does not end the pause."""
        client.record(app(50), times=50)
        client.record({"retry-after": "90"}, refused=True)
        client.record(app(50))
        assert client.pause() == 90.0
        client.now += 90
        assert client.capacity() == 1
        client.record(app(50))
        assert client.capacity() == 26

    def test_regain_time_without_refusal(self, client: Client) -> None:
        """A time to wait counts with a successful response, too."""
        client.record(business("1", 100, 7))
        assert client.pause() == 420.0

    def test_retry_after_without_refusal(self, client: Client) -> None:
        """A Retry-After of one number does not delay the others."""
        client.record({"retry-after": "90", **app(10)})
        assert client.capacity() == 11


class Simulation:
    """Numbers, an API with a limit, and workers that ask the rate limiters, in simulated time."""

    def __init__(
        self, limit: Limit, *, numbers: int = 1000, workers: int = 50, interval: float = HOUR, seed: int = 0
    ) -> None:
        self.limit = limit
        self.now = START + seed
        self.rate_limiters = RateLimiters()
        self.signed: dict[int, float] = {}
        self.checked: dict[int, float] = {}
        self.calls: list[float] = []
        self._workers = workers
        self._interval = interval
        self._random = random.Random(seed)  # noqa: S311 - a simulation, keeps no secret
        self._urgent: deque[tuple[int, int]] = deque()
        self._checks = [(self.now + self._random.random() * interval, number) for number in range(numbers)]
        heapq.heapify(self._checks)
        self._busy = 0
        self._serial = count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._wakes_at = 0.0

    def rotate(self, numbers: Iterable[int], calls: int) -> None:
        """Queue a new key for numbers, each with so many calls."""
        self._urgent.extend((number, calls) for number in numbers)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self._start()
        while self._events and self._events[0][0] <= end:
            self.now, _, callback, arguments = heapq.heappop(self._events)
            callback(*arguments)
        self.now = end

    def _at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._serial), callback, arguments))

    def _start(self) -> None:
        """Start what is due and fits, urgent numbers first; otherwise wake up when that may change."""
        while self._busy < self._workers and self._busy < self._capacity():
            if self._urgent:
                number, calls = self._urgent.popleft()
                work = self._sign
            elif self._checks and self._checks[0][0] <= self.now:
                number, calls, work = heapq.heappop(self._checks)[1], 1, self._check
            else:
                break
            self._busy += 1
            self._call(number, calls, work)
        available_at = self.rate_limiters.available_at(LIMITER, self.now, urgent=bool(self._urgent))
        when = max(available_at, 0.0 if self._urgent else self._checks[0][0] if self._checks else 0.0)
        if when > self.now and when != self._wakes_at:
            self._wakes_at = when
            self._at(when, self._start)

    def _capacity(self) -> int:
        return self.rate_limiters.capacity(LIMITER, self.now, urgent=bool(self._urgent))

    def _call(self, number: int, left: int, work: Callable[[int], None]) -> None:
        """Make a call whose arrival and response take some time; calls overtake each other."""
        takes = self._random.uniform(0.05, 0.4)
        self._at(self.now + takes * self._random.random(), self._arrive, number, left, work, self.now + takes)

    def _arrive(self, number: int, left: int, work: Callable[[int], None], answered_at: float) -> None:
        refused = self.limit.take(PAYER.account(self.limit.per), self.now) is not None
        usage = {name.lower(): value for name, value in headers([self.limit], PAYER, self.now).items()}
        self.calls.append(self.now)
        self._at(answered_at, self._answer, number, left, work, usage, refused)

    def _answer(
        self,
        number: int,
        left: int,
        work: Callable[[int], None],
        usage: dict[str, str],
        refused: bool,  # noqa: FBT001 - a fact
    ) -> None:
        self.rate_limiters.record(LIMITER, usage, refused, self.now)
        if left > 1:
            self._call(number, left - 1, work)
            return
        self._busy -= 1
        work(number)
        self._start()

    def _sign(self, number: int) -> None:
        self.signed[number] = self.now

    def _check(self, number: int) -> None:
        self.checked[number] = self.now
        heapq.heappush(self._checks, (self.now + self._interval * self._random.uniform(0.9, 1.1), number))


Window = Literal["sliding", "hourly"]


class TestLimits:
    """The rate limiters at an API that enforces its limits."""

    @pytest.mark.parametrize("window", ["sliding", "hourly"])
    @pytest.mark.parametrize("per", ["app", "app+waba"])
    @pytest.mark.parametrize("calls", [2, 3])
    def test_rotation(self, window: Window, per: Per, calls: int) -> None:
        """A new key reaches 1,000 numbers without a refused call, as fast as 50 concurrent workers can."""
        simulation = Simulation(Limit(5000, per, window=window))
        simulation.run(HOUR)
        started = simulation.now
        simulation.rotate(range(1000), calls)
        simulation.run(HOUR)
        assert len(simulation.signed) == 1000
        assert simulation.limit.refused == 0
        # On average a call takes 0.225 s.
        assert max(simulation.signed.values()) - started < 1.2 * 1000 * calls * 0.225 / 50

    def test_first_publication(self) -> None:
        """Without any known usage, 1,000 numbers are signed without a refused call and hardly more slowly."""
        simulation = Simulation(Limit(5000, "app+waba"), interval=1e9)
        simulation.rotate(range(1000), 3)
        simulation.run(30.0)
        assert (len(simulation.signed), simulation.limit.refused) == (1000, 0)

    @pytest.mark.parametrize("window", ["sliding", "hourly"])
    def test_lowest_limit(self, window: Window) -> None:
        """With 200 calls an hour for 1,000 numbers no call is refused in a day; a new key goes before the checks."""
        simulation = Simulation(Limit(200, "app+waba", window=window))
        simulation.run(6 * HOUR)
        assert 140 < len(simulation.calls) / 6 <= 200
        before = dict(simulation.checked)
        simulation.rotate(range(1000), 2)
        started = simulation.now
        simulation.run(18 * HOUR)
        assert simulation.limit.refused == 0
        assert len(simulation.signed) == 1000
        taken = max(simulation.signed.values()) - started
        assert taken < 12.5 * HOUR
        checked_meanwhile = [when for number, when in simulation.checked.items() if before.get(number) != when]
        assert min(checked_meanwhile) > started + taken - 60

    @given(
        calls_per_hour=st.sampled_from([200, 250, 400, 1000, 5000]),
        window=st.sampled_from(["sliding", "hourly"]),
        numbers=st.sampled_from([20, 100, 300]),
        workers=st.sampled_from([8, 50, 200]),
        interval=st.sampled_from([600.0, 3600.0]),
        rotations=st.lists(st.tuples(st.floats(60, 9000), st.integers(1, 3)), min_size=1, max_size=3),
        seed=st.integers(0, 3599),
    )
    @settings(max_examples=15)
    def test_never_refused(
        self,
        calls_per_hour: int,
        window: Window,
        numbers: int,
        workers: int,
        interval: float,
        rotations: list[tuple[float, int]],
        seed: int,
    ) -> None:
        """Whatever the limit, the numbers and the rotations: no call is refused."""
        simulation = Simulation(
            Limit(calls_per_hour, "app", window=window), numbers=numbers, workers=workers, interval=interval, seed=seed
        )
        for pause, calls in rotations:
            simulation.run(pause)
            simulation.rotate(range(numbers), calls)
        simulation.run(2 * HOUR)
        assert simulation.limit.refused == 0

    def test_late_headers(self) -> None:
        """A limit without usage headers is reached once, then mostly respected."""
        simulation = Simulation(Limit(200, "app", shown=False, retry_after="seconds"), numbers=400)
        simulation.run(6 * HOUR)
        assert simulation.limit.refused < 6 * 60
        assert len(simulation.calls) - simulation.limit.refused > 5 * 200


@given(
    st.lists(
        st.tuples(
            st.sampled_from([{}, app(10), app(89), app(100), business("1", 50, 9), {"retry-after": "x"}]),
            st.booleans(),
            st.floats(0, 7200),
        ),
        max_size=20,
    )
)
def test_any_order(answers: list[tuple[dict[str, str], bool, float]]) -> None:
    """Whatever the responses, there is capacity again within an hour, and urgent numbers never have less of it."""
    client = Client()
    for header, refused, later in answers:
        client.record(header, refused=refused)
        for urgent in (True, False):
            assert 0 <= client.pause(urgent=urgent) <= HOUR
        assert client.capacity() >= client.capacity(urgent=False) >= 0
        client.now += later


def test_the_highest_usage_of_all_limits() -> None:
    """Whosever token it is; full while calls are refused, and unknown when nothing was reported for an hour."""
    client = Client()
    assert client.rate_limiters.usage(client.now) is None
    client.record({}, limiter_key="graph.facebook.com#none")
    assert client.rate_limiters.usage(client.now) is None
    client.record(app(20) | business("1", 40))
    client.record(app(30), limiter_key="graph.facebook.com#other")
    assert client.rate_limiters.usage(client.now) == 0.4
    client.record(app(30), refused=True, limiter_key="graph.facebook.com#other")
    assert client.rate_limiters.usage(client.now) == 1.0
    client.now += 60
    assert client.rate_limiters.usage(client.now) == 0.4
    client.now += HOUR
    assert client.rate_limiters.usage(client.now) is None
