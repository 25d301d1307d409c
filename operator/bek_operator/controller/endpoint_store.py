"""The part of the store about Flow endpoints, of which an object has one at most."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bek_operator.controller.state import EndpointKey, EndpointState, Idle, KeyState, Phase, Running
from bek_operator.crd.types import ObjectKey
from bek_operator.endpoint.facts import EndpointFacts, after_answer, after_earlier
from bek_operator.endpoint.judge import Answer
from bek_operator.endpoint.target import EndpointTarget


class EndpointStore:
    """The facts about the Flow endpoint of each object; `states` are the store's own."""

    def __init__(self, states: Mapping[ObjectKey, KeyState]) -> None:
        self._states = states

    def facts(self, ref: EndpointKey) -> EndpointFacts | None:
        """Return the facts about an endpoint."""
        found = self._find(ref)
        return found[1].facts if found else None

    def set(self, ref: ObjectKey, facts: EndpointFacts | None) -> None:
        """Store the facts about an object's endpoint for its current target; `None` if it has none any more."""
        state = self._states[ref]
        before = state.endpoint
        if before:
            state.work.remove(before)
        state.endpoint = EndpointState(facts) if facts else None
        if state.endpoint:
            if before and before.facts.target == state.endpoint.facts.target:
                # Otherwise a running reconcile is cancelled.
                state.endpoint.phase = before.phase
            state.work.add(state.endpoint)

    def start(self, ref: EndpointKey, now: float) -> None:
        """Record that an endpoint is being asked."""
        self._update(ref, phase=Running(now))

    def stop(self, ref: EndpointKey) -> None:
        """Record that an endpoint is asked no longer."""
        self._update(ref, phase=Idle())

    def record(self, ref: EndpointKey, target: EndpointTarget, answer: Answer, now: float, jitter: float) -> None:
        """Record the answer to a ping for a target; it is dropped if the target was replaced."""
        facts = self.facts(ref)
        if facts and facts.target == target:
            earlier = self._states[ref.object].earlier_keys
            self._update(ref, facts=after_answer(facts, answer, now, jitter, (key for key in earlier if earlier[key])))

    def record_earlier(
        self, ref: EndpointKey, target: EndpointTarget, lost: Iterable[str], retry_at: float = 0.0
    ) -> None:
        """Record which earlier keys an endpoint does not open; dropped if the target was replaced."""
        facts = self.facts(ref)
        if facts and facts.target == target:
            self._update(ref, facts=after_earlier(facts, lost, retry_at))

    def forget_earlier(self, ref: ObjectKey) -> None:
        """Forget the earlier keys that no number holds any more."""
        facts = self.facts(EndpointKey(ref))
        if facts and facts.lost:
            lost = facts.lost & self._states[ref].earlier_keys.keys()
            self._update(EndpointKey(ref), facts=replace(facts, lost=lost))

    def _find(self, ref: EndpointKey) -> tuple[KeyState, EndpointState] | None:
        state = self._states.get(ref.object)
        return (state, state.endpoint) if state and state.endpoint else None

    def _update(self, ref: EndpointKey, *, facts: EndpointFacts | None = None, phase: Phase | None = None) -> None:
        found = self._find(ref)
        if found:
            state, endpoint = found
            state.work.remove(endpoint)
            endpoint.facts, endpoint.phase = facts or endpoint.facts, phase or endpoint.phase
            state.work.add(endpoint)
