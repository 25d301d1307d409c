"""The number reconciler: the calls that one number takes, and what becomes of them when it is interrupted."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bek_operator.controller.number_reconciler import NumberReconciler
from bek_operator.controller.result import Result
from bek_operator.controller.state import AwaitingStatusWrite, Idle, NumberKey, NumberState
from bek_operator.controller.store import Store
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.answers import Reading
from bek_operator.numbers.carry_over import with_target
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.next_action import Read, next_action
from bek_operator.numbers.target import Target
from bek_operator.numbers.verdict import Verdict
from bek_operator.status.compute import Blocked
from support import keys
from support.builders import DENIED, NUMBER, UNREACHABLE, public_key, resource, target
from support.builders import facts as number_facts
from support.fakes import FakePhones, now
from support.virtual_time import until, virtual_time

FLOWS = resource()
REF = NumberKey(FLOWS.ref, NUMBER)

NOT_YET = Verdict(Reason.WAITING_FOR_ROLLOUT, "not yet")


def aim(pair: keys.KeyPair, **more: Any) -> Target:
    """Return the number's target with a real key."""
    return target(key=PublicKey(pem=pair.public, fingerprint=pair.fingerprint), **more)


class Bench:
    """A reconciler with one number, and what it returns."""

    def __init__(self, facts: NumberFacts | None = None) -> None:
        self.phones = FakePhones()
        self.phone = self.phones[NUMBER]
        self.store = Store()
        self.store.put(FLOWS)
        self.set_facts(facts or number_facts(aim(keys.rsa())))
        self.reconciler = NumberReconciler(store=self.store, backend=self.phones, clock=now)

    def set_facts(self, *facts: NumberFacts) -> None:
        """Set what is known of the object's numbers."""
        key = facts[0].target.key if facts else public_key()
        self.store.set_targets(FLOWS.ref, key, facts, now())

    @property
    def number(self) -> NumberState:
        """Return the number's state."""
        state = self.store.get(FLOWS.ref)
        assert state
        return state.numbers[NUMBER]

    @property
    def facts(self) -> NumberFacts:
        """Return what is known of the number."""
        return self.number.facts

    @property
    def calls(self) -> list[str]:
        """Return the kinds of all calls."""
        return [call.kind for call in self.phones.calls]

    async def reconcile(self) -> tuple[float | None, int]:
        """Work on the number; return in how many seconds it is due again, and how often its object is."""
        return told(await self.reconciler.reconcile(REF))

    def start(self) -> asyncio.Task[Result]:
        """Begin to work on the number."""
        return asyncio.create_task(self.reconciler.reconcile(REF))


def told(result: Result) -> tuple[float | None, int]:
    """Return in how many seconds a number is due again by a result, and how often its object is."""
    assert result.cancel == ()
    due = result.requeue or next((one.due for one in result.enqueue if one.key == REF), None)
    return due.at - now() if due else None, sum(one.key == FLOWS.ref for one in result.enqueue)


@virtual_time
async def test_a_number_that_is_well_is_read_and_left_until_its_next_check() -> None:
    """One read is all it takes; a second look at it before it is due calls nobody."""
    bench = Bench()
    bench.phone.overwrite(keys.rsa().fingerprint)
    due, news = await bench.reconcile()
    assert bench.calls == ["read"]
    assert bench.facts.reason is Reason.SIGNED
    assert news == 1
    assert due
    assert 500 < due < 700
    due, news = await bench.reconcile()
    assert (bench.calls, news) == (["read"], 0)
    assert due
    assert 500 < due < 700


@virtual_time
async def test_a_number_without_the_key_is_published_to_and_read_again() -> None:
    """What the API says after the publish is what counts."""
    bench = Bench()
    assert (await bench.reconcile())[1] == 1
    assert bench.calls == ["read", "publish", "read"]
    assert bench.facts.reason is Reason.SIGNED
    assert bench.facts.publishes == 1
    assert bench.phone.holds(keys.rsa())
    assert not bench.number.is_unfinished


@virtual_time
async def test_a_number_that_cannot_be_read_is_not_published_to() -> None:
    """A failed call is named, and the number waits for its next try."""
    bench = Bench()
    bench.phone.failure = UNREACHABLE
    due, _ = await bench.reconcile()
    assert bench.calls == ["read"]
    assert bench.facts.reason is Reason.UNREACHABLE
    assert due


@virtual_time
async def test_another_publish_waits_for_the_status_to_show_the_last_one() -> None:
    """A number that lost its key again is due when its status is written, and at no time before."""
    bench = Bench()
    await bench.reconcile()
    bench.phone.overwrite(None)
    bench.set_facts(replace(bench.facts, due=now()))
    due, _ = await bench.reconcile()
    assert bench.calls == ["read", "publish", "read", "read"]
    assert (due, bench.number.phase) == (None, AwaitingStatusWrite())


@virtual_time
async def test_a_number_that_nobody_can_be_called_for_calls_nobody() -> None:
    """The problem that its target has is shown until it has another target."""
    blocked = aim(keys.rsa(), endpoint=None, problem=DENIED)
    bench = Bench(with_target(number_facts(aim(keys.rsa())), blocked, now()))
    assert await bench.reconcile() == (None, 0)
    assert (bench.facts.reason, bench.calls) == (Reason.ACCESS_DENIED, [])


@virtual_time
async def test_a_publish_that_ends_when_nobody_can_be_called_any_more_is_not_forgotten() -> None:
    """The problem stays to be seen, with when was published last; once it is over, the number is looked at."""
    bench = Bench()
    task = bench.start()
    await until(lambda: bench.calls == ["read", "publish"], 1)
    blocked = aim(keys.rsa(), address=bench.facts.target.address, endpoint=None, problem=DENIED)
    bench.set_facts(with_target(bench.facts, blocked, now()))
    task.cancel()
    assert told(await task) == (None, 1)
    assert (bench.facts.reason, bench.facts.publishes) == (Reason.ACCESS_DENIED, 1)
    assert bench.facts.published_at == now()
    after = with_target(bench.facts, aim(keys.rsa()), now())
    assert (after.published.accepted, after.observed, after.resume_from) == (True, False, None)
    assert next_action(after, now(), recorded=True) == Read()


@virtual_time
async def test_a_number_that_is_gone_calls_nobody() -> None:
    """The same for one whose object is gone."""
    bench = Bench()
    bench.set_facts()
    assert await bench.reconciler.reconcile(REF) == Result()
    bench.store.forget(FLOWS.ref)
    assert await bench.reconciler.reconcile(REF) == Result()
    assert bench.calls == []


@virtual_time
async def test_a_number_that_goes_meanwhile_is_left_where_it_is() -> None:
    """What its call told is dropped, nothing is waited for."""
    bench = Bench()
    task = bench.start()
    await until(lambda: bench.phones.under_way, 1)
    bench.set_facts()
    assert await task == Result()
    assert bench.calls == ["read"]


@virtual_time
async def test_an_interrupted_read_tells_nothing() -> None:
    """Nothing is known of it, and the number is not said to be worked on any more."""
    bench = Bench()
    before = bench.facts
    task = bench.start()
    await until(lambda: bench.phones.under_way, 1)
    assert bench.number.is_unfinished
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.facts, bench.number.phase, len(bench.phones.cut_off)) == (before, Idle(), 1)


@virtual_time
async def test_an_interrupted_publish_comes_to_its_end_first() -> None:
    """However often it is interrupted; what it led to is taken in and told, and the number looked at again."""
    bench = Bench()
    bench.phone.seconds = 5.0
    task = bench.start()
    await until(lambda: "publish" in bench.calls, 20)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
    assert told(await task) == (0.0, 1)
    assert bench.phones.cut_off == []
    assert bench.calls == ["read", "publish"]
    assert bench.phone.holds(keys.rsa())
    assert bench.facts.publishes == 1


@virtual_time
async def test_a_number_that_is_to_be_left_alone_is_not_looked_at_after_a_publish() -> None:
    """Its object is told what came of it."""
    bench = Bench()
    bench.phone.seconds = 5.0
    task = bench.start()
    await until(lambda: "publish" in bench.calls, 20)
    bench.store.block(FLOWS.ref, Blocked(ObjectReason.INVALID_KEY, "not a key"))
    task.cancel()
    assert told(await task) == (None, 1)
    assert (bench.facts.publishes, bench.number.phase) == (1, Idle())


@virtual_time
async def test_a_publish_of_a_key_that_is_no_longer_wanted_leads_to_another_look() -> None:
    """What it overwrote is read again, and the wanted key published."""
    bench = Bench()
    bench.phone.seconds = 5.0
    task = bench.start()
    await until(lambda: "publish" in bench.calls, 20)
    bench.set_facts(number_facts(aim(keys.rsa("second"))))
    await task
    assert bench.calls == ["read", "publish", "read", "publish", "read"]
    assert bench.phone.holds(keys.rsa("second"))


@pytest.mark.parametrize(
    "error", [RuntimeError("not foreseen"), asyncio.CancelledError()], ids=["an error", "a cancellation from within"]
)
def test_a_publish_that_ends_as_it_never_should_counts(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """The key may have arrived: the number is looked at again, and the log tells what happened."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        bench.phone.seconds = 5.0
        task = bench.start()
        await until(lambda: "publish" in bench.calls, 20)
        bench.phone.error = error
        due, news = told(await task)
        assert due
        assert (bench.facts.publishes, news) == (1, 1)
        assert bench.facts.reason is Reason.INVALID_ANSWER
        assert bench.facts.read_at is None
        assert bench.number.phase == Idle()

    run()
    assert [record.getMessage() for record in caplog.records] == ["unexpected error during an API call"]
    assert caplog.records[0].exc_info


@virtual_time
async def test_a_read_that_ends_as_it_never_should_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    """It is repeated soon, and the row and the log say why."""
    bench = Bench()
    bench.phone.error = RuntimeError("not foreseen")
    due, news = await bench.reconcile()
    assert due
    assert due < 2
    assert (news, bench.facts.reason, bench.facts.published_at) == (1, Reason.INVALID_ANSWER, None)
    assert [record.getMessage() for record in caplog.records] == ["unexpected error during an API call"]


@virtual_time
async def test_others_hear_that_the_number_that_goes_first_has_failed() -> None:
    """They wait for it, though its row says nothing new of that."""
    another = Reading(status=SignatureStatus.VALID, fingerprint=keys.rsa("second").fingerprint)
    facts = number_facts(aim(keys.rsa()), observed=True, carried=None, hold=NOT_YET, due=now())
    bench = Bench(replace(facts, reading=another))
    assert bench.store.allows(REF, bench.facts, now())
    before = bench.facts
    bench.phone.failure = UNREACHABLE
    assert (await bench.reconcile())[1] == 1
    assert (bench.facts.looks_like(before), bench.facts.failures) == (True, 1)
