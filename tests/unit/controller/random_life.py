"""A whole operator under a script of events for one object and its numbers; promises are checked throughout."""

import asyncio
import inspect
import random

from bek_operator.numbers.backoff import MOST_IN_AN_HOUR
from support import keys
from support.fakes import now
from support.virtual_time import VirtualLoop, until
from support.world import READY
from unit.controller.life_script import Script, Step
from unit.controller.random_world import SECONDS_TO_RETRY, SECONDS_TO_WRITE, RandomWorld, url_of

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_LONG_PAUSE = 5.0

_RESET_BACKOFF = frozenset({"rotate", "rotate_to_rejected", "list_numbers", "request"})
_RESET_HOURLY_LIMIT = frozenset({"list_numbers", "request"})
_KEEP_THE_CANARY_PENDING = frozenset(
    {"fail", "recover", "check_every", "touch", "touch_secret", "api_server_down", "restart", "rotate_to_rejected"}
    | {"give_key", "take_key", "break_endpoint", "endpoint_away"}
)


def play(script: Script) -> None:
    """Play a script in virtual time.

    Raises:
        AssertionError: a promise was broken; a note has the script.
    """
    chance = random.getstate()
    random.seed(script.seed)
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(ManagerLife(script).live())
    except Exception as error:
        error.add_note(str(script))
        raise
    finally:
        random.setstate(chance)


class ManagerLife(RandomWorld):
    """Plays a script, whose steps call the public methods, and checks what is promised."""

    async def live(self) -> None:
        """Play the script, remove all faults, and check that the object becomes and stays healthy."""
        async with self._process:
            await self._begin()
            for step in self._script.steps:
                await asyncio.sleep(step.pause)
                if step.pause >= _LONG_PAUSE:
                    await self._check_status_follows()
                if step.amid:
                    await self._watched.wait_for(step.amid)
                await self._act(step)
                self._check_promises()
            await self._settle()
            await self._stay_settled()
            await self.restart(1.0)
            if not self._is_request_handled():
                # A request that was not handled yet is started again.
                await asyncio.sleep(SECONDS_TO_WRITE)
            await self._stay_settled()
            await self._take_another_key()

    async def _act(self, step: Step) -> None:
        self._canary_pending = self._canary_pending and step.act in _KEEP_THE_CANARY_PENDING
        if step.act in _RESET_BACKOFF:
            self._watched.backoff_reset_at = self._observed_by()
        if step.act in _RESET_HOURLY_LIMIT:
            self._watched.hourly_limit_reset_at = self._observed_by()
        event = getattr(self, step.act)(*step.values)
        if inspect.isawaitable(event):
            await event

    def _check_promises(self) -> None:
        assert not self._watched.broken
        assert not self._canary_pending or len(self._watched.rejecting) <= 1

    async def _check_status_follows(self) -> None:
        """Check that the status soon shows what is known now, if it can be written."""
        begin = now()
        if begin < max(self._away_until, self._shared_until):
            return
        retried = SECONDS_TO_RETRY if begin < self._away_until + SECONDS_TO_RETRY else 0.0
        while not (self._is_observed() and (self._shows_all() or self._is_written_since(begin))):
            assert now() < begin + SECONDS_TO_WRITE + retried, self._difference()
            await asyncio.sleep(0.5)

    async def _settle(self) -> None:
        """Remove all faults, nothing else, and wait until everything is healthy."""
        self.objects.error = self.secrets.error = None
        self._remove_faults()
        begin = now()
        # Nothing in a suspended object shows whether the last edit was observed.
        await asyncio.sleep(SECONDS_TO_RETRY)
        while not (self._is_settled(begin) and self._shows_all()):
            assert now() < begin + 2 * _DAY, f"not settled: {self.objects.status(self.ref)}"
            await asyncio.sleep(10 if now() < begin + _HOUR else 60)
        self._check_promises()

    async def _stay_settled(self) -> None:
        before = len(self.objects.writes), self.phones.count("publish")
        await asyncio.sleep(_HOUR)
        assert (len(self.objects.writes), self.phones.count("publish")) == before
        assert self._shows_all()
        self._check_promises()

    async def _take_another_key(self) -> None:
        """Check that a rotation takes no longer than it must.

        After too many changes of the key, that takes a user's request.
        """
        rows = self.objects.status(self.ref)["phoneNumbers"]
        if any(len(row.get("earlierPublishes", ())) >= MOST_IN_AN_HOUR - 1 for row in rows):
            self.request("for a rotation")
        self.rotate(next(name for name in ("first", "second") if keys.rsa(name) != self._key))
        if not (self._suspended or self._never):
            await until(self._is_well, 2 * _MINUTE)
        self._check_promises()

    def _is_settled(self, begin: float) -> bool:
        if self._suspended:
            return self._is_observed() and self.objects.ready(self.ref) in {READY, ("False", "Suspended")}
        if not self._is_request_handled():
            return False
        if self._never and not self._is_signed():
            # A publish may have been under way, whose signature becomes VALID later.
            since = begin + 2 * self._script.call_seconds + self._script.settle_seconds
            read = all(self._watched.has_answered(url_of(one), since) for one in self._listed)
            # The Flow endpoint is asked for earlier keys at the interval.
            asked = self.objects.status(self.ref).get("flowsEndpoint", {}).get("reason") != "EndpointLacksOldKey"
            return read and asked and self._is_observed() and self.objects.ready(self.ref)[0] == "False"
        return self._is_well()

    def _is_written_since(self, begin: float) -> bool:
        return bool(self.objects.writes) and self.objects.writes[-1][0] > begin

    def _difference(self) -> str:
        return f"the facts give {self._known()}, and the status is still {self.objects.status(self.ref)}"
