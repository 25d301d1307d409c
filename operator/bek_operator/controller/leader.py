"""Leader election: of several processes one works, and the others stand by. The rules are in `controller.election`."""

import asyncio
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, NoReturn, Protocol

from bek_operator.cluster.errors import ClusterError, Conflict, NotFound
from bek_operator.cluster.lease import Lease, LeaseRecord
from bek_operator.controller.election import AGAIN_SECONDS, LOOK_SECONDS, RETRY_SECONDS, Election, Lost, Wait
from bek_operator.times import micro_time

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]
"""What a leader does, until cancelled."""

_END_SECONDS: Final = 15.0
"""A publish that is under way ends within ten seconds, and is written into the status within three; a process that is
to end is killed after thirty."""

_RELEASE_SECONDS: Final = 5.0
_RELEASE_ATTEMPTS: Final = 3


class LeaderError(Exception):
    """The leader's work did not end, or ended by itself; the message holds our own words."""


class LeaseStore(Protocol):
    """Where the Lease is kept; every request ends within a few seconds."""

    async def read(self) -> Lease | None:
        """Return the Lease; `None` when it does not exist."""
        ...

    async def create(self, record: LeaseRecord) -> Lease:
        """Create the Lease."""
        ...

    async def replace(self, lease: Lease, record: LeaseRecord) -> Lease:
        """Replace what a Lease says, unless it was changed since it was read."""
        ...


class Leadership(Protocol):
    """Whether this process may work."""

    def is_leader(self) -> bool:
        """Return whether it may write now: no other process can be at work."""
        ...

    def may_call(self) -> bool:
        """Return whether it may call a number now: it is the leader, and not about to end its work."""
        ...

    async def run(self, work: Work) -> None:
        """Work whenever it may, until cancelled."""
        ...


class Alone:
    """The leadership of a process that is the only one."""

    def is_leader(self) -> bool:
        """Return True."""
        return True

    def may_call(self) -> bool:
        """Return True."""
        return True

    async def run(self, work: Work) -> None:
        """Work until cancelled."""
        await work()


def since_boot() -> float:
    """Return seconds by a clock that never goes back, and goes on while the machine is suspended where it can."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Elector:
    """The leadership of a process that shares the work with others.

    Args:
        leases: Where the Lease is kept.
        identity: The process's own name, which no other process ever had.
        clock: Returns seconds, and never goes back.
        now: Returns the time, which is written into the Lease for people.
    """

    def __init__(
        self,
        leases: LeaseStore,
        identity: str,
        *,
        clock: Callable[[], float] = since_boot,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._now = now
        self._election = Election(identity=identity)
        self._lease: Lease | None = None
        self._claimed = False
        self._ending = False

    def is_leader(self) -> bool:
        """Return whether this process may write now: no other one can be the leader."""
        return self._election.is_leader(self._clock())

    def may_call(self) -> bool:
        """Return whether this process may call a number now: it is the leader, and not about to end its work."""
        return not self._ending and self.is_leader()

    async def run(self, work: Work) -> NoReturn:
        """Work whenever this process is the leader, until cancelled; then release the Lease.

        Raises:
            LeaderError: the work did not end when it had to, or ended by itself.
            Exception: the work failed.
        """
        try:
            while True:
                await self._acquire()
                log.info("this process is the leader now")
                reason = await self._lead(work)
                log.warning("this process is not the leader any more, and stands by: the Lease was lost: %s", reason)
        except LeaderError:
            # Something may still be under way, so that nobody must take over before the Lease expires.
            raise
        except BaseException:
            await self._release()
            raise

    async def _acquire(self) -> None:
        """Wait until this process is the leader."""
        logged = ""
        while True:
            level, pause = logging.INFO, LOOK_SECONDS * _jitter()
            try:
                await self._look()
                step = self._election.next_step(self._clock())
                if not isinstance(step, Wait):
                    await self._claim()
                    return
                message = f"this process stands by: the leader is {self._election.holder}"
                pause = min(pause, step.until - self._clock())
            except Conflict:
                message = logged  # Another process was faster.
            except ClusterError as error:
                level, message = logging.WARNING, f"the Lease cannot be acquired: {error}"
            if message != logged:
                log.log(level, message)
                logged = message
            await asyncio.sleep(pause)

    async def _lead(self, work: Work) -> str:
        """Work until the Lease is lost; return why it was lost."""
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew_until_lost())
        interrupted = False
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            interrupted = True
        ending = asyncio.create_task(self._end(working, renewing))
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError:
                interrupted = True
        ending.result()
        if not working.cancelled():
            working.result()
            raise LeaderError("the leader's work ended by itself")
        if interrupted:
            raise asyncio.CancelledError
        return renewing.result()

    async def _end(self, working: asyncio.Future[None], renewing: asyncio.Task[str]) -> None:
        """End the work; the Lease is renewed meanwhile if it is ours, since a publish under way goes on to its end."""
        self._ending = True
        working.cancel()
        _, pending = await asyncio.wait([working], timeout=_END_SECONDS)
        renewing.cancel()
        await asyncio.wait([renewing])
        self._election, self._ending = self._election.resigned(), False
        if pending:
            raise LeaderError(f"the leader's work did not end within {_END_SECONDS:g} s")

    async def _renew_until_lost(self) -> str:
        """Renew the Lease; return why it was lost."""
        pause, logged = RETRY_SECONDS, ""
        while True:
            await asyncio.sleep(min(pause * _jitter(), self._seconds_left()))
            try:
                async with asyncio.timeout(self._seconds_left()):
                    await self._renew()
                pause, logged = RETRY_SECONDS, ""
            except (ClusterError, TimeoutError) as error:
                pause, message = AGAIN_SECONDS, str(error) or "no response in time"
                if message != logged:
                    log.warning("the Lease could not be renewed: %s", message)
                    logged = message
            step = self._election.next_step(self._clock())
            if isinstance(step, Lost):
                return step.reason

    def _seconds_left(self) -> float:
        return self._election.valid_until - self._clock()

    async def _renew(self) -> None:
        try:
            await self._claim()
        except (Conflict, NotFound):
            # Our last write succeeded though we did not hear of it, or somebody else has changed or deleted the Lease.
            await self._look()
            if not isinstance(self._election.next_step(self._clock()), Lost):
                await self._claim()

    async def _look(self) -> None:
        self._lease = await self._leases.read()
        self._election = self._election.saw(self._lease.record if self._lease else None, self._clock())

    async def _claim(self) -> None:
        """Acquire or renew the Lease."""
        started, record = self._clock(), self._election.claim(micro_time(self._now()))
        self._claimed = True
        if self._lease is None:
            self._lease = await self._leases.create(record)
        else:
            self._lease = await self._leases.replace(self._lease, record)
        self._election = self._election.wrote(self._lease.record, started)

    async def _release(self) -> None:
        """Let another process become the leader at once."""
        if not self._claimed:
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                for attempts_left in reversed(range(_RELEASE_ATTEMPTS)):
                    # A write that was interrupted may have succeeded, or do so while this is read.
                    await self._look()
                    record = self._election.release(micro_time(self._now()))
                    if record is None or self._lease is None:
                        return
                    try:
                        self._lease = await self._leases.replace(self._lease, record)
                    except Conflict:
                        if not attempts_left:
                            raise
                    else:
                        log.info("the Lease is released")
                        return
        except (ClusterError, TimeoutError) as error:
            reason = str(error) or "no response in time"
            log.warning("cannot release the Lease, so the next leader starts when it expires: %s", reason)


def _jitter() -> float:
    return random.uniform(1.0, 1.2)  # noqa: S311 - spreads requests
