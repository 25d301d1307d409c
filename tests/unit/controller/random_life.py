"""A whole operator under a script of events for one object and its numbers; promises are checked throughout.

A script is a value whose repr is its source, so that one that failed can be shortened and played again.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import defaultdict
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from bek_operator.crd.reasons import Reason
from bek_operator.crd.status import render_status
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading, Retry, is_of_the_key
from bek_operator.numbers.backoff import MOST_IN_AN_HOUR
from bek_operator.numbers.next_action import FRESH_SECONDS
from bek_operator.status.compute import status_of
from bek_operator.times import instant
from support import keys
from support.builders import BROKEN, BUSY, KEY_SECRET, LOST_ANSWER, NAMESPACE, REJECTED, UNREACHABLE, failure, spec_body
from support.fakes import FakePhones, Phone, now, numbers, unavailable
from support.virtual_time import VirtualLoop, until
from support.world import READY, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bek_operator.controller.manager import Manager
    from bek_operator.numbers.endpoint import Endpoint

FAILURES = {
    "no answer": UNREACHABLE,
    "lost answer": LOST_ANSWER,
    "busy": replace(BUSY, retry_after=900.0),
    "not understood": BROKEN,
    "maintenance": failure(Reason.MAINTENANCE, "under maintenance", pace=Pace.SLOW),
    "not registered": failure(Reason.NOT_REGISTERED, "not registered", retry=Retry.TERMINAL),
    "not eligible": failure(Reason.NOT_ELIGIBLE, "not eligible", retry=Retry.TERMINAL),
}
"""Failures of calls, by the names that scripts use."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_MOST_NUMBERS = 60
_THEIRS = "sha256:" + "0" * 64
_LONG_PAUSE = 5.0
_LONGEST_WAIT_FOR_A_CALL = 1300.0

_SECONDS_TO_WRITE = 6.0
"""How long a change may take to be in the status: batching, the write limit, slow answers."""

_SECONDS_TO_RETRY = 80.0
"""How long a reconcile that found the API server down waits at most."""

_RESET_BACKOFF = frozenset({"rotate", "rotate_to_rejected", "list_numbers", "request"})
_RESET_HOURLY_LIMIT = frozenset({"list_numbers", "request"})
_KEEP_THE_CANARY_PENDING = frozenset(
    {"fail", "recover", "check_every", "touch", "touch_secret", "api_server_down", "restart", "rotate_to_rejected"}
)


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One event.

    Attributes:
        pause: Seconds since the one before.
        act: The method of `ManagerLife` to call with `values`.
        amid: Wait for a call of this kind to be in progress, for a limited time; empty for none.
    """

    pause: float
    act: str
    values: tuple[object, ...] = ()
    amid: str = ""

    def __repr__(self) -> str:
        return f"Step{astuple(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole life.

    Attributes:
        seed: The seed of the operator's own jitter.
        count: How many numbers are listed at first.
        interval: How often they are checked.
        at_once: How many of them are worked on at once.
        call_seconds: How long calls to numbers take.
        settle_seconds: How long they take until a published key is VALID.
        answer_seconds: How long answers of the API server take.
    """

    seed: int
    count: int
    interval: int
    at_once: int
    call_seconds: float
    settle_seconds: float
    answer_seconds: float
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return repr(self).replace("Step(", "\n  Step(")


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


class WatchedPhones(FakePhones):
    """Phone numbers that record broken promises.

    Attributes:
        broken: Descriptions of broken promises.
        rejected_keys: Fingerprints of keys that all numbers reject.
        rejecting: The URLs that did.
        backoff_reset_at: Publishes of the same key before this time no longer count.
        hourly_limit_reset_at: Publishes of any key before this time no longer count.
    """

    def __init__(self, shown: Callable[[str], float]) -> None:
        super().__init__()
        self.broken: list[str] = []
        self.rejected_keys: set[str] = set()
        self.rejecting: set[str] = set()
        self.backoff_reset_at = self.hourly_limit_reset_at = 0.0
        self._publishes: dict[str, list[float]] = defaultdict(list)
        self._shown = shown
        self._begun = {kind: asyncio.Event() for kind in ("read", "publish")}
        self._busy: set[str] = set()
        self._answers: dict[str, tuple[float, Endpoint, Reading | Failure]] = {}
        self._counted: dict[str, tuple[float, str]] = {}

    def meet_another_process(self, remembered: Mapping[str, float]) -> None:
        """Forget what the last process knew, except for publishes that the status shows."""
        self._answers.clear()
        self._counted.clear()
        for url, times in self._publishes.items():
            times[:] = [at for at in times if int(at) <= remembered.get(url, 0.0)]

    async def wait_for(self, kind: str) -> None:
        """Wait until a call of a kind begins, for a limited time."""
        self._begun[kind].clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._begun[kind].wait(), _LONGEST_WAIT_FOR_A_CALL)

    def has_answered(self, url: str, begin: float) -> bool:
        """Return whether the last read since a time was understood."""
        answered = self._answers.get(url)
        return answered is not None and answered[0] >= begin and isinstance(answered[2], Reading)

    async def read(self, endpoint: Endpoint) -> Reading | Failure:
        """Answer a read."""
        url = str(endpoint.url)
        with self._alone("read", url):
            answer = await super().read(endpoint)
        self._answers[url] = now(), endpoint, answer
        return answer

    async def publish(self, endpoint: Endpoint, public_key: str) -> Accepted | Failure:
        """Take a key, also if the answer is lost."""
        url, fingerprint = str(endpoint.url), keys.fingerprint(public_key)
        self._judge(endpoint, fingerprint)
        with self._alone("publish", url):
            phone = await self._call("publish", endpoint)
        answer = phone.failure or phone.refusal or Accepted()
        if not phone.failure and fingerprint in self.rejected_keys:
            answer = REJECTED
            self.rejecting.add(url)
        elif isinstance(answer, Accepted) or (answer.unknown and not phone.failure):
            phone.fingerprint, phone.published_at, phone.status = fingerprint, now(), SignatureStatus.MISMATCH
        if _counts(answer):
            self._counted[url] = now(), fingerprint
            self._publishes[url].append(now())
        return answer

    @contextmanager
    def _alone(self, kind: str, url: str) -> Iterator[None]:
        if url in self._busy:
            self._break(f"a {kind} at {url} beside another call")
        self._busy.add(url)
        self._begun[kind].set()
        try:
            yield
        finally:
            self._busy.discard(url)

    def _judge(self, endpoint: Endpoint, fingerprint: str) -> None:
        """Check a publish against what went before."""
        url = str(endpoint.url)
        at, called, answer = self._answers.pop(url, (0.0, None, None))
        if called != endpoint or not isinstance(answer, Reading) or now() - at > FRESH_SECONDS:
            self._break(f"a publish at {url} after {answer} {now() - at:g} s ago")
        elif (answer.status, answer.fingerprint) == (SignatureStatus.VALID, fingerprint):
            self._break(f"a publish at {url} of the key that it holds")
        at, last = self._counted.get(url, (0.0, ""))
        if last == fingerprint and at > self.backoff_reset_at and self._shown(url) < int(at):
            self._break(f"a publish at {url} before the status shows the last one")
        # Times in a status are whole seconds.
        within = [at for at in self._publishes[url] if at > self.hourly_limit_reset_at and now() - at < _HOUR - 1]
        if len(within) >= MOST_IN_AN_HOUR:
            self._break(f"a publish at {url} after {len(within)} within the hour")

    def _break(self, message: str) -> None:
        self.broken.append(f"at {asyncio.get_running_loop().time():.3f} s: {message}")


def _counts(answer: Accepted | Failure) -> bool:
    """Return whether the status has to show a publish before the next one."""
    return isinstance(answer, Accepted) or answer.unknown or is_of_the_key(answer)


class ManagerLife(World):
    """One object, its numbers and its operator; a script's steps call the public methods."""

    def __init__(self, script: Script) -> None:
        super().__init__(numbers_at_once=script.at_once)
        self._script = script
        self._watched = WatchedPhones(self._shown)
        self.phones = self.backend = self._watched
        self.objects.seconds = self.secrets.seconds = script.answer_seconds
        self._remove_faults()
        self._listed = numbers(script.count)
        self._key = keys.rsa()
        self._password = "first"
        self._request: str | None = None
        self._suspended = self._never = self._canary_pending = False
        self._away_until = 0.0
        self._process = AsyncExitStack()
        self._manager: Manager | None = None
        self.ref = self.objects.create(wanted=spec_body(self._listed, intervalSeconds=script.interval))

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
                await asyncio.sleep(_SECONDS_TO_WRITE)
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

    def _observed_by(self) -> float:
        """Return when the operator has observed what happens now, at the latest."""
        retried = self._away_until + _SECONDS_TO_RETRY if now() < self._away_until + _SECONDS_TO_RETRY else 0.0
        return max(now() + _SECONDS_TO_WRITE, retried)

    # What happens to numbers.

    def fail(self, which: int, name: str, seconds: float) -> None:
        """Let every call to a number fail, after so many seconds."""
        phone = self._phone(which)
        phone.failure, phone.seconds = FAILURES[name], seconds

    def refuse(self, which: int, name: str) -> None:
        """Let every publish to a number fail."""
        self._phone(which).refusal = FAILURES[name]

    def recover(self) -> None:
        """Let all numbers answer correctly."""
        for one in numbers(_MOST_NUMBERS):
            self.phones[one].recover()
            self.phones[one].seconds = self._script.call_seconds

    async def become_ready(self) -> None:
        """Let all numbers answer correctly, and wait until the object is Ready, for a limited time."""
        self._remove_faults()
        with suppress(AssertionError):
            await until(self._is_well, _HOUR)

    def settle(self, which: int, seconds: float) -> None:
        """Set how long a number takes until a published key is VALID."""
        self._phone(which).settles = seconds

    def overwrite(self, which: int, name: str) -> None:
        """Publish one of our keys as another client, or without a name another key."""
        self._phone(which).overwrite(keys.rsa(name).fingerprint if name else _THEIRS)

    def lose(self, which: int) -> None:
        """Register a number again, so that its key is MISMATCH."""
        self._phone(which).lose_signature()

    # What users do.

    def rotate(self, name: str) -> None:
        """Put a key into the Secret."""
        self._key = keys.rsa(name)
        self.secrets.put_key(self._key)

    async def flip(self, name: str, times: int, seconds: float) -> None:
        """Let two writers replace each other's key in the Secret, several times."""
        for pair in [keys.rsa(name), self._key] * times:
            self._key = pair
            self.secrets.put_key(pair)
            self._watched.backoff_reset_at = self._observed_by()
            await asyncio.sleep(seconds)

    def rotate_to_rejected(self, name: str) -> None:
        """Put a key into the Secret that all numbers reject; if all were healthy, only one of them must get it."""
        fingerprint = keys.rsa(name).fingerprint
        fresh = all(self.phones[one].fingerprint != fingerprint for one in self._listed)
        self._canary_pending = fresh and self._is_well() and not (self._suspended or self._never)
        self._watched.rejected_keys.add(fingerprint)
        self._watched.rejecting.clear()
        self.rotate(name)

    def change_password(self, password: str) -> None:
        """Change the credentials of the numbers."""
        self._password = password
        self.secrets.put_credentials(password)

    async def remove_secret(self, name: str, seconds: float, times: int = 1) -> None:
        """Delete a Secret, and put it back as it was."""
        for _ in range(times):
            self.secrets.remove(name)
            await asyncio.sleep(seconds)
            if name == KEY_SECRET:
                self.secrets.put_key(self._key)
            else:
                self.secrets.put_credentials(self._password)
            await asyncio.sleep(seconds if times > 1 else 0.0)

    def check_every(self, seconds: int) -> None:
        """Edit the interval."""
        self.objects.edit(self.ref, intervalSeconds=seconds)

    def set_policy(self, policy: str) -> None:
        """Edit whether anything is published."""
        self._never = policy == "Never"
        self.objects.edit(self.ref, publishPolicy=policy)

    def suspend(self, wanted: str) -> None:
        """Suspend the object, or with an empty text resume it."""
        self._suspended = bool(wanted)
        self.objects.edit(self.ref, suspend=self._suspended)

    def list_numbers(self, first: int, count: int) -> None:
        """List other numbers; some may stay the same."""
        self._listed = numbers(first + count)[first:]
        self.objects.edit(self.ref, phoneNumbers=[{"phoneNumber": one} for one in self._listed])

    def request(self, value: str) -> None:
        """Request a check of all numbers."""
        self._request = value
        self.objects.request_check(self.ref, value)

    # What happens in the cluster.

    def touch(self) -> None:
        """Change what the operator ignores, so that a reconcile meets unfinished work."""
        self.objects.touch(self.ref)

    def touch_secret(self) -> None:
        """Put the same key into the Secret again."""
        self.secrets.put_key(self._key)

    def clear_status(self) -> None:
        """Clear the status as another client."""
        self.objects.overwrite_status(self.ref, {"observedGeneration": -1})

    def api_server_down(self, seconds: float) -> None:
        """Let the API server be down for a while."""
        self._away_until = max(self._away_until, now() + seconds)
        self.objects.error = self.secrets.error = unavailable()
        asyncio.get_running_loop().call_later(seconds, self._come_back)

    async def restart(self, seconds: float) -> None:
        """Stop the operator, and start another after a while."""
        self._canary_pending = self._canary_pending and self._shows_all()
        self._manager = None
        await self._process.aclose()
        await asyncio.sleep(seconds)
        await self._begin()

    async def crash(self, seconds: float) -> None:
        """Stop the operator before it can write what it did in the last seconds."""
        self.api_server_down(seconds)
        await asyncio.sleep(seconds / 2)
        await self.restart(seconds)

    # Promises.

    def _check_promises(self) -> None:
        assert not self._watched.broken
        assert not self._canary_pending or len(self._watched.rejecting) <= 1

    async def _check_status_follows(self) -> None:
        """Check that the status soon shows what is known now, if it can be written."""
        begin = now()
        if begin < self._away_until:
            return
        retried = _SECONDS_TO_RETRY if begin < self._away_until + _SECONDS_TO_RETRY else 0.0
        while not (self._is_observed() and (self._shows_all() or self._is_written_since(begin))):
            assert now() < begin + _SECONDS_TO_WRITE + retried, self._difference()
            await asyncio.sleep(0.5)

    async def _settle(self) -> None:
        """Remove all faults, nothing else, and wait until everything is healthy."""
        self.objects.error = self.secrets.error = None
        self._remove_faults()
        begin = now()
        # Nothing in a suspended object shows whether the last edit was observed.
        await asyncio.sleep(_SECONDS_TO_RETRY)
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
            read = all(self._watched.has_answered(_url(one), begin) for one in self._listed)
            return read and self._is_observed() and self.objects.ready(self.ref)[0] == "False"
        return self._is_well()

    def _is_well(self) -> bool:
        return self.is_ready(self.ref) and self._is_observed() and self._is_signed() and self._shows_all()

    def _is_request_handled(self) -> bool:
        return self.objects.status(self.ref).get("lastHandledReconcileAt") == self._request

    def _is_observed(self) -> bool:
        """Return whether the status is of the present spec and key."""
        fingerprint = self.objects.status(self.ref).get("publicKeyFingerprint")
        return self.objects.is_current(self.ref) and fingerprint == self._key.fingerprint

    def _is_written_since(self, begin: float) -> bool:
        return bool(self.objects.writes) and self.objects.writes[-1][0] > begin

    def _is_signed(self) -> bool:
        return all(self.phones[one].holds(self._key) for one in self._listed)

    def _shows_all(self) -> bool:
        """Return whether the status is what the operator's facts make it."""
        return self._known() == self.objects.status(self.ref)

    def _known(self) -> dict[str, object] | None:
        entry = self._manager.store.get(self.ref) if self._manager else None
        return render_status(status_of(entry.resource, entry.key, entry.facts, now())) if entry and entry.key else None

    def _difference(self) -> str:
        return f"the facts give {self._known()}, and the status is still {self.objects.status(self.ref)}"

    def _shown(self, url: str) -> float:
        """Return when a number was last published to, by the last status written."""
        return _published(self.objects.writes[-1][2]).get(url, 0.0) if self.objects.writes else 0.0

    def _remove_faults(self) -> None:
        self.recover()
        self._watched.rejected_keys.clear()
        for one in numbers(_MOST_NUMBERS):
            self.phones[one].settles = self._script.settle_seconds

    def _phone(self, which: int) -> Phone:
        return self.phones[self._listed[which % len(self._listed)]]

    def _come_back(self) -> None:
        if now() >= self._away_until:
            self.objects.error = self.secrets.error = None

    async def _begin(self) -> None:
        status = self.objects.status(self.ref)
        self._watched.meet_another_process(_published(status))
        if not self._is_request_handled():
            # It may be handled once more.
            self._watched.hourly_limit_reset_at = now() + _SECONDS_TO_WRITE
        self._manager = await self._process.enter_async_context(self.operator())


def _published(status: Mapping[str, Any]) -> dict[str, float]:
    """Return when numbers were last published to, by URL, from a status."""
    rows = status.get("phoneNumbers", ())
    return {_url(row["phoneNumber"]): instant(row.get("lastPublishTime")) or 0.0 for row in rows}


def _url(number: str) -> str:
    return f"https://whatsapp-{number.removeprefix('+')}.{NAMESPACE}.svc"
