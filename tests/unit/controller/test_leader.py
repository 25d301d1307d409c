"""One elector, and two of them, with a Lease in memory and virtual time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bek_operator.cluster.errors import Unavailable
from bek_operator.cluster.lease import LeaseRecord
from bek_operator.controller.election import LEASE_SECONDS, RENEW_SECONDS
from bek_operator.controller.leader import Alone, Elector, LeaderError, since_boot
from support.fake_leases import LeaseClient, LeaseServer
from support.virtual_time import until, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOST = "this process is not the leader any more, and stands by: the Lease was lost"
FOREIGN = LeaseRecord(holder="them_2", seconds=15, acquired="", renewed="", transitions=7)


class Process:
    """A process that takes part.

    Attributes:
        leads: Whether its work is under way.
        ends_after: How long its work goes on after it was cancelled, as a publish does.
        fails: What its work ends with.
    """

    def __init__(self, server: LeaseServer, identity: str = "us_1") -> None:
        self.client = LeaseClient(server)
        self.elector = Elector(self.client, identity, clock=now)
        self.leads = False
        self.led = 0
        self.ends_after = 0.0
        self.fails: Exception | None = None
        self._fail = asyncio.Event()
        self.task = asyncio.create_task(self.elector.run(self._work))

    async def _work(self) -> None:
        assert self.elector.is_leader()
        self.leads, self.led = True, self.led + 1
        try:
            await self._fail.wait()
            if self.fails:
                raise self.fails
        finally:
            await asyncio.sleep(self.ends_after)
            self.leads = False

    def end_work(self, error: Exception | None = None) -> None:
        """Have the work end by itself, or with an error."""
        self.fails = error
        self._fail.set()

    async def until_sends(self) -> None:
        """Wait until it sends its next request."""
        before = len(self.client.requests)
        await until(lambda: len(self.client.requests) > before, 3)

    async def stop(self) -> None:
        """End it as after SIGTERM."""
        self.task.cancel()
        await asyncio.wait([self.task])


def now() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(server: LeaseServer, identity: str = "us_1") -> AsyncIterator[Process]:
    """Run a process inside the block."""
    process = Process(server, identity)
    try:
        yield process
    finally:
        await process.stop()


async def seconds_until_leads(process: Process) -> float:
    """Wait until a process leads; return how long that took."""
    start = now()
    await until(lambda: process.leads, 60)
    return now() - start


@virtual_time
async def test_a_process_alone_creates_the_lease_and_renews_it() -> None:
    """Every two seconds or a little more, for as long as it runs."""
    server = LeaseServer()
    async with running(server) as process:
        assert await seconds_until_leads(process) < 0.1
        await asyncio.sleep(600)
        assert process.led == 1
        assert process.client.requests[:2] == ["read", "create"]
        assert 240 <= len(server.writes) <= 300
        assert {(one.holder, one.transitions) for one in server.writes} == {("us_1", 0)}
        assert len({one.acquired for one in server.writes}) == 1
        assert len({one.renewed for one in server.writes}) == len(server.writes)


@virtual_time
async def test_a_standby_only_looks() -> None:
    """Once a second or so, for as long as the other renews."""
    server = LeaseServer()
    async with running(server) as first:
        await until(lambda: first.leads)
        async with running(server, "them_2") as second:
            await asyncio.sleep(600)
            assert not second.leads
        assert set(second.client.requests) == {"read"}
        assert 480 <= len(second.client.requests) <= 610
        assert first.leads


@virtual_time
async def test_a_standby_takes_over_within_two_seconds_after_a_signal() -> None:
    """The leader releases the Lease."""
    server = LeaseServer()
    async with running(server) as first, running(server, "them_2") as second:
        await until(lambda: first.leads)
        await asyncio.sleep(100)
        stopped = asyncio.create_task(first.stop())
        assert await seconds_until_leads(second) < 2
        await stopped
        assert server.record
        assert (server.record.holder, server.record.transitions) == ("them_2", 2 - 1)
    released = [one for one in server.writes if one.holder == ""]
    assert [one.seconds for one in released] == [1, 1]


@virtual_time
async def test_a_lease_is_released_only_when_the_work_has_ended() -> None:
    """It is renewed until then, and no number is called any more; what has ended can still be written."""
    server = LeaseServer()
    async with running(server) as first, running(server, "them_2") as second:
        await until(lambda: first.leads)
        first.ends_after = RENEW_SECONDS + 2
        stopped = asyncio.create_task(first.stop())
        await asyncio.sleep(RENEW_SECONDS + 1)
        assert (server.holder, first.leads, second.leads) == ("us_1", True, False)
        assert (first.elector.is_leader(), first.elector.may_call()) == (True, False)
        await stopped
        assert not first.elector.is_leader()
        assert await seconds_until_leads(second) < 2


@pytest.mark.parametrize("fault", ["killed", "cut", "refused"])
@virtual_time
async def test_a_standby_takes_over_within_fifteen_seconds_after_a_fault(fault: str) -> None:
    """However the leader was lost, and then it does not lead any more."""
    server = LeaseServer()
    async with running(server) as first, running(server, "them_2") as second:
        await until(lambda: first.leads)
        await asyncio.sleep(100)
        match fault:
            case "killed":
                first.client.cut = True
                first.client.error = Unavailable("the process is gone")
            case "cut":
                first.client.cut = True
            case "refused":
                first.client.error = Unavailable("HTTP 403")
        took = await seconds_until_leads(second)
        assert LEASE_SECONDS - 3 < took < 15
        assert not first.leads
        assert server.record
        assert server.record.transitions == 1


@virtual_time
async def test_a_leader_that_was_cut_off_stands_by_and_leads_again() -> None:
    """In the same process, with work that starts anew; an outage is one line of the log for each state."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.client.error = Unavailable("connection refused")
        await asyncio.sleep(RENEW_SECONDS + 0.1)
        assert not process.leads
        await asyncio.sleep(600)
        process.client.error = None
        assert await seconds_until_leads(process) < 2
        assert process.led == 2
        assert server.record
        assert server.record.transitions == 0


@virtual_time
async def test_a_short_outage_changes_nothing() -> None:
    """One of some seconds, or a request that hangs."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        for _ in range(20):
            process.client.error = Unavailable("connection refused")
            await asyncio.sleep(4)
            process.client.error = None
            await asyncio.sleep(4)
            process.client.cut = True
            await process.until_sends()
            process.client.cut = False
            await asyncio.sleep(8)
        assert (process.led, process.leads) == (1, True)


@virtual_time
async def test_a_write_whose_response_was_lost_is_recognised() -> None:
    """The next one conflicts with it, and is made again at once."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.client.deaf = True
        await until(lambda: len(server.writes) == 2)
        process.client.deaf = False
        await asyncio.sleep(60)
        assert (process.led, process.leads) == (1, True)
    assert process.client.requests.count("read") == 3  # to acquire, after the conflict, and to release


@virtual_time
async def test_another_holder_ends_the_work_at_once() -> None:
    """At the next renewal, without a wait for the Lease to expire."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        server.put(FOREIGN)
        await until(lambda: not process.leads, 2.5)
        assert not process.elector.is_leader()
        assert await seconds_until_leads(process) > 10
        assert server.record
        assert server.record.transitions == 8


@virtual_time
async def test_a_deleted_lease_is_created_again_by_its_holder() -> None:
    """A standby does not take its absence for a release."""
    server = LeaseServer()
    async with running(server) as first, running(server, "them_2") as second:
        await until(lambda: first.leads)
        await asyncio.sleep(5)
        server.put(None)
        await asyncio.sleep(60)
        assert (first.led, first.leads, second.led) == (1, True, 0)
        assert server.holder == "us_1"


@virtual_time
async def test_a_publish_under_way_ends_before_the_process_stands_by() -> None:
    """And before it leads again: there are never two pieces of work in one process."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.ends_after = 9.0
        process.client.error = Unavailable("connection refused")
        await until(lambda: not process.elector.is_leader())
        process.client.error = None
        await asyncio.sleep(8.5)
        assert (process.leads, process.led) == (True, 1)
        await until(lambda: process.led == 2)


@virtual_time
async def test_a_signal_while_the_work_is_ending_waits_for_its_end() -> None:
    """The Lease is not released before."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.ends_after = 5.0
        for _ in range(3):
            process.task.cancel()
            await asyncio.sleep(1)
        assert (process.leads, server.holder) == (True, "us_1")
        await asyncio.wait([process.task])
        assert (process.leads, server.holder) == (False, "")
        assert process.task.cancelled()


@virtual_time
async def test_failed_work_ends_the_process_and_releases_the_lease() -> None:
    """Its error is what ends it."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.end_work(KeyError("sesame"))
        await asyncio.wait([process.task])
        assert isinstance(process.task.exception(), KeyError)
        assert server.holder == ""


@virtual_time
async def test_work_that_ends_by_itself_or_not_at_all_ends_the_process() -> None:
    """With the reason; and the Lease is left to expire, since something may still be under way."""
    for ends_after, reason in ((0.0, "ended by itself"), (60.0, "did not end within 15 s")):
        server = LeaseServer()
        async with running(server) as process:
            await seconds_until_leads(process)
            process.ends_after = ends_after
            if ends_after:
                server.put(FOREIGN)
            else:
                process.end_work()
            await asyncio.wait([process.task])
            error = process.task.exception()
            assert isinstance(error, LeaderError)
            assert str(error) == f"the leader's work {reason}"
            assert server.holder != ""


@virtual_time
async def test_a_signal_during_the_first_write_leaves_no_lease_behind() -> None:
    """The write may have succeeded."""
    server = LeaseServer()
    async with running(server) as process:
        process.client.deaf = True
        await until(lambda: server.holder == "us_1")
        process.client.deaf = False
        await process.stop()
        assert not process.led
    assert server.holder == ""


@pytest.mark.parametrize(("conflicts", "holder"), [(2, ""), (3, "us_1")])
@virtual_time
async def test_a_release_that_conflicts_is_repeated(conflicts: int, holder: str) -> None:
    """With a renewal that was interrupted, say; but not without end."""
    server = LeaseServer()
    async with running(server) as process:
        await until(lambda: process.leads)
        process.client.conflicts = conflicts
        await process.stop()
    assert server.holder == holder


def test_the_clock_of_leaders_never_goes_back() -> None:
    """It counts seconds."""
    first, second = since_boot(), since_boot()
    assert 0 < first <= second < first + 60


@virtual_time
async def test_a_signal_ends_a_process_that_cannot_reach_the_api_server(caplog: pytest.LogCaptureFixture) -> None:
    """Within a few seconds, as leader and as standby."""
    with caplog.at_level(logging.INFO):
        for leads in (True, False):
            process = Process(LeaseServer())
            if leads:
                await seconds_until_leads(process)
            process.client.cut = True
            await asyncio.sleep(3)
            start = now()
            await process.stop()
            assert now() - start < 6
    assert "cannot release the Lease, so the next leader starts when it expires: no response in time" in caplog.messages


@virtual_time
async def test_the_log_tells_every_change_once(caplog: pytest.LogCaptureFixture) -> None:
    """Who leads, and why not any more."""
    server = LeaseServer()
    with caplog.at_level(logging.INFO):
        async with running(server) as process:
            await until(lambda: process.leads)
            server.put(FOREIGN)
            await until(lambda: process.led == 2, 100)
            process.client.error = Unavailable("PUT /lease: HTTP 500")
            await asyncio.sleep(100)
            process.client.error = None
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "this process is the leader now"),
        ("WARNING", f"{LOST}: it is held by them_2"),
        ("INFO", "this process stands by: the leader is them_2"),
        ("INFO", "this process is the leader now"),
        ("WARNING", "the Lease could not be renewed: PUT /lease: HTTP 500"),
        ("WARNING", f"{LOST}: it could not be renewed for 8 s"),
        ("WARNING", "the Lease cannot be acquired: PUT /lease: HTTP 500"),
        ("INFO", "the Lease is released"),
    ]


@virtual_time
async def test_the_only_process_always_leads() -> None:
    """Without a Lease."""
    alone, ran = Alone(), []

    async def work() -> None:
        ran.extend([alone.is_leader(), alone.may_call()])

    await alone.run(work)
    assert ran == [True, True]
