"""The work queue, shared by tenants: none delays or starves the others, whatever it has to do."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import pytest

from bek_operator.controller.workqueue import SLOW_SECONDS, Due, Priority, WorkQueue
from bek_operator.crd.types import ObjectKey
from support.fakes import FakeLimits

SIZE = 48
WORKERS_ALONE = SIZE + SIZE // 2
SLOW_CALL = 9.0
AT_ONCE = Due(at=0.0)


class Key(NamedTuple):
    """A key of a tenant."""

    tenant: str
    number: int
    object: str = ""


class CountingLimits(FakeLimits):
    """Limits that count how often they are asked."""

    asked = 0

    def capacity(self, limiter_key: str, now: float, *, urgent: bool) -> int:
        """Return how many of a limiter may be worked on at once."""
        self.asked += 1
        return super().capacity(limiter_key, now, urgent=urgent)


def shared(limits: FakeLimits | None = None, size: int = SIZE) -> WorkQueue[Key]:
    """Return a queue that tenants share."""
    return WorkQueue(size, limits=limits, object_of=lambda key: ObjectKey(key.tenant, key.object))


def add(queue: WorkQueue[Key], tenant: str, keys: int, like: Due, *, host: str = "") -> None:
    """Add so many keys of a tenant, each at a host of its own unless one is given."""
    for number in range(keys):
        queue.add(Key(tenant, number), replace(like, limiter_key=host or f"{tenant}-{number}"))


def picked(queue: WorkQueue[Key], now: float) -> list[Key]:
    """Return everything that is picked at an instant, in order."""
    keys = []
    while (key := queue.pick(now)) is not None:
        keys.append(key)
    return keys


def tenants(keys: list[Key]) -> str:
    """Return whose keys these are."""
    return "".join(key.tenant for key in keys)


def occupied(like: Due = AT_ONCE) -> tuple[WorkQueue[Key], float]:
    """Return a queue whose workers the tenant a occupies as far as it can, with more to do; and the time."""
    queue = shared()
    add(queue, "a", 3000, like)
    picked(queue, 0.0)
    picked(queue, SLOW_SECONDS)
    return queue, 2 * SLOW_SECONDS


def test_tenants_take_turns() -> None:
    """One with few keys waits for one of each other tenant, and not for all that these have to do."""
    queue = shared()
    add(queue, "a", 40, AT_ONCE)
    add(queue, "b", 3, AT_ONCE)
    add(queue, "c", 1, AT_ONCE)
    assert tenants(picked(queue, 0.0)[:8]) == "abcababa"


@pytest.mark.parametrize("priority", Priority)
def test_the_priority_of_one_tenant_is_nothing_to_another(priority: Priority) -> None:
    """Whoever has everything checked at once, all the time, does so beside the periodic checks of the others."""
    queue = shared()
    add(queue, "a", 3000, Due(at=0.0, priority=priority))
    add(queue, "b", 20, AT_ONCE)
    found = picked(queue, 0.0)
    assert tenants(found).count("b") == 20


def test_a_tenant_alone_gets_all_workers_and_half_as_many_more_while_they_are_slow() -> None:
    """It has nobody to leave them to."""
    queue = shared()
    add(queue, "a", 3000, AT_ONCE)
    assert len(picked(queue, 0.0)) == SIZE
    assert len(picked(queue, SLOW_SECONDS)) == WORKERS_ALONE - SIZE
    assert picked(queue, 2 * SLOW_SECONDS) == []


def test_a_single_worker_is_joined_by_another_for_the_next_tenant_alone() -> None:
    """`--concurrency=1` is kept for one tenant, and does not have the next one wait for a slow call."""
    queue = shared(size=1)
    for tenant in "ab":
        add(queue, tenant, 2, AT_ONCE)
    assert tenants(picked(queue, 0.0)) == "a"
    assert tenants(picked(queue, SLOW_SECONDS)) == "b"
    assert picked(queue, 2 * SLOW_SECONDS) == []


@pytest.mark.parametrize("suspect", [False, True])
@pytest.mark.parametrize("others_suspect", [False, True])
@pytest.mark.parametrize("priority", Priority)
def test_whoever_occupies_workers_leaves_some_to_the_next_tenant(
    priority: Priority, *, suspect: bool, others_suspect: bool
) -> None:
    """At once, before any slow call ends, and whether its numbers are known to respond or not."""
    queue, now = occupied(Due(at=0.0, suspect=others_suspect, priority=Priority.USER))
    add(queue, "b", 10, Due(at=now, priority=priority, suspect=suspect))
    assert len(picked(queue, now)) >= (5 if suspect and others_suspect else 10)


def test_many_tenants_get_equal_shares_and_the_next_one_some() -> None:
    """Nine have thousands of slow calls; the tenth is quick, and is not held up."""
    queue, now = shared(), 0.0
    for tenant in "abcdefghi":
        add(queue, tenant, 300, AT_ONCE)
    found: list[Key] = []
    for _ in range(4):
        found += picked(queue, now)
        now += SLOW_SECONDS
    shares = [tenants(found).count(tenant) for tenant in "abcdefghi"]
    assert max(shares) - min(shares) <= 1
    assert sum(shares) <= 2 * SIZE
    add(queue, "z", 50, Due(at=now))
    assert tenants(picked(queue, now)) == "zzz"


def test_what_ends_is_given_to_whoever_has_less() -> None:
    """Whoever has all workers that it can have gets no more until the other has as many."""
    queue, now = occupied()
    running = {Key("a", number) for number in range(WORKERS_ALONE)}
    add(queue, "b", 300, Due(at=now))
    for number in range(WORKERS_ALONE):
        now += SLOW_SECONDS
        running.update(picked(queue, now))
        running.remove(Key("a", number))
        queue.done(Key("a", number))
    running.update(picked(queue, now))
    shares = Counter(key.tenant for key in running)
    assert min(shares["a"], shares["b"]) > WORKERS_ALONE // 2


def test_a_host_that_tenants_share_is_used_in_turn() -> None:
    """The capacity of a host or token is given back to whoever waits longest for it."""
    queue = shared(FakeLimits(1))
    for tenant in "abc":
        add(queue, tenant, 9, AT_ONCE, host="shared")
    order = []
    for _ in range(9):
        (key,) = picked(queue, 0.0)
        order.append(key)
        queue.done(key)
    assert tenants(order) == "abcabcabc"


def test_objects_of_a_tenant_take_turns_at_a_host() -> None:
    """One with thousands of numbers, however they are added, does not have those of the others wait for all of them."""
    queue = shared(FakeLimits(1))
    add(queue, "a", 1000, AT_ONCE, host="shared")
    for name in ("small", "other"):
        for number in range(3):
            queue.add(Key("a", number, name), replace(AT_ONCE, limiter_key="shared"))
    order = []
    for number in range(300):
        (key,) = picked(queue, 0.0)
        order.append(key.object)
        queue.done(key)
        queue.add(Key("a", 1000 + number), replace(AT_ONCE, limiter_key="shared"))
    first = order.index("small")
    assert first <= 100
    assert order[first : first + 6] == ["small"] * 3 + ["other"] * 3
    assert set(order[first + 6 :]) == {""}


@pytest.mark.parametrize("seed", range(20))
def test_a_quick_tenant_among_slow_ones(seed: int) -> None:
    """Whatever slow calls of others begin, and when, its keys wait for a moment, and theirs go on being made."""
    rng = random.Random(seed)  # noqa: S311 - a test
    queue, now, ends, serial = shared(), 0.0, dict[Key, float](), count()
    slow = "acde"[: rng.randint(1, 4)]
    for tenant in slow:
        add(queue, tenant, 200, Due(at=0.0, priority=rng.choice(list(Priority)), suspect=rng.random() < 0.5))
    added: dict[Key, float] = {}
    waits, slow_calls = [], 0
    while now < 60:
        if rng.random() < 0.2:
            key = Key("b", next(serial))
            added[key] = now
            queue.add(key, Due(at=now, limiter_key="b"))
        for key in [key for key, at in ends.items() if at <= now]:
            del ends[key]
            if key.tenant != "b":
                # As `requested-at` does, at once and with the highest priority.
                queue.add(key, Due(at=now, priority=Priority.USER, limiter_key=f"{key.tenant}-{key.number}"))
            queue.done(key)
        for key in picked(queue, now):
            if key.tenant == "b":
                waits.append(now - added.pop(key))
            slow_calls += key.tenant != "b"
            ends[key] = now + (0.05 if key.tenant == "b" else SLOW_CALL)
        now += 0.05
    assert max(waits) < 1.0
    assert sum(waits) / len(waits) < 0.1
    assert slow_calls > SIZE * 60 / SLOW_CALL
    assert len(added) < 5


def test_the_cost_of_a_pick_does_not_grow_with_tenants_and_keys() -> None:
    """Ten thousand keys of a hundred tenants: each limiter is asked about once for a key, and not again while full."""
    limits = CountingLimits(1)
    queue = shared(limits)
    for number in range(100):
        add(queue, str(number), 100, AT_ONCE, host=str(number))
    first = picked(queue, 0.0)
    assert (len(first), limits.asked) == (SIZE, SIZE)
    for _ in range(10_000 - SIZE):
        queue.done(first.pop())
        first += picked(queue, 0.0)
    assert limits.asked < 2 * 10_000
    assert queue.pick(0.0) is None
