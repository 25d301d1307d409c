"""Sign: see to it that one number holds its target's key, against the one API of that number.

What to do next is decided by `model.decision`, what an answer means by `model.outcomes`; here the calls are made,
until there is nothing to do but wait.
"""

import asyncio
import math
import random
from collections.abc import Callable
from functools import partial

from bek_operator.controller.clock import Clock
from bek_operator.controller.store import KeyState, NumberKey, Store
from bek_operator.crd.reasons import Reason
from bek_operator.logs import about
from bek_operator.numbers.answers import Failure
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.numbers.next_action import Publish, Read, Reuse, Wait, decide
from bek_operator.numbers.observation import Observation
from bek_operator.numbers.rollout import has_another_key
from bek_operator.numbers.target import Target
from bek_operator.numbers.transitions import after_failure, after_publish, after_read, after_reuse
from bek_operator.whatsapp.backend import Backend

_UNKNOWN_OUTCOME = Failure(
    reason=Reason.INVALID_ANSWER, message="an error of the operator itself; its log tells more", unknown=True
)
"""What is known of a publish that ended in an error which nobody foresaw: the key may have arrived."""


class NumberReconciler:
    """Works on one number at a time.

    `wait` takes a number that has nothing to do before an instant (`None`: before its status is written);
    `report` is told of numbers whose row has changed.
    """

    def __init__(
        self,
        *,
        store: Store,
        backend: Backend[Endpoint],
        wait: Callable[[NumberKey, Observation, float | None], None],
        report: Callable[[NumberKey], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._backend = backend
        self._wait = wait
        self._report = report
        self._clock = clock

    async def reconcile(self, ref: NumberKey) -> None:
        """Call the number's API as often as it takes, then leave the number to its due time."""
        entry = self._store.get(ref.object)
        before = self._store.observation(ref)
        if entry is None or before is None:
            return
        entry.active.add(ref.number)
        entry.begun[ref.number] = self._clock()
        entry.changed.discard(ref.number)
        if entry.gate.canary == ref.number:
            # Others wait for its answer, but not for long.
            self._report(ref)
        try:
            with about(object=f"{ref.object.namespace}/{ref.object.name}", number=ref.number):
                until = await self._work(ref)
        finally:
            entry.active.discard(ref.number)
            del entry.begun[ref.number]
            seen = self._store.observation(ref)
            # Also where the end is as the beginning was: what was in between may have been reported.
            if seen is None or ref.number in entry.changed or _is_awaited(entry, before, seen):
                self._report(ref)
        if seen:
            self._wait(ref, seen, until)

    async def _work(self, ref: NumberKey) -> float | None:
        """Work until there is nothing to do; return until when."""
        while True:
            seen = self._store.observation(ref)
            if seen is None:
                return None
            now = self._clock()
            if not seen.target.endpoint:
                return math.inf
            match decide(seen, now, recorded=self._store.is_recorded(ref, seen)):
                case Wait(until):
                    return until
                case Read() | Reuse() if _can_wait(seen, now) and not self._store.allows(ref, seen, now):
                    return self._pause(ref, seen)
                case Reuse():
                    self._store.put(ref.object, after_reuse(seen, now))
                case Read():
                    await self._read(ref, seen.target, seen.target.endpoint)
                case Publish() if not self._store.allows(ref, seen, now):
                    return self._pause(ref, seen)
                case Publish():
                    await self._publish(ref, seen.target, seen.target.endpoint)

    def _pause(self, ref: NumberKey, seen: Observation) -> float:
        """Leave a number until the rollout reaches it; it goes on being checked."""
        return self._store.pause(ref, seen).due

    async def _read(self, ref: NumberKey, target: Target, endpoint: Endpoint) -> None:
        answer = await self._backend.read(endpoint)
        now = self._clock()
        if isinstance(answer, Failure):
            update = partial(after_failure, failure=answer, now=now, jitter=_jitter())
        else:
            update = partial(after_read, reading=answer, now=now, jitter=_jitter())
        self._store.record(ref, target, update, now, published=False)

    async def _publish(self, ref: NumberKey, target: Target, endpoint: Endpoint) -> None:
        """Publish; nothing interrupts that, since only its end tells what the API holds."""
        call = asyncio.create_task(self._backend.publish(endpoint, target.key.pem))
        interrupted = False
        while not call.done():
            try:
                await asyncio.wait({call})
            except asyncio.CancelledError:
                interrupted = True
        answer = _UNKNOWN_OUTCOME if call.cancelled() or call.exception() else call.result()
        now = self._clock()
        update = partial(after_publish, answer=answer, now=now)
        seen = self._store.record(ref, target, update, now, published=True)
        call.result()
        if interrupted:
            if seen:
                # Whoever interrupted could not know what came of the publish, nor that it has to be looked at now.
                self._wait(ref, seen, max(seen.due, seen.retry_at))
            raise asyncio.CancelledError


def _can_wait(seen: Observation, now: float) -> bool:
    """Return whether a look at a number would only tell what is known: that it holds another key, and may get ours."""
    return not seen.observed and not seen.check_requested and has_another_key(seen) and now >= seen.publish_due


def _is_awaited(entry: KeyState, before: Observation, seen: Observation) -> bool:
    """Tell whether others wait for somebody to go first, and a number has come to be able to, or not to be."""
    return entry.gate.canary is not None and (seen.failures, seen.refusal) != (before.failures, before.refusal)


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads calls, keeps no secret
