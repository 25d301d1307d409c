"""Plan: from an object and its Secrets to a target for each number, and what is done about what is missing."""

import asyncio
from collections.abc import Callable

import pytest

from bek_operator.controller.key_reconciler import VANISHED_SECONDS, KeyReconciler
from bek_operator.controller.number_queue import NumberQueue
from bek_operator.controller.store import KeyState, NumberKey, Store
from bek_operator.controller.workers import Workers
from bek_operator.controller.workqueue import WorkQueue
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.crd.types import ObjectKey
from bek_operator.keys.cache import KeyCache
from bek_operator.keys.public_key import InvalidKey, PublicKey
from bek_operator.numbers.observation import Observation
from bek_operator.status.compute import Blocked, status_of
from support import keys
from support.builders import (
    KEY_SECRET,
    LOGIN_SECRET,
    NOW,
    NUMBER,
    egress,
    observation,
    public_key,
    signed,
    spec_body,
    target,
)
from support.fakes import FakeObjects, FakeSecrets, now, number, numbers, unavailable
from support.virtual_time import virtual_time


async def nothing(_: NumberKey) -> None:
    """Stand for work that is never done here."""


class Bench:
    """A planner, and what it hands on."""

    def __init__(self) -> None:
        self.objects, self.secrets = FakeObjects(), FakeSecrets()
        self.secrets.put_key(keys.rsa())
        self.secrets.put_credentials("first")
        self.store = Store()
        self.queue_: WorkQueue[NumberKey] = WorkQueue()
        self.again: list[tuple[ObjectKey, float]] = []
        self.planner = KeyReconciler(
            store=self.store,
            objects=self.objects,
            secrets=self.secrets,
            keys=KeyCache(),
            egress=egress(),
            numbers=NumberQueue(Workers("numbers", self.queue_, nothing, 1, now)),
            again=lambda ref, at: self.again.append((ref, round(at - NOW))),
            clock=now,
        )

    async def plan(self, ref: ObjectKey) -> KeyState:
        """Plan an object that there is something to report of."""
        entry = await self.planner.plan(ref)
        assert entry
        return entry

    async def plan_again(self, ref: ObjectKey) -> KeyState:
        """Plan an object once more, after a hint about one of its Secrets."""
        known = self.store.get(ref)
        assert known
        known.secrets_stale = True
        return await self.plan(ref)

    def due(self, at: float = 0.0) -> list[str]:
        """Hand out the numbers that are due at an instant, as if each were done at once."""
        found = []
        while ref := self.queue_.pick(NOW + at):
            self.queue_.done(ref)
            found.append(ref.number)
        return found


@virtual_time
async def test_a_new_object_has_all_its_numbers_looked_at() -> None:
    """Each gets a target with the Secret's key and an endpoint of its own."""
    bench = Bench()
    entry = await bench.plan(bench.objects.create(wanted=spec_body(numbers(3))))
    assert isinstance(entry.key, PublicKey)
    assert [seen.target.key.fingerprint for seen in entry.known.values()] == [keys.rsa().fingerprint] * 3
    assert len({seen.target.address for seen in entry.known.values()}) == 3
    assert sorted(bench.due()) == numbers(3)


@virtual_time
async def test_nothing_is_read_again_before_there_is_a_hint() -> None:
    """Further passes over an object talk to nobody."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.plan(ref)
    await bench.plan(ref)
    assert len(bench.objects.reads) == 1
    assert sorted(bench.secrets.reads) == [KEY_SECRET, LOGIN_SECRET]


@virtual_time
async def test_what_is_known_is_in_the_order_of_the_spec() -> None:
    """However the numbers came in: otherwise a restart would write the same status in other words."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(2)))
    await bench.plan(ref)
    bench.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(9)}, {"phoneNumber": number(1)}])
    bench.store.hear(ref)
    entry = await bench.plan(ref)
    assert list(entry.known) == [number(9), number(1)]


@pytest.mark.parametrize("server", ["objects", "secrets"])
def test_an_api_server_that_does_not_answer_changes_nothing(server: str) -> None:
    """The error is passed on, and the next plan reads what this one could not."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        ref = bench.objects.create()
        fake = bench.objects if server == "objects" else bench.secrets
        fake.error = unavailable()
        for _ in range(2):
            with pytest.raises(type(unavailable())):
                await bench.planner.plan(ref)
        assert bench.due() == []
        fake.error = None
        assert list((await bench.plan(ref)).known) == [NUMBER]
        bench.store.hear(ref)
        bench.objects.error = unavailable()
        with pytest.raises(type(unavailable())):
            await bench.planner.plan(ref)
        assert bench.store.begin_reading(ref)

    run()


@virtual_time
async def test_an_error_while_targets_are_made_claims_nothing() -> None:
    """An error that nobody foresaw leaves the object to be planned again, not half planned."""
    bench = Bench()
    ref = bench.objects.create()
    bench.planner._clock = broken
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await bench.planner.plan(ref)
    bench.planner._clock = now
    assert list((await bench.plan(ref)).known) == [NUMBER]


def broken() -> float:
    """Tell no time."""
    raise RuntimeError("not foreseen")


@virtual_time
async def test_an_object_that_is_gone_is_forgotten_and_those_in_its_way_are_woken() -> None:
    """The younger object of two on one number is planned again when the older one is gone."""
    bench = Bench()
    older = bench.objects.create("older", created=0)
    younger = bench.objects.create("younger", created=1)
    await bench.plan(older)
    entry = await bench.plan(younger)
    assert [seen.reason for seen in entry.known.values()] == [Reason.DUPLICATE_NUMBER]
    bench.again.clear()
    bench.objects.delete(older)
    bench.store.hear(older)
    assert await bench.planner.plan(older) is None
    assert bench.again == [(younger, 0)]
    entry = await bench.plan(younger)
    assert [seen.target.problem for seen in entry.known.values()] == [None]
    assert bench.due() == [NUMBER]


@virtual_time
async def test_an_object_that_is_going_is_gone() -> None:
    """One that somebody else's finalizer holds back is left alone from its deletion on."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.plan(ref)
    bench.objects.mark_deleted(ref)
    bench.store.hear(ref)
    assert await bench.planner.plan(ref) is None
    assert bench.due(1e6) == []


MISSING: dict[str, tuple[Callable[[FakeSecrets], object], ObjectReason]] = {
    "there is no Secret": (lambda secrets: secrets.remove(KEY_SECRET), ObjectReason.SECRET_NOT_FOUND),
    "it may not be read": (lambda secrets: secrets.forbidden.add(KEY_SECRET), ObjectReason.SECRET_NOT_FOUND),
    "there is no key in it": (lambda secrets: secrets.put(KEY_SECRET, other="x"), ObjectReason.INVALID_KEY),
    "it holds no key": (lambda secrets: secrets.put(KEY_SECRET, public_pem="sesame"), ObjectReason.INVALID_KEY),
}


@pytest.mark.parametrize(("change", "reason"), MISSING.values(), ids=MISSING.keys())
def test_an_unusable_key_is_an_obstacle(change: Callable[[FakeSecrets], object], reason: ObjectReason) -> None:
    """Nobody is called without one, and what the Secret holds instead is not told."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        change(bench.secrets)
        entry = await bench.plan(bench.objects.create())
        assert isinstance(entry.key, Blocked)
        assert entry.key.reason is reason
        assert KEY_SECRET in entry.key.message
        assert "sesame" not in entry.key.message
        assert bench.due(1e6) == []

    run()


@virtual_time
async def test_numbers_stand_still_while_the_key_is_unusable() -> None:
    """They are stopped where they are, keep what is known, and go on with the next usable key."""
    bench = Bench()
    ref = bench.objects.create()
    before = dict((await bench.plan(ref)).known)
    bench.secrets.put(KEY_SECRET, public_pem="not a key")
    entry = await bench.plan_again(ref)
    assert entry.at_rest
    assert entry.known == before
    assert bench.due(1e6) == []
    bench.secrets.put_key(keys.rsa())
    entry = await bench.plan_again(ref)
    assert not entry.at_rest
    assert bench.due() == [NUMBER]


VANISHED: dict[str, Callable[[FakeSecrets], object]] = {
    "there is none": lambda secrets: secrets.remove(KEY_SECRET),
    "it may not be read": lambda secrets: secrets.forbidden.add(KEY_SECRET),
}


@pytest.mark.parametrize("vanish", VANISHED.values(), ids=VANISHED.keys())
@virtual_time
async def test_a_secret_that_has_just_vanished_is_waited_for(vanish: Callable[[FakeSecrets], object]) -> None:
    """There is nothing to report before two seconds are over; then it is missing."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.plan(ref)
    vanish(bench.secrets)
    entry = bench.store.get(ref)
    assert entry
    entry.secrets_stale = True
    for _ in range(2):
        assert await bench.planner.plan(ref) is None
        assert bench.again.pop() == (ref, VANISHED_SECONDS)
        assert isinstance(entry.key, PublicKey)
        await asyncio.sleep(VANISHED_SECONDS / 2)
    assert isinstance((await bench.plan(ref)).key, Blocked)


@virtual_time
async def test_a_secret_that_may_not_be_read_is_looked_for_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody tells when a role is mended; the row and the log say that it has to be."""
    bench = Bench()
    bench.secrets.forbidden = {LOGIN_SECRET}
    ref = bench.objects.create()
    entry = await bench.plan(ref)
    (seen,) = entry.known.values()
    assert seen.reason is Reason.CREDENTIALS_NOT_FOUND
    assert seen.message == f"Secret {LOGIN_SECRET} may not be read: the operator's roles do not allow it"
    assert (ref, 60) in bench.again
    assert [record.getMessage() for record in caplog.records] == ["a Secret may not be read: not for us"]


@virtual_time
async def test_passes_before_that_minute_is_over_read_nothing() -> None:
    """Numbers that end one after the other have their object passed; each pass leaves the minute as it is."""
    bench = Bench()
    bench.secrets.forbidden = {LOGIN_SECRET}
    ref = bench.objects.create()
    for _ in range(6):
        await bench.plan(ref)
        assert bench.again.pop() == (ref, 60)
        await asyncio.sleep(9.9)
    assert bench.secrets.reads.count(LOGIN_SECRET) == 1
    await asyncio.sleep(1)
    await bench.plan(ref)
    assert bench.secrets.reads.count(LOGIN_SECRET) == 2
    bench.secrets.forbidden = set()
    await bench.plan_again(ref)
    bench.again.clear()
    await asyncio.sleep(100)
    await bench.plan(ref)
    assert (bench.secrets.reads.count(LOGIN_SECRET), bench.again) == (3, [])


@virtual_time
async def test_secrets_are_referred_to_before_they_are_read() -> None:
    """So that nothing is missed of what happens to them meanwhile."""
    bench = Bench()
    bench.secrets.error = unavailable()
    ref = bench.objects.create()
    with pytest.raises(type(unavailable())):
        await bench.planner.plan(ref)
    assert bench.store.referrers(ref.namespace, KEY_SECRET) == {ref}


@virtual_time
async def test_healthy_numbers_of_a_last_life_are_spread_over_their_interval() -> None:
    """A restart does not ask all of them at once, and calls nothing untried."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(100)))
    entry = await bench.plan(ref)
    known = {one: signed(seen.target) for one, seen in entry.known.items()}
    assert isinstance(entry.key, PublicKey)
    bench.objects.overwrite_status(ref, status_of(entry.resource, entry.key, known, NOW))
    after = Bench()
    after.objects = bench.objects
    after.planner._objects = bench.objects
    entry = await after.plan(ref)
    assert not entry.not_observed | entry.active
    soon = len(after.due(300))
    assert 20 < soon < 80
    assert soon + len(after.due(600)) == 100


@virtual_time
async def test_a_suspended_object_hands_on_no_number() -> None:
    """Its targets are made all the same, for the status to compare with."""
    bench = Bench()
    entry = await bench.plan(bench.objects.create(wanted=spec_body(suspend=True)))
    assert list(entry.known) == [NUMBER]
    assert bench.due(1e6) == []


def test_what_a_person_waits_for_goes_first() -> None:
    """Then a new key, then repair, then checks; and after its equals, what may well hang."""
    queue_: WorkQueue[NumberKey] = WorkQueue()
    queue = NumberQueue(Workers("numbers", queue_, nothing, 1, lambda: NOW))
    old, new = target(), target(key=public_key("new"))
    waiting: dict[str, tuple[Observation, Observation | None]] = {
        "check": (signed(), None),
        "a check that failed": (signed(failures=1), None),
        "repair": (observation(observed=True, reason=Reason.NOT_PUBLISHED), None),
        "unreachable before a restart": (observation(observed=True, reason=Reason.UNREACHABLE), None),
        "new key": (observation(new, read_at=NOW), signed(old)),
        "new key for one that failed": (observation(new, read_at=NOW), signed(old, failures=2)),
        "new number": (observation(), None),
        "new spec for a number that answers": (observation(read_at=NOW), None),
    }
    ref = ObjectKey("messaging", "flows")
    for name, (seen, before) in waiting.items():
        queue.enqueue(NumberKey(ref, name), seen, NOW, before=before)
    found = []
    while picked := queue_.pick(NOW):
        found.append(picked.number)
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


@virtual_time
async def test_a_key_is_parsed_once_however_many_objects_share_it() -> None:
    """A cache tells entries and passphrases apart, and remembers what cannot be used, too."""
    cache = KeyCache()
    data = {"public.pem": keys.rsa().public.encode(), "other.pem": b"not a key"}
    found = await cache.parse(data, None, None)
    assert await cache.parse(dict(data), None, None) is found
    assert await cache.parse(data, "public.pem", None) == found
    for _ in range(2):
        with pytest.raises(InvalidKey):
            await cache.parse(data, "other.pem", None)
    assert "BEGIN" not in repr(vars(cache))
