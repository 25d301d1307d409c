"""The endpoint reconciler: asks the Flow endpoint of one object whether it opens the object's key."""

import logging
import random
from typing import Protocol

from bek_operator.controller.due import endpoint_due
from bek_operator.controller.result import Enqueue, Result
from bek_operator.controller.state import EndpointKey
from bek_operator.controller.store import Store
from bek_operator.controller.workqueue import Due, Priority
from bek_operator.crd.reasons import EndpointReason
from bek_operator.endpoint.facts import EndpointFacts
from bek_operator.endpoint.judge import Answer
from bek_operator.endpoint.target import EndpointTarget
from bek_operator.keys.public_key import is_usable
from bek_operator.numbers.endpoint import FlowEndpoint
from bek_operator.times import Clock

log = logging.getLogger(__name__)

_MOST_EARLIER = 4
"""Earlier keys that are asked for; usually there is one."""

_UNEXPECTED = Answer(
    reason=EndpointReason.UNREACHABLE, message="internal error of the operator; see its log", certain=False
)


class EndpointClient(Protocol):
    """Sends pings to Flow endpoints."""

    async def ping(self, endpoint: FlowEndpoint, public_key: str) -> Answer:
        """Return whether an endpoint opens what is encrypted to a public key (PEM), within a bounded time."""
        ...


class EndpointReconciler:
    """Reconciles Flow endpoints; each answer is recorded as a fact."""

    def __init__(self, *, store: Store, client: EndpointClient, clock: Clock) -> None:
        self._store = store
        self._client = client
        self._clock = clock

    async def reconcile(self, ref: EndpointKey) -> Result:
        """Ask the endpoint if that is due; return when it is due again, and the object if there is news."""
        before = facts = self._store.endpoints.facts(ref)
        if facts is None:
            return Result()
        target, now = facts.target, self._clock()
        if target.endpoint and now >= facts.ask_at:
            if now >= facts.due:
                await self._ask(ref, target, target.endpoint)
            else:
                await self._ask_earlier(ref, target.endpoint, facts)
        facts = self._store.endpoints.facts(ref)
        return Result(requeue=endpoint_due(facts) if facts else None, enqueue=self._news(ref, before, facts))

    async def _ask(self, ref: EndpointKey, target: EndpointTarget, endpoint: FlowEndpoint) -> None:
        self._store.endpoints.start(ref, self._clock())
        try:
            answer = await self._ping(endpoint, target.key.pem)
            jitter = random.random()  # noqa: S311 - spreads calls, keeps no secret
            self._store.endpoints.record(ref, target, answer, self._clock(), jitter)
        finally:
            self._store.endpoints.stop(ref)

    async def _ask_earlier(self, ref: EndpointKey, endpoint: FlowEndpoint, facts: EndpointFacts) -> None:
        """Ask for a few of the earlier keys that numbers still hold, unless the endpoint asks for a pause.

        In a reconcile after that of the current key, whose publish must not wait. A key that cannot be asked for, as
        after a restart, counts as before, and so does one for which there is no clear answer.
        """
        state, retry_at = self._store.get(ref.object), 0.0
        earlier = dict(list(state.earlier_keys.items() if state else ())[:_MOST_EARLIER])
        lost = set(facts.lost & earlier.keys())
        for fingerprint, public_key in earlier.items():
            if not is_usable(public_key):
                continue
            answer = await self._ping(endpoint, public_key)
            if answer.retry_after:
                retry_at = self._clock() + answer.retry_after
                break
            if answer.reason is EndpointReason.LACKS_KEY:
                lost.add(fingerprint)
            elif answer.holds_key:
                lost.discard(fingerprint)
        self._store.endpoints.record_earlier(ref, facts.target, lost, retry_at)

    async def _ping(self, endpoint: FlowEndpoint, public_key: str) -> Answer:
        try:
            return await self._client.ping(endpoint, public_key)
        except Exception:
            log.exception("unexpected error during a ping")
            return _UNEXPECTED

    def _news(self, ref: EndpointKey, before: EndpointFacts | None, after: EndpointFacts | None) -> tuple[Enqueue, ...]:
        """Return the object if its status changes: at once if numbers waited for the endpoint."""
        state = self._store.get(ref.object)
        if before is None or after is None or state is None or _shown(before) == _shown(after):
            return ()
        now = self._clock()
        at = now if before.holds_back and not after.holds_back else max(now, state.write_at)
        return (Enqueue(ref.object, Due(at=at, priority=Priority.REPAIR)),)


def _shown(facts: EndpointFacts) -> object:
    """Return all of the facts that the object's status depends on."""
    return facts.verdict, facts.opened, facts.observed, facts.check_requested
