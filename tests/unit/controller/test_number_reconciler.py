"""Sign: the calls that one number takes, and what becomes of them when something else is wanted meanwhile."""

import asyncio
import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from bek_operator.controller.number_reconciler import NumberReconciler
from bek_operator.controller.store import NumberKey, Store
from bek_operator.crd.reasons import Reason
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.next_action import Read, decide
from bek_operator.numbers.observation import Observation, with_target
from bek_operator.numbers.rollout import RolloutGate
from bek_operator.numbers.target import Target
from support import keys
from support.builders import DENIED, NUMBER, UNREACHABLE, observation, resource, target
from support.fakes import FakePhones, now
from support.virtual_time import until, virtual_time

FLOWS = resource()
REF = NumberKey(FLOWS.ref, NUMBER)


def aim(pair: keys.KeyPair, **more: Any) -> Target:
    """Return the number's target with a real key."""
    return target(key=PublicKey(pem=pair.public, fingerprint=pair.fingerprint), **more)


class Bench:
    """A signer with one number, and what it says."""

    def __init__(self, seen: Observation | None = None) -> None:
        self.phones = FakePhones()
        self.phone = self.phones[NUMBER]
        self.store = Store()
        self.entry = self.store.adopt(FLOWS)
        self.store.put(FLOWS.ref, seen or observation(aim(keys.rsa())))
        self.waits: list[float | None] = []
        self.reports = 0
        self.signer = NumberReconciler(
            store=self.store,
            backend=self.phones,
            wait=lambda _, __, until: self.waits.append(until if until is None else until - now()),
            report=self._report,
            clock=now,
        )

    def _report(self, ref: NumberKey) -> None:
        assert ref == REF
        self.reports += 1

    @property
    def seen(self) -> Observation:
        """Return what is known of the number."""
        return self.entry.known[NUMBER]

    @property
    def calls(self) -> list[str]:
        """Return the kinds of all calls."""
        return [call.kind for call in self.phones.calls]

    def start(self) -> asyncio.Task[None]:
        """Begin to sign the number."""
        return asyncio.create_task(self.signer.reconcile(REF))


@virtual_time
async def test_a_number_that_is_well_is_read_and_left_until_its_next_check() -> None:
    """One read is all it takes; a second look at it before it is due calls nobody."""
    bench = Bench()
    bench.phone.overwrite(keys.rsa().fingerprint)
    await bench.signer.reconcile(REF)
    assert bench.calls == ["read"]
    assert bench.seen.reason is Reason.SIGNED
    assert bench.reports == 1
    await bench.signer.reconcile(REF)
    assert bench.calls == ["read"]
    assert bench.reports == 1
    assert all(wait and 500 < wait < 700 for wait in bench.waits)


@virtual_time
async def test_a_number_without_the_key_is_published_to_and_read_again() -> None:
    """What the API says after the publish is what counts."""
    bench = Bench()
    await bench.signer.reconcile(REF)
    assert bench.calls == ["read", "publish", "read"]
    assert bench.seen.reason is Reason.SIGNED
    assert bench.seen.publishes == 1
    assert bench.phone.holds(keys.rsa())
    assert not bench.entry.not_observed | bench.entry.active


@virtual_time
async def test_a_number_that_cannot_be_read_is_not_published_to() -> None:
    """A failed call is named, and the number waits for its next try."""
    bench = Bench()
    bench.phone.failure = UNREACHABLE
    await bench.signer.reconcile(REF)
    assert bench.calls == ["read"]
    assert bench.seen.reason is Reason.UNREACHABLE
    assert len(bench.waits) == 1


@virtual_time
async def test_another_publish_waits_for_the_status_to_show_the_last_one() -> None:
    """A number that lost its key again waits without an end, until somebody says that it is recorded."""
    bench = Bench()
    await bench.signer.reconcile(REF)
    bench.phone.overwrite(None)
    bench.store.put(FLOWS.ref, replace(bench.seen, due=now()))
    await bench.signer.reconcile(REF)
    assert bench.calls == ["read", "publish", "read", "read"]
    assert bench.waits[-1] is None


@virtual_time
async def test_a_number_that_nobody_can_be_called_for_calls_nobody() -> None:
    """The problem that the plan found is shown until the plan finds something else."""
    bench = Bench(with_target(observation(aim(keys.rsa())), aim(keys.rsa(), endpoint=None, problem=DENIED), now()))
    await bench.signer.reconcile(REF)
    assert bench.seen.reason is Reason.ACCESS_DENIED
    assert (bench.calls, bench.waits) == ([], [math.inf])


@virtual_time
async def test_a_publish_that_ends_when_nobody_can_be_called_any_more_is_not_forgotten() -> None:
    """The problem stays to be seen, with when was published last; once it is over, the number is looked at."""
    bench = Bench()
    task = bench.start()
    await until(lambda: bench.calls == ["read", "publish"], 1)
    blocked = aim(keys.rsa(), address=bench.seen.target.address, endpoint=None, problem=DENIED)
    bench.store.put(FLOWS.ref, with_target(bench.seen, blocked, now()))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (bench.seen.reason, bench.seen.publishes) == (Reason.ACCESS_DENIED, 1)
    assert bench.seen.published_at == now()
    assert bench.waits == [math.inf]
    after = with_target(bench.seen, aim(keys.rsa()), now())
    assert (after.accepted, after.observed, after.resume_from) == (True, False, None)
    assert decide(after, now(), recorded=True) == Read()


@virtual_time
async def test_a_number_that_is_gone_calls_nobody() -> None:
    """The same for one whose object is gone."""
    bench = Bench()
    bench.store.drop(FLOWS.ref, NUMBER)
    await bench.signer.reconcile(REF)
    bench.store.forget(FLOWS.ref)
    await bench.signer.reconcile(REF)
    assert (bench.calls, bench.waits, bench.reports) == ([], [], 0)


@virtual_time
async def test_a_number_that_goes_meanwhile_is_left_where_it_is() -> None:
    """What its call told is dropped; its object is told, nothing is waited for."""
    bench = Bench()
    task = bench.start()
    await until(lambda: bench.phones.under_way, 1)
    bench.store.drop(FLOWS.ref, NUMBER)
    await task
    assert (bench.calls, bench.waits, bench.reports) == (["read"], [], 1)


@virtual_time
async def test_an_interrupted_read_tells_nothing() -> None:
    """Nothing is known of it, and the number is not said to be worked on any more."""
    bench = Bench()
    before = bench.seen
    task = bench.start()
    await until(lambda: bench.phones.under_way, 1)
    assert bench.entry.active == {NUMBER}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.seen == before
    assert bench.entry.active == set()
    assert (len(bench.phones.cut_off), bench.waits, bench.reports) == (1, [], 0)


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
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.phones.cut_off == []
    assert bench.calls == ["read", "publish"]
    assert bench.phone.holds(keys.rsa())
    assert bench.seen.publishes == 1
    assert (len(bench.waits), bench.reports) == (1, 1)


@virtual_time
async def test_a_publish_of_a_key_that_is_no_longer_wanted_leads_to_another_look() -> None:
    """What it overwrote is read again, and the wanted key published."""
    bench = Bench()
    bench.phone.seconds = 5.0
    task = bench.start()
    await until(lambda: "publish" in bench.calls, 20)
    bench.store.put(FLOWS.ref, observation(aim(keys.rsa("second"))))
    await task
    assert bench.calls == ["read", "publish", "read", "publish", "read"]
    assert bench.phone.holds(keys.rsa("second"))


@pytest.mark.parametrize(
    "error", [RuntimeError("not foreseen"), asyncio.CancelledError()], ids=["an error", "a cancellation from within"]
)
def test_a_publish_that_ends_as_it_never_should_counts(error: BaseException) -> None:
    """The key may have arrived: that is remembered before the error is passed on."""

    @virtual_time
    async def run() -> None:
        bench = Bench()
        bench.phone.seconds = 5.0
        task = bench.start()
        await until(lambda: "publish" in bench.calls, 20)
        bench.phone.error = error
        with pytest.raises(type(error)):
            await task
        assert bench.seen.publishes == 1
        assert bench.seen.reason is Reason.INVALID_ANSWER
        assert bench.seen.read_at is None
        assert bench.entry.active == set()
        assert bench.reports == 1

    run()


@virtual_time
async def test_others_hear_of_the_number_that_goes_first_when_it_begins_and_when_it_fails() -> None:
    """They wait for it, but not for long; its row says nothing new of that."""
    bench = Bench(observation(aim(keys.rsa()), reason=Reason.WAITING_FOR_ROLLOUT, message="not yet", observed=True))
    bench.phone.failure, bench.phone.seconds = UNREACHABLE, 5.0
    bench.entry.gate = RolloutGate(rotation=True, canary=NUMBER)
    work = bench.start()
    await asyncio.sleep(1)
    assert (bench.reports, bench.entry.begun) == (1, {NUMBER: now() - 1})
    shown = bench.seen.shown
    await work
    assert (bench.reports, bench.seen.shown, bench.entry.begun) == (2, shown, {})
