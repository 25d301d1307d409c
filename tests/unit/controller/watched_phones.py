"""Phone numbers that check every call, above all every publish, against what was promised."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Accepted, Failure, Reading, is_of_the_key
from bek_operator.numbers.backoff import MOST_IN_AN_HOUR
from bek_operator.numbers.next_action import FRESH_SECONDS
from support import keys
from support.builders import REJECTED
from support.fakes import FakePhones, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bek_operator.numbers.endpoint import Endpoint

_HOUR = 3600.0
_LONGEST_WAIT_FOR_A_CALL = 1300.0


class WatchedPhones(FakePhones):
    """Phone numbers that record broken promises.

    Attributes:
        broken: Descriptions of broken promises.
        rejected_keys: Fingerprints of keys that all numbers reject.
        rejecting: The URLs that did.
        backoff_reset_at: Publishes of the same key before this time no longer count.
        hourly_limit_reset_at: Publishes of any key before this time no longer count.
        shared_until: Until then another process may call numbers, too, and nothing is promised of single calls.
    """

    def __init__(
        self, shown: Callable[[str], float], proven: Callable[[str], bool], lacking: Callable[[str], bool]
    ) -> None:
        super().__init__()
        self._proven = proven
        self._lacking = lacking
        self.broken: list[str] = []
        self.rejected_keys: set[str] = set()
        self.rejecting: set[str] = set()
        self.backoff_reset_at = self.hourly_limit_reset_at = self.shared_until = 0.0
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
            if now() >= self.shared_until:
                # Of two processes each has a number of its own that gets a key first.
                self.rejecting.add(url)
        elif isinstance(answer, Accepted) or (answer.unknown and not phone.failure):
            phone.fingerprint, phone.published_at, phone.status = fingerprint, now(), SignatureStatus.MISMATCH
            phone.public_key = public_key
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
        if not self._proven(fingerprint):
            self._break(f"a publish at {url} of a key that the Flow endpoint has not opened")
        if isinstance(answer, Reading) and answer.status is SignatureStatus.VALID and self._lacking(fingerprint):
            self._break(f"a publish at {url}, which holds another key, of a key that the Flow endpoint lacks")
        at, last = self._counted.get(url, (0.0, ""))
        if last == fingerprint and at > self.backoff_reset_at and self._shown(url) < int(at):
            self._break(f"a publish at {url} before the status shows the last one")
        # Times in a status are whole seconds.
        within = {
            # Two processes at once publish in the same second; the status has it once.
            int(at) if at < self.shared_until else at
            for at in self._publishes[url]
            if at > self.hourly_limit_reset_at and now() - at < _HOUR - 1
        }
        if len(within) >= MOST_IN_AN_HOUR:
            self._break(f"a publish at {url} after {len(within)} within the hour")

    def _break(self, message: str) -> None:
        if now() >= self.shared_until:
            self.broken.append(f"at {asyncio.get_running_loop().time():.3f} s: {message}")


def _counts(answer: Accepted | Failure) -> bool:
    """Return whether the status has to show a publish before the next one."""
    return isinstance(answer, Accepted) or answer.unknown or is_of_the_key(answer)
