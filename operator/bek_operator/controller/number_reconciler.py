"""The number reconciler: see to it that one number holds its target's key, against the one API of that number.

What to do next is decided by `numbers.next_action`, what an answer changes by `numbers.transitions`; here the calls are
made, until there is nothing to do but wait.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bek_operator.controller.due import due_at, number_due
from bek_operator.controller.result import Enqueue, Result
from bek_operator.controller.state import AwaitingStatusWrite, Idle, NumberKey
from bek_operator.controller.store import Store
from bek_operator.controller.workqueue import Due, Priority
from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Accepted, Failure, Pace, Reading
from bek_operator.numbers.endpoint import Endpoint
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.next_action import Action, Publish, Read, Reuse, Wait, next_action
from bek_operator.numbers.rollout import has_another_key
from bek_operator.numbers.transitions import after_failure, after_publish, after_read, after_reuse
from bek_operator.times import Clock
from bek_operator.whatsapp.backend import Backend

log = logging.getLogger(__name__)

_UNEXPECTED = Failure(
    reason=Reason.INVALID_ANSWER,
    message="an error of the operator itself; its log tells more",
    pace=Pace.SOON,
    unknown=True,
)
"""What is known of a call that ended in an error which nobody foresaw: a key may have arrived."""


class NumberReconciler:
    """Works on one number at a time."""

    def __init__(self, *, store: Store, backend: Backend[Endpoint], clock: Clock) -> None:
        self._store = store
        self._backend = backend
        self._clock = clock

    async def reconcile(self, ref: NumberKey) -> Result:
        """Call the number's API as often as it takes; return when the number is due again.

        An interruption ends a read. A publish goes on to its end, since only that tells what the API holds.
        """
        before = self._store.start(ref, self._clock())
        try:
            while before and (facts := self._store.facts(ref)):
                target, now = facts.target, self._clock()
                if target.endpoint is None:
                    return self._wait(ref, before, math.inf)
                match self._next_action(ref, facts, now):
                    case Wait(until):
                        return self._wait(ref, before, until)
                    case Reuse():
                        self._store.record(ref, target, partial(after_reuse, now=now), now)
                    case Read():
                        reading = await self._read(target.endpoint)
                        now = self._clock()
                        self._store.record(ref, target, _after_read(reading, now), now)
                    case Publish():
                        accepted, interrupted = await self._publish(target.endpoint, target.key.pem)
                        now = self._clock()
                        update = partial(after_publish, answer=accepted, now=now)
                        self._store.record(ref, target, update, now, published=True)
                        if interrupted:
                            return self._after_interruption(ref, now)
            return Result()
        finally:
            self._store.stop(ref, Idle())

    def _next_action(self, ref: NumberKey, facts: NumberFacts, now: float) -> Action:
        """Decide what to do next; what a rollout has not reached yet goes on being checked, and no more."""
        state = self._store.get(ref.object)
        decision = next_action(facts, now, recorded=state is not None and state.shows_publish(facts))
        leads_to_publish = isinstance(decision, Publish) or (not isinstance(decision, Wait) and _lacks_key(facts, now))
        if leads_to_publish and not self._store.allows(ref, facts, now):
            return Wait(self._store.pause(ref, facts).due)
        return decision

    def _wait(self, ref: NumberKey, before: NumberFacts, until: float | None) -> Result:
        """Leave the number until then (`None`: until its status is written); its object hears what has changed.

        One that is never due, since nobody can be called for it, waits for another target.
        """
        state, facts = self._store.get(ref.object), self._store.facts(ref)
        changed = self._store.stop(ref, AwaitingStatusWrite() if until is None else Idle())
        if state is None or facts is None:
            return Result()
        # Others wait for a number to go first, and this one has come to be able to, or not to be.
        is_same = (facts.failures, facts.refusal) == (before.failures, before.refusal)
        changed = changed or (state.gate.canary is not None and not is_same)
        return Result(
            requeue=None if until is None else number_due(facts, until),
            enqueue=(_news(ref, state.news_at(ref.number, self._clock())),) if changed else (),
        )

    def _after_interruption(self, ref: NumberKey, now: float) -> Result:
        """Have looked at what came of a publish: whoever interrupted it could not know that."""
        state, facts, news = self._store.get(ref.object), self._store.facts(ref), _news(ref, now)
        due = None if state is None or facts is None or state.is_at_rest else number_due(facts, due_at(facts, now))
        return Result(enqueue=(news, Enqueue(ref, due)) if due else (news,))

    async def _read(self, endpoint: Endpoint) -> Reading | Failure:
        try:
            return await self._backend.read(endpoint)
        except Exception:
            log.exception("an unexpected error of a call")
            return replace(_UNEXPECTED, unknown=False)

    async def _publish(self, endpoint: Endpoint, public_key: str) -> tuple[Accepted | Failure, bool]:
        """Publish; return what came of it, and whether it was to be interrupted."""
        call = asyncio.create_task(self._backend.publish(endpoint, public_key))
        interrupted = False
        while not call.done():
            try:
                await asyncio.wait({call})
            except asyncio.CancelledError:
                interrupted = True
        try:
            return call.result(), interrupted
        except (Exception, asyncio.CancelledError):
            log.exception("an unexpected error of a call")
            return _UNEXPECTED, interrupted


def _news(ref: NumberKey, at: float) -> Enqueue:
    return Enqueue(ref.object, Due(at=at, priority=Priority.REPAIR))


def _after_read(answer: Reading | Failure, now: float) -> Callable[[NumberFacts], NumberFacts]:
    if isinstance(answer, Failure):
        return partial(after_failure, failure=answer, now=now, jitter=_jitter())
    return partial(after_read, reading=answer, now=now, jitter=_jitter())


def _lacks_key(facts: NumberFacts, now: float) -> bool:
    """Return whether a read would only tell what is known: that the number holds another key, and may get ours."""
    unread = not facts.observed and not facts.check_requested
    return unread and has_another_key(facts) and now >= facts.publish_due


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads calls, keeps no secret
