"""Metrics: what a whole operator shows after what has happened, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import ObjectKey
from bek_operator.metrics.metrics import Metrics
from bek_operator.numbers.answers import Failure, Retry
from support import keys
from support.builders import KEY_SECRET, NOW, TOKEN_SECRET, cloud, identified, on_premises, spec_body
from support.fakes import now, number, numbers, unavailable
from support.scrape import Scrape, measured, ref_labels, scrape
from support.virtual_time import until, virtual_time
from support.world import World

OBJECTS, NUMBERS = {"controller": "businessencryptionkey"}, {"controller": "phonenumber"}
OBJECT_QUEUE, NUMBER_QUEUE = {"name": "businessencryptionkey"}, {"name": "phonenumber"}
DENIED = Failure(reason=Reason.ACCESS_DENIED, message="refused", retry=Retry.TERMINAL)
HOUR, DAY = 3600.0, 86400.0


class Measured(World):
    """A world whose operator is measured."""

    def __init__(self, *, per_host: int = 8, numbers_at_once: int = 50) -> None:
        super().__init__(per_host=per_host, numbers_at_once=numbers_at_once)
        self.metrics: Metrics = measured(self, Metrics(now))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run an operator inside the block, and show its objects."""
        async with self.operator() as manager:
            with self.metrics.of(manager.store):
                yield

    def scrape(self) -> Scrape:
        """Return what is shown now."""
        return scrape(self.metrics.registry)

    def create(self, count: int, name: str = "flows", **more: object) -> ObjectKey:
        """Create an object with the first numbers."""
        return self.objects.create(name, spec_body(numbers(count), **more))


@virtual_time
async def test_an_object_that_is_signed() -> None:
    """Its conditions, the reasons of its numbers, its publishes, and when it was last checked."""
    world = Measured()
    ref = world.create(3)
    async with world.running():
        await world.until_ready(ref)
        await asyncio.sleep(2)
        found, labels = world.scrape(), ref_labels(ref)
    assert found.values("bek_condition", "status", type="Ready", **labels) == {"True": 1}
    assert found.values("bek_condition", "status", type="Reconciling", **labels) == {"False": 1}
    assert found.values("bek_condition", "status", type="Stalled", **labels) == {"False": 1}
    assert found.value("bek_condition", type="Ready", status="Unknown", **labels) == 0
    assert found.values("bek_numbers", "reason", **labels) == {"Signed": 3}
    assert found.values("bek_publishes_total", "result", api="OnPremises") == {"accepted": 3}
    assert found.value("bek_publishes_total", api="Cloud", result="refused") == 0
    assert NOW < (found.value("bek_last_successful_check_timestamp_seconds", **labels) or 0) < NOW + 2
    assert found.values("bek_losses_total", "kind") == {}


@virtual_time
async def test_a_standby_shows_no_work_queues() -> None:
    """Also after it was the leader: numbers that come due are the next leader's work."""
    world = Measured()
    ref = world.create(3)
    async with world.running():
        await world.until_ready(ref)
        assert world.scrape().value("workqueue_depth", **NUMBER_QUEUE) == 0
    await asyncio.sleep(DAY)
    assert world.scrape().value("workqueue_depth", **NUMBER_QUEUE) is None
    assert world.scrape().value("controller_runtime_active_workers", **NUMBERS) is None


@virtual_time
async def test_an_object_before_it_was_looked_at() -> None:
    """Ready is Unknown, and nothing was checked."""
    world = Measured()
    ref = world.create(1)
    world.secrets.error = unavailable()
    async with world.running():
        await asyncio.sleep(1)
        found, labels = world.scrape(), ref_labels(ref)
    assert found.values("bek_condition", "status", type="Ready", **labels) == {"Unknown": 1}
    assert found.value("bek_numbers", reason="Signed", **labels) == 0
    assert found.value("bek_last_successful_check_timestamp_seconds", **labels) is None


@virtual_time
async def test_series_end_with_their_object() -> None:
    """Those of others stay."""
    world = Measured()
    gone, stays = world.create(1, "gone"), world.objects.create("stays", spec_body([number(9)]))
    async with world.running():
        await world.until_ready(gone)
        await world.until_ready(stays)
        before = world.scrape().series()
        assert [one for one in before if ("name", "gone") in one[1]]
        world.objects.delete(gone)
        await asyncio.sleep(1)
        assert world.scrape().series() == {one for one in before if ("name", "gone") not in one[1]}


@virtual_time
async def test_series_of_a_reason_end_when_no_number_shows_it() -> None:
    """A number is counted once."""
    world = Measured()
    ref = world.create(2)
    world.phones[number(1)].failure = DENIED
    async with world.running():
        await until(lambda: world.objects.reasons(ref).get(number(1)) == "AccessDenied")
        await until(lambda: world.objects.reasons(ref).get(number(2)) == "Signed")
        found, labels = world.scrape(), ref_labels(ref)
        assert found.values("bek_numbers", "reason", **labels) == {"Signed": 1, "AccessDenied": 1}
        assert found.values("bek_condition", "status", type="Stalled", **labels) == {"True": 1}
        world.phones[number(1)].recover()
        world.objects.request_check(ref, "again")
        await world.until_ready(ref)
        found = world.scrape()
        assert found.values("bek_numbers", "reason", **labels) == {"Signed": 2}
        assert found.value("bek_numbers", reason="AccessDenied", **labels) is None


@virtual_time
async def test_the_number_that_was_checked_longest_ago_counts() -> None:
    """A check that fails is none; one that never succeeded counts from the start of the process."""
    world = Measured()
    ref = world.create(2, intervalSeconds=60)
    async with world.running():
        await world.until_ready(ref)
        world.phones[number(2)].hang()
        await asyncio.sleep(HOUR)
        oldest = world.scrape().value("bek_last_successful_check_timestamp_seconds", **ref_labels(ref))
        assert NOW < (oldest or 0) < NOW + 120
        world.phones[number(2)].recover()
        await asyncio.sleep(HOUR)
        oldest = world.scrape().value("bek_last_successful_check_timestamp_seconds", **ref_labels(ref))
        assert now() - 150 < (oldest or 0) <= now()
    again = Measured()
    again.objects, again.secrets = world.objects, world.secrets
    again.phones[number(1)].hang()
    started = now()
    async with again.running():
        await asyncio.sleep(HOUR)
        oldest = again.scrape().value("bek_last_successful_check_timestamp_seconds", **ref_labels(ref))
    assert oldest == started


@virtual_time
async def test_a_number_that_is_never_called_has_no_last_check() -> None:
    """One that another object manages is that one's."""
    world = Measured()
    elder = world.create(1, "elder")
    younger = world.objects.create("younger", spec_body(numbers(2)), created=1)
    async with world.running():
        await world.until_ready(elder)
        await until(lambda: world.objects.reasons(younger).get(number(2)) == "Signed")
        await asyncio.sleep(DAY)
        found, labels = world.scrape(), ref_labels(younger)
    assert found.values("bek_numbers", "reason", **labels) == {"Signed": 1, "DuplicateNumber": 1}
    assert (found.value("bek_last_successful_check_timestamp_seconds", **labels) or 0) > NOW + DAY - HOUR


@virtual_time
async def test_the_longest_check_interval_counts() -> None:
    """That of an API where nothing else is wanted, and after an edit the new one."""
    world = Measured()
    world.secrets.put(TOKEN_SECRET, token="EAAG")
    listed = [identified(number(1)), identified(number(2), api="meta")]
    ref = world.objects.create(wanted=spec_body(apis=[on_premises(), cloud()], phoneNumbers=listed))
    async with world.running():
        await world.until_ready(ref)
        assert world.scrape().value("bek_check_interval_seconds", **ref_labels(ref)) == HOUR
        world.objects.edit(ref, phoneNumbers=listed[:1])
        await asyncio.sleep(2)
        assert world.scrape().value("bek_check_interval_seconds", **ref_labels(ref)) == 600
        world.objects.edit(ref, intervalSeconds=86400)
        await asyncio.sleep(2)
        assert world.scrape().value("bek_check_interval_seconds", **ref_labels(ref)) == DAY


@virtual_time
async def test_a_suspended_object_has_no_last_check() -> None:
    """And no interval: nobody wants to be woken for it."""
    world = Measured()
    ref = world.create(1)
    async with world.running():
        await world.until_ready(ref)
        world.objects.edit(ref, suspend=True)
        await asyncio.sleep(2)
        found = world.scrape()
        assert found.value("bek_last_successful_check_timestamp_seconds", **ref_labels(ref)) is None
        assert found.value("bek_check_interval_seconds", **ref_labels(ref)) is None


@pytest.mark.parametrize("policy", ["IfNeeded", "Never"])
@virtual_time
async def test_losses_by_kind(policy: str) -> None:
    """Each is counted once, whether the key is published again or not."""
    world = Measured()
    ref = world.create(3, intervalSeconds=60)
    async with world.running():
        await world.until_ready(ref)
        world.objects.edit(ref, publishPolicy=policy)
        await asyncio.sleep(120)
        world.phones[number(1)].lose_signature()
        world.phones[number(2)].overwrite(keys.rsa("second").fingerprint)
        world.phones[number(3)].overwrite(None)
        await asyncio.sleep(600)
        found = world.scrape()
    assert found.values("bek_losses_total", "kind") == {"lost_signature": 1, "foreign_key": 1, "key_gone": 1}
    publishes = 6 if policy == "IfNeeded" else 3
    assert found.values("bek_publishes_total", "result", api="OnPremises") == {"accepted": publishes}


@virtual_time
async def test_a_new_key_is_no_loss() -> None:
    """Numbers hold another key than the new one, as they should."""
    world = Measured()
    ref = world.create(3)
    async with world.running():
        await world.until_ready(ref)
        world.secrets.put_key(keys.rsa("second"))
        await world.until_signed_with(ref, keys.rsa("second"))
        assert world.scrape().values("bek_losses_total", "kind") == {}


@virtual_time
async def test_publishes_by_result() -> None:
    """Refused, and with an outcome that nobody knows; an error that nobody foresaw is one of those."""
    world = Measured()
    ref = world.create(3, rollout={"type": "AllAtOnce"})
    world.phones[number(1)].refusal = DENIED
    world.phones[number(2)].refusal = Failure(reason=Reason.UNREACHABLE, message="cut off", unknown=True)
    async with world.running():
        await until(lambda: len(world.objects.reasons(ref)) == 3)
        await asyncio.sleep(2)
        found = world.scrape().values("bek_publishes_total", "result", api="OnPremises")
    assert found == {"accepted": 1, "refused": 1, "unknown": 1}


@virtual_time
async def test_reconciles_and_queues_at_rest() -> None:
    """Nothing waits, nothing is under way; each reconcile and each key that was added is counted."""
    world = Measured()
    ref = world.create(3)
    async with world.running():
        await world.until_ready(ref)
        await asyncio.sleep(5)
        found = world.scrape()
    results = found.values("controller_runtime_reconcile_total", "result", **NUMBERS)
    assert set(results) <= {"success", "requeue", "requeue_after"}
    assert found.value("controller_runtime_reconcile_time_seconds_count", **NUMBERS) == sum(results.values())
    assert found.value("workqueue_work_duration_seconds_count", **NUMBER_QUEUE) == sum(results.values())
    assert found.value("workqueue_queue_duration_seconds_count", **NUMBER_QUEUE) == sum(results.values())
    # The checks that are to come have been added, and are not due.
    assert found.value("workqueue_adds_total", **NUMBER_QUEUE) == sum(results.values()) + 3
    assert found.values("controller_runtime_reconcile_total", "result", **OBJECTS)
    for labels in (NUMBERS, OBJECTS):
        assert found.value("controller_runtime_reconcile_errors_total", **labels) == 0
        assert found.value("controller_runtime_active_workers", **labels) == 0
    for labels in (NUMBER_QUEUE, OBJECT_QUEUE):
        assert found.value("workqueue_depth", **labels) == 0
        assert found.value("workqueue_retries_total", **labels) == 0
        assert found.value("workqueue_unfinished_work_seconds", **labels) == 0
        assert found.value("workqueue_longest_running_processor_seconds", **labels) == 0
    assert found.value("controller_runtime_max_concurrent_reconciles", **NUMBERS) == 50
    assert found.value("controller_runtime_max_concurrent_reconciles", **OBJECTS) == 32


@virtual_time
async def test_numbers_that_hang_are_seen() -> None:
    """How many are under way and for how long, and how many wait for a worker, and how long one has waited."""
    world = Measured(numbers_at_once=2)
    world.create(5)
    for one in numbers(5):
        world.phones[one].hang()
    async with world.running():
        await until(lambda: world.phones.under_way == 1)
        await asyncio.sleep(20)
        found = world.scrape()
        active = found.value("controller_runtime_active_workers", **NUMBERS) or 0
        assert active == world.phones.under_way
        assert found.value("workqueue_depth", **NUMBER_QUEUE) == 5 - active
        assert 19 < (found.value("workqueue_longest_running_processor_seconds", **NUMBER_QUEUE) or 0) <= 20.1
        assert (found.value("workqueue_unfinished_work_seconds", **NUMBER_QUEUE) or 0) >= active * 19
        await asyncio.sleep(20)
        found = world.scrape()
        waited = found.value("workqueue_queue_duration_seconds_sum", **NUMBER_QUEUE) or 0
        assert waited >= 29
        assert found.values("controller_runtime_reconcile_total", "result", **NUMBERS).keys() == {"requeue_after"}


@virtual_time
async def test_an_api_server_that_is_away_is_seen() -> None:
    """Each try to reconcile the object is an error, and is tried again."""
    world = Measured()
    ref = world.create(1)
    async with world.running():
        await world.until_ready(ref)
        world.objects.error = unavailable()
        world.objects.edit(ref, intervalSeconds=700)
        await asyncio.sleep(10)
        found = world.scrape()
        errors = found.value("controller_runtime_reconcile_errors_total", **OBJECTS) or 0
        assert errors >= 5
        assert found.value("controller_runtime_reconcile_total", result="error", **OBJECTS) == errors
        assert found.value("workqueue_retries_total", **OBJECT_QUEUE) == errors
        assert found.value("controller_runtime_reconcile_errors_total", **NUMBERS) == 0


@virtual_time
async def test_what_is_interrupted_or_cancelled_leaves_nothing_behind() -> None:
    """A number that goes while it is being worked on is neither waiting nor under way."""
    world = Measured(numbers_at_once=1)
    ref = world.create(3)
    for one in numbers(3):
        world.phones[one].hang()
    async with world.running():
        await until(lambda: world.phones.under_way == 1)
        world.objects.delete(ref)
        await asyncio.sleep(1)
        found = world.scrape()
    assert world.phones.cut_off
    assert found.value("controller_runtime_active_workers", **NUMBERS) == 0
    assert found.value("workqueue_depth", **NUMBER_QUEUE) == 0
    assert found.value("workqueue_unfinished_work_seconds", **NUMBER_QUEUE) == 0
    assert found.values("controller_runtime_reconcile_total", "result", **NUMBERS) == {}


@virtual_time
async def test_nothing_secret_and_no_phone_number_is_shown() -> None:
    """After failures, losses and a deletion, also of the object that is still there."""
    world = Measured()
    pair = keys.rsa()
    ref = world.create(3, intervalSeconds=60)
    world.phones[number(3)].failure = DENIED
    async with world.running():
        await until(lambda: len(world.objects.reasons(ref)) == 3)
        world.phones[number(1)].lose_signature()
        world.secrets.remove(KEY_SECRET)
        await asyncio.sleep(600)
        text = world.scrape().text
    assert "messaging" in text
    for secret in (*numbers(3), *(one[1:] for one in numbers(3)), "first", "admin", "svc", "https:", pair.fingerprint):
        assert secret not in text
    assert not [line for line in pair.public.splitlines() if line in text]
