"""The number reconciler: makes one number hold its target's key, by calls to its API.

`numbers.next_action` decides what to do, `numbers.transitions` updates the facts; the calls are made here, until the
number must wait.
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
    message="internal error of the operator; see its log",
    pace=Pace.SOON,
    unknown=True,
)
"""The outcome of a call that ended in an unexpected error: a publish may have been carried out."""


class NumberReconciler:
    """Reconciles numbers."""

    def __init__(self, *, store: Store, backend: Backend[Endpoint], clock: Clock) -> None:
        self._store = store
        self._backend = backend
        self._clock = clock

    async def reconcile(self, ref: NumberKey) -> Result:
        """Call the number's API as often as it takes; return when the number is due again.

        Cancellation ends a read. A publish is completed, because its outcome says which key the API holds.
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
        """Return the next action; a number that waits for the rollout is only checked."""
        state = self._store.get(ref.object)
        decision = next_action(facts, now, recorded=state is not None and state.shows_publish(facts))
        leads_to_publish = isinstance(decision, Publish) or (not isinstance(decision, Wait) and _lacks_key(facts, now))
        if leads_to_publish and not self._store.allows(ref, facts, now):
            return Wait(self._store.pause(ref, facts).due)
        return decision

    def _wait(self, ref: NumberKey, before: NumberFacts, until: float | None) -> Result:
        """Requeue the number at `until` (`None`: after the next status write), and enqueue its object if facts changed.

        A number that is never due, because it cannot be called, waits for another target.
        """
        state, facts = self._store.get(ref.object), self._store.facts(ref)
        changed = self._store.stop(ref, AwaitingStatusWrite() if until is None else Idle())
        if state is None or facts is None:
            return Result()
        # The rollout may choose another canary, because this number began or ceased to fail.
        is_same = (facts.failures, facts.refusal) == (before.failures, before.refusal)
        changed = changed or (state.gate.canary is not None and not is_same)
        return Result(
            requeue=None if until is None else number_due(facts, until),
            enqueue=(_news(ref, state.news_at(ref.number, self._clock())),) if changed else (),
        )

    def _after_interruption(self, ref: NumberKey, now: float) -> Result:
        """Enqueue object and number, because the publish ended after the cancellation."""
        state, facts, news = self._store.get(ref.object), self._store.facts(ref), _news(ref, now)
        due = None if state is None or facts is None or state.is_at_rest else number_due(facts, due_at(facts, now))
        return Result(enqueue=(news, Enqueue(ref, due)) if due else (news,))

    async def _read(self, endpoint: Endpoint) -> Reading | Failure:
        try:
            return await self._backend.read(endpoint)
        except Exception:
            log.exception("unexpected error during an API call")
            return replace(_UNEXPECTED, unknown=False)

    async def _publish(self, endpoint: Endpoint, public_key: str) -> tuple[Accepted | Failure, bool]:
        """Publish; return the outcome, and whether the reconcile was cancelled."""
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
            log.exception("unexpected error during an API call")
            return _UNEXPECTED, interrupted


def _news(ref: NumberKey, at: float) -> Enqueue:
    return Enqueue(ref.object, Due(at=at, priority=Priority.REPAIR))


def _after_read(answer: Reading | Failure, now: float) -> Callable[[NumberFacts], NumberFacts]:
    if isinstance(answer, Failure):
        return partial(after_failure, failure=answer, now=now, jitter=_jitter())
    return partial(after_read, reading=answer, now=now, jitter=_jitter())


def _lacks_key(facts: NumberFacts, now: float) -> bool:
    """Return whether a read would only confirm that the number lacks the key."""
    unread = not facts.observed and not facts.check_requested
    return unread and has_another_key(facts) and now >= facts.publish_due


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads calls, keeps no secret
