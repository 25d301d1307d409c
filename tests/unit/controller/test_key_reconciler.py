"""The key reconciler: from an object and its Secrets to a target for each number, and to its status."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from bek_operator.cluster.errors import ClusterError, Conflict, NotFound
from bek_operator.controller.derivations import DerivationReconciler
from bek_operator.controller.informer import Informer
from bek_operator.controller.key_reconciler import KeyReconciler
from bek_operator.controller.result import Result
from bek_operator.controller.secret_cache import SecretCache
from bek_operator.controller.secrets_state import REPLACEMENT_SECONDS
from bek_operator.controller.state import AwaitingStatusWrite, Idle, KeyState, NumberKey
from bek_operator.controller.status_writer import StatusWriter
from bek_operator.controller.store import Store
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.crd.status import render_status
from bek_operator.crd.types import ObjectKey
from bek_operator.keys.cache import KeyCache
from bek_operator.keys.public_key import InvalidKey, PublicKey
from bek_operator.numbers.answers import Accepted
from bek_operator.numbers.facts import NumberFacts, PublishRecord
from bek_operator.numbers.transitions import after_publish
from bek_operator.status.compute import Blocked, status_of
from support import keys
from support.builders import KEY_SECRET, LOGIN_SECRET, NOW, NUMBER, egress, signed, spec_body
from support.fakes import FakeEvents, FakeLimits, FakeObjects, FakeSecrets, now, number, numbers, unavailable
from support.virtual_time import virtual_time
from support.world import World, derive_at_once


class Bench:
    """A key reconciler between an API server and numbers that nobody works on."""

    def __init__(self, objects: FakeObjects | None = None) -> None:
        self.objects, self.secrets, self.events = objects or FakeObjects(), FakeSecrets(), FakeEvents()
        self.secrets.put_key(keys.rsa())
        self.secrets.put_credentials("first")
        self.limits = FakeLimits(8)
        self.store = Store()
        self.informer = Informer(self.objects)
        self.objects.event_handlers = [self.informer.on_event]
        self.objects.show_all()
        self.is_broken: Callable[[], bool] = lambda: False
        self.reconciler = KeyReconciler(
            store=self.store,
            objects=self.informer,
            secrets=SecretCache(self.secrets, lambda: self.store.sequence),
            keys=DerivationReconciler(derive=derive_at_once, clock=self._now),
            egress=egress(),
            writer=StatusWriter(store=self.store, objects=self.informer, events=self.events, clock=now),
            limits=self.limits,
            clock=self._now,
        )

    def _now(self) -> float:
        if self.is_broken():
            raise RuntimeError("not foreseen")
        return now()

    async def reconcile(self, ref: ObjectKey) -> Result:
        """Reconcile an object once."""
        return await self.reconciler.reconcile(ref)

    async def reread(self, ref: ObjectKey) -> Result:
        """Reconcile an object after an event about its Secrets."""
        self.store.expire_secrets(ref)
        return await self.reconcile(ref)

    def state(self, ref: ObjectKey) -> KeyState:
        """Return the state of an object."""
        state = self.store.get(ref)
        assert state
        return state

    def answer(self, ref: ObjectKey, learn: Callable[[NumberFacts], NumberFacts], *wanted: str) -> None:
        """Have numbers worked on, all unless told, and learn something of each."""
        for name in wanted or self.state(ref).numbers:
            key = NumberKey(ref, name)
            facts = self.store.start(key, now())
            assert facts
            self.store.record(key, facts.target, learn, now())
            self.store.stop(key, Idle())

    @property
    def written(self) -> int:
        """Return how often a status was written."""
        return len(self.objects.writes)


def due(result: Result, seconds: float = 0.0) -> list[str]:
    """Return the numbers that a result has worked on within so many seconds."""
    return [
        one.key.number for one in result.enqueue if isinstance(one.key, NumberKey) and one.due.at <= now() + seconds
    ]


def requeue(result: Result) -> float | None:
    """Return in how many seconds an object is due again by a result."""
    return None if result.requeue is None else round(result.requeue.at - now(), 3)


def well(facts: NumberFacts) -> NumberFacts:
    """Find a number to be as it should be."""
    return signed(facts.target, read_at=now(), due=now() + 600)


@virtual_time
async def test_a_new_object_has_all_its_numbers_looked_at() -> None:
    """Each gets a target with the Secret's key and an endpoint of its own."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(3)))
    result = await bench.reconcile(ref)
    state = bench.state(ref)
    assert isinstance(state.key, PublicKey)
    assert [facts.target.key.fingerprint for facts in state.facts.values()] == [keys.rsa().fingerprint] * 3
    assert len({facts.target.address for facts in state.facts.values()}) == 3
    assert (due(result), result.cancel) == (numbers(3), ())


@virtual_time
async def test_nothing_is_read_again_before_there_is_an_event() -> None:
    """The watch delivered the object; further turns of it talk to nobody, and have nobody worked on."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    assert (await bench.reconcile(ref)).enqueue == ()
    assert bench.objects.reads == []
    assert sorted(bench.secrets.reads) == [KEY_SECRET, LOGIN_SECRET]


@virtual_time
async def test_what_is_known_is_in_the_order_of_the_spec() -> None:
    """However the numbers came in: otherwise a restart would write the same status in other words."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(2)))
    await bench.reconcile(ref)
    bench.objects.edit(ref, phoneNumbers=[{"phoneNumber": number(9)}, {"phoneNumber": number(1)}])
    result = await bench.reconcile(ref)
    assert list(bench.state(ref).numbers) == [number(9), number(1)]
    assert result.cancel == (NumberKey(ref, number(2)),)


@virtual_time
async def test_a_number_that_is_being_worked_on_is_left_to_that() -> None:
    """It goes on by what is known now, unless its target has changed: then it is interrupted, and due again."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(2)))
    await bench.reconcile(ref)
    bench.store.start(NumberKey(ref, number(1)), now())
    result = await bench.reread(ref)
    assert (due(result), result.cancel) == ([number(2)], ())
    bench.secrets.put_credentials("second")
    result = await bench.reread(ref)
    assert (due(result), len(result.cancel)) == (numbers(2), 2)


@virtual_time
async def test_an_api_server_that_does_not_answer_changes_nothing() -> None:
    """The error is passed on, and the next turn reads what this one could not."""
    bench = Bench()
    ref = bench.objects.create()
    bench.secrets.error = unavailable()
    for _ in range(2):
        with pytest.raises(type(unavailable())):
            await bench.reconcile(ref)
    bench.secrets.error = None
    assert due(await bench.reconcile(ref)) == [NUMBER]
    bench.objects.refusal = Conflict("another version")
    await asyncio.sleep(3)
    await bench.reconcile(ref)
    bench.objects.error = unavailable()
    for _ in range(2):
        with pytest.raises(type(unavailable())):
            await bench.reconcile(ref)
    bench.objects.error = bench.objects.refusal = None
    bench.answer(ref, well)
    await bench.reconcile(ref)
    assert bench.objects.ready(ref) == ("True", "Succeeded")
    assert bench.objects.reads == [ref] * 3


@virtual_time
async def test_an_error_while_targets_are_made_changes_nothing() -> None:
    """One that nobody foresaw leaves the object to be reconciled again, not half done."""
    bench = Bench()
    ref = bench.objects.create()
    bench.is_broken = lambda: bool(bench.secrets.reads)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await bench.reconcile(ref)
    bench.is_broken = lambda: False
    assert due(await bench.reconcile(ref)) == [NUMBER]


@virtual_time
async def test_an_object_that_is_gone_is_forgotten_and_those_in_its_way_are_woken() -> None:
    """The younger object of two on one number is reconciled again when the older one is gone."""
    bench = Bench()
    older = bench.objects.create("older", created=0)
    younger = bench.objects.create("younger", created=1)
    await bench.reconcile(older)
    result = await bench.reconcile(younger)
    assert [one.key for one in result.enqueue] == [older]
    await bench.reconcile(younger)
    assert [facts.reason for facts in bench.state(younger).facts.values()] == [Reason.DUPLICATE_NUMBER]
    bench.objects.delete(older)
    result = await bench.reconcile(older)
    assert ([one.key for one in result.enqueue], result.cancel) == ([younger], (NumberKey(older, NUMBER),))
    assert requeue(result) is None
    assert due(await bench.reconcile(younger)) == [NUMBER]
    assert [facts.target.problem for facts in bench.state(younger).facts.values()] == [None]


@virtual_time
async def test_an_object_that_is_going_is_gone() -> None:
    """One that somebody else's finalizer holds back is left alone from its deletion on."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    bench.objects.mark_deleted(ref)
    assert await bench.reconcile(ref) == Result(cancel=(NumberKey(ref, NUMBER),))
    assert bench.store.get(ref) is None
    assert await bench.reconcile(ref) == Result()


MISSING: dict[str, tuple[Callable[[FakeSecrets], object], ObjectReason]] = {
    "there is no Secret": (lambda secrets: secrets.remove(KEY_SECRET), ObjectReason.SECRET_NOT_FOUND),
    "it may not be read": (lambda secrets: secrets.forbidden.add(KEY_SECRET), ObjectReason.SECRET_NOT_FOUND),
    "there is no key in it": (lambda secrets: secrets.put(KEY_SECRET, other="x"), ObjectReason.INVALID_KEY),
    "it holds no key": (lambda secrets: secrets.put(KEY_SECRET, public_pem="sesame"), ObjectReason.INVALID_KEY),
}


@pytest.mark.parametrize(("change", "reason"), MISSING.values(), ids=MISSING.keys())
def test_without_a_usable_key_nobody_is_called(change: Callable[[FakeSecrets], object], reason: ObjectReason) -> None:
    """The status says so at once, and does not tell what the Secret holds instead."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        change(bench.secrets)
        ref = bench.objects.create()
        assert due(await bench.reconcile(ref), 1e6) == []
        key = bench.state(ref).key
        assert isinstance(key, Blocked)
        assert key.reason is reason
        assert KEY_SECRET in key.message
        assert "sesame" not in key.message
        assert bench.objects.ready(ref) == ("False", reason)

    run()


@virtual_time
async def test_numbers_stand_still_while_the_key_is_unusable() -> None:
    """They are stopped where they are, keep what is known, and go on with the next usable key."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    before = bench.state(ref).facts
    bench.secrets.put(KEY_SECRET, public_pem="not a key")
    result = await bench.reread(ref)
    assert (result.cancel, due(result, 1e6)) == ((NumberKey(ref, NUMBER),), [])
    assert bench.state(ref).is_at_rest
    assert bench.state(ref).facts == before
    bench.secrets.put_key(keys.rsa())
    assert due(await bench.reread(ref)) == [NUMBER]
    assert not bench.state(ref).is_at_rest


VANISHED: dict[str, Callable[[FakeSecrets], object]] = {
    "there is none": lambda secrets: secrets.remove(KEY_SECRET),
    "it may not be read": lambda secrets: secrets.forbidden.add(KEY_SECRET),
}


@pytest.mark.parametrize("vanish", VANISHED.values(), ids=VANISHED.keys())
@virtual_time
async def test_a_secret_that_has_just_vanished_is_waited_for(vanish: Callable[[FakeSecrets], object]) -> None:
    """Nothing is made of it before two seconds are over; then it is missing."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    vanish(bench.secrets)
    bench.store.expire_secrets(ref)
    for left in (REPLACEMENT_SECONDS, REPLACEMENT_SECONDS / 2):
        result = await bench.reconcile(ref)
        assert (requeue(result), result.cancel, result.enqueue) == (left, (), ())
        assert isinstance(bench.state(ref).key, PublicKey)
        await asyncio.sleep(REPLACEMENT_SECONDS / 2)
    await bench.reconcile(ref)
    assert isinstance(bench.state(ref).key, Blocked)


@virtual_time
async def test_a_secret_that_may_not_be_read_is_looked_for_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    """No event tells when a role is mended; the row and the log say that it has to be."""
    bench = Bench()
    bench.secrets.forbidden = {LOGIN_SECRET}
    ref = bench.objects.create()
    for _ in range(6):
        await bench.reconcile(ref)
        await asyncio.sleep(9.9)
        assert requeue(await bench.reconcile(ref)) in {round(60 - now() + NOW, 3), 0.0}
    assert bench.secrets.reads.count(LOGIN_SECRET) == 1
    (facts,) = bench.state(ref).facts.values()
    assert facts.reason is Reason.CREDENTIALS_NOT_FOUND
    assert facts.message == f"Secret {LOGIN_SECRET} cannot be read: RBAC forbids the operator to get it"
    assert [record.getMessage() for record in caplog.records][:1] == ["cannot read a Secret: not for us"]
    await asyncio.sleep(1)
    await bench.reconcile(ref)
    assert bench.secrets.reads.count(LOGIN_SECRET) == 2
    bench.secrets.forbidden = set()
    await bench.reread(ref)
    await asyncio.sleep(100)
    await bench.reconcile(ref)
    assert bench.secrets.reads.count(LOGIN_SECRET) == 3


@virtual_time
async def test_an_event_about_a_secret_counts_from_before_it_is_read() -> None:
    """So that nothing is missed of what happens to it meanwhile."""
    bench = Bench()
    bench.secrets.error = unavailable()
    ref = bench.objects.create()
    with pytest.raises(type(unavailable())):
        await bench.reconcile(ref)
    assert bench.store.secret_changed(ref.namespace, KEY_SECRET, "2") == [ref]


@virtual_time
async def test_healthy_numbers_of_a_last_life_are_spread_over_their_interval() -> None:
    """A restart does not ask all of them at once, and calls nothing untried."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(100)))
    await bench.reconcile(ref)
    state = bench.state(ref)
    known = {one: signed(facts.target) for one, facts in state.facts.items()}
    assert isinstance(state.key, PublicKey)
    bench.objects.overwrite_status(ref, render_status(status_of(state.resource, state.key, known, NOW)))
    after = Bench(bench.objects)
    result = await after.reconcile(ref)
    assert after.state(ref).work.unfinished == 0
    assert 20 < len(due(result, 300)) < 80
    assert len(due(result, 601)) == 100


@virtual_time
async def test_a_suspended_object_has_no_number_worked_on() -> None:
    """Its targets are made all the same, for the status to compare with."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(suspend=True))
    result = await bench.reconcile(ref)
    assert list(bench.state(ref).numbers) == [NUMBER]
    assert due(result, 1e6) == []


@virtual_time
async def test_a_status_that_says_something_new_is_written_once() -> None:
    """Then events go out; a second time nothing is written."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    bench.answer(ref, well)
    assert requeue(await bench.reconcile(ref)) is None
    assert bench.objects.ready(ref) == ("True", "Succeeded")
    assert bench.events.reasons == ["Succeeded"]
    await asyncio.sleep(100)
    await bench.reconcile(ref)
    assert (bench.written, len(bench.events.posted)) == (1, 1)


@virtual_time
async def test_while_numbers_wait_for_a_worker_the_status_is_written_once_in_two_seconds() -> None:
    """What a change leads to in a tenth of a second is written together; the last of it is written at once."""
    bench = Bench()
    ref = bench.objects.create(wanted=spec_body(numbers(4)))
    await bench.reconcile(ref)
    for count, (name, seconds) in enumerate(zip(numbers(3), [0.1, 2.0, 2.0], strict=True)):
        bench.answer(ref, well, name)
        assert (requeue(await bench.reconcile(ref)), bench.written) == (seconds, count)
        await asyncio.sleep(seconds)
        await bench.reconcile(ref)
        assert bench.written == count + 1
    bench.answer(ref, well, number(4))
    await bench.reconcile(ref)
    assert bench.objects.ready(ref) == ("True", "Succeeded")


@virtual_time
async def test_numbers_that_wait_for_capacity_are_counted() -> None:
    """Numbers that were not looked at for want of calls are told from those whose answer is about to come."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    limiter_key = bench.state(ref).facts[NUMBER].target.limiter_key
    for until, words in ((now() + 60, "; 1 waiting for the API rate limit"), (now(), "")):
        bench.limits.closed_until[limiter_key, True] = until
        await asyncio.sleep(2)
        await bench.reconcile(ref)
        message = bench.objects.status(ref)["conditions"][0]["message"]
        assert message == f"checked 0 of 1 number since the last change (not yet {NUMBER}){words}"


@virtual_time
async def test_numbers_are_handed_on_before_a_status_is_written() -> None:
    """A write that fails, or takes its time, holds up nobody; what waited for one goes on when it has succeeded."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    bench.answer(ref, well)
    await bench.reconcile(ref)
    bench.answer(ref, lambda facts: after_publish(facts, Accepted(), now()))
    key = NumberKey(ref, NUMBER)
    bench.store.start(key, now())
    bench.store.stop(key, AwaitingStatusWrite())
    bench.secrets.put_credentials("second")
    bench.objects.error = unavailable()
    assert due(await bench.reread(ref)) == [NUMBER]
    bench.store.start(key, now())
    bench.store.stop(key, AwaitingStatusWrite())
    await asyncio.sleep(3)
    with pytest.raises(type(unavailable())):
        await bench.reconcile(ref)
    bench.objects.error = None
    await asyncio.sleep(3)
    assert due(await bench.reconcile(ref)) == [NUMBER]


@pytest.mark.parametrize("gone", [False, True], ids=["somebody else wrote", "the object is gone"])
@virtual_time
async def test_a_write_that_is_rejected_has_the_object_read(*, gone: bool) -> None:
    """Where no event tells of it, nobody goes on as if it had been written, and no event is posted."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    bench.answer(ref, well)
    bench.objects.event_handlers = []
    if gone:
        bench.objects.delete(ref)
    else:
        bench.objects.touch(ref)
    result = await bench.reconcile(ref)
    assert (requeue(result), result.enqueue, bench.events.posted) == (0.0, (), [])
    assert bench.objects.reads == []
    await bench.reconcile(ref)
    assert bench.objects.reads == [ref]
    assert (bench.store.get(ref) is None, bench.written) == (gone, 0 if gone else 1)


@pytest.mark.parametrize("refusal", [NotFound("no such page"), Conflict("never")], ids=["not found", "conflict"])
@virtual_time
async def test_a_write_that_is_rejected_for_ever_is_tried_once_a_second(
    refusal: ClusterError, caplog: pytest.LogCaptureFixture
) -> None:
    """A definition that has no status is told in the log, and calls neither the API server nor a number on end."""
    caplog.set_level(logging.INFO)
    world = World()
    world.objects.seconds = 0.01
    world.objects.refusal = refusal
    ref = world.objects.create(wanted=spec_body([NUMBER]))
    async with world.operator():
        await asyncio.sleep(30)
        assert 20 < world.objects.refused < 35
        assert len(world.objects.reads) < 40
        assert len(world.phones.calls) < 5
        message = f"status update rejected (conflict or gone), retrying: {refusal}"
        logged = [record for record in caplog.records if record.getMessage() == message]
        assert len(logged) == world.objects.refused
        world.objects.refusal = None
        await world.until_ready(ref, 5)


@virtual_time
async def test_an_event_names_why_a_key_was_published_again() -> None:
    """The cause is that of the number when it was published."""
    bench = Bench()
    ref = bench.objects.create()
    await bench.reconcile(ref)
    bench.answer(ref, lambda facts: replace(well(facts), published=PublishRecord(at=NOW, count=1)))
    await bench.reconcile(ref)
    bench.events.posted.clear()
    again = PublishRecord(at=NOW + 9, count=2, cause=Reason.FOREIGN_KEY)
    bench.answer(ref, lambda facts: replace(facts, published=again))
    await asyncio.sleep(1)
    await bench.reconcile(ref)
    assert bench.events.reasons == ["ForeignKey"]


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


async def test_a_key_is_parsed_once_for_all_who_ask_at_the_same_time() -> None:
    """Decrypting one can take seconds, and a thousand objects may be waiting for it."""
    cache = KeyCache()
    data = {"public.pem": keys.rsa().public.encode()}
    first, *others = await asyncio.gather(*(cache.parse(data, None, None) for _ in range(100)))
    assert all(one is first for one in others)
