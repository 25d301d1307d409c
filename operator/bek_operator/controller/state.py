"""The state of objects and their numbers: values, and the two records of them, which only the store changes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

from bek_operator.controller.due import due_at
from bek_operator.controller.secrets_state import SecretsState
from bek_operator.crd.parse import BusinessEncryptionKey
from bek_operator.crd.types import ObjectKey, Spec
from bek_operator.endpoint.facts import EndpointFacts
from bek_operator.keys.public_key import PublicKey
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.rollout import CANARY_SECONDS, OPEN, RolloutGate, has_another_key, rollout_gate, unproven_gate
from bek_operator.status.compute import Blocked

WRITE_SECONDS: Final = 1.0
"""The least time between two writes of an object's status, on average."""

ANSWER_SECONDS: Final = 0.1
"""A write waits so long for the answers of numbers: after a change, and once no number waits for a worker any more."""

BATCH_SECONDS: Final = 2.0
"""After a write, answers are collected for so long while numbers wait for a worker."""


class NumberKey(NamedTuple):
    """A number of an object."""

    object: ObjectKey
    number: str


class EndpointKey(NamedTuple):
    """The Flow endpoint of an object."""

    object: ObjectKey


class DerivationKey(NamedTuple):
    """What an object's key needs to be decrypted."""

    object: ObjectKey


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do yet."""


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits for a worker, or for the rate limit of its API."""


@dataclass(frozen=True, slots=True)
class Running:
    """It is being reconciled, `since` an instant; `changed` is whether its row has changed since then."""

    since: float
    changed: bool = False


@dataclass(frozen=True, slots=True)
class AwaitingStatusWrite:
    """Its next publish waits until the status shows the last one."""


Phase = Idle | Queued | Running | AwaitingStatusWrite


@dataclass(slots=True)
class NumberState:
    """The state of one number; `paused` while the rollout has not reached it."""

    facts: NumberFacts
    phase: Phase = Idle()
    paused: bool = False

    @property
    def is_unfinished(self) -> bool:
        """Return whether a check of it is running or pending."""
        facts = self.facts
        return not facts.observed or facts.check_requested or isinstance(self.phase, Queued | Running)


@dataclass(slots=True)
class EndpointState:
    """The state of an object's Flow endpoint."""

    facts: EndpointFacts
    phase: Phase = Idle()

    @property
    def is_unfinished(self) -> bool:
        """Return whether a ping is running or pending that a user may wait for."""
        return self.facts.is_unfinished or isinstance(self.phase, Running)


@dataclass(slots=True)
class Work:
    """The work on an object's numbers: how many are unfinished, how many of these a worker has, the last since when."""

    unfinished: int = 0
    running: int = 0
    begun_at: float = -math.inf

    @classmethod
    def on(cls, callees: Iterable[NumberState | EndpointState]) -> Self:
        """Return the work on these numbers, and on the Flow endpoint."""
        work = cls()
        for one in callees:
            work.add(one)
        return work

    def add(self, callee: NumberState | EndpointState) -> None:
        """Count a number, or the endpoint."""
        self.unfinished += callee.is_unfinished
        if isinstance(callee.phase, Running):
            self.running += 1
            self.begun_at = max(self.begun_at, callee.phase.since)

    def remove(self, callee: NumberState | EndpointState) -> None:
        """Count a number or the endpoint no longer; it is as it was when it was added."""
        self.unfinished -= callee.is_unfinished
        self.running -= isinstance(callee.phase, Running)

    @property
    def answered_at(self) -> float:
        """Return until when answers are to be expected; infinite while numbers wait for a worker."""
        if not self.unfinished:
            return -math.inf
        return math.inf if self.running < self.unfinished else self.begun_at + ANSWER_SECONDS


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """When the status may be written: at once, unless answers of numbers are waited for.

    A write that is due waits for them: after a change for a tenth of a second, so that what is over by then is one
    write; after another write for one second, or for two as long as numbers wait for a worker. Two writes may follow
    each other at once, but on average there is one a second at most.

    Attributes:
        last: The last write; later than that after two in a row.
        changed_at: When work on numbers began that no status shows yet.
    """

    last: float = -math.inf
    changed_at: float | None = None

    def allows_at(self, answered_at: float) -> float:
        """Return the earliest instant of the next write; `answered_at` is that of the `Work` on the numbers."""
        if answered_at == -math.inf:
            return self.last
        if self.changed_at is not None:
            return max(self.last, self.changed_at + ANSWER_SECONDS)
        return min(max(self.last + WRITE_SECONDS, answered_at), self.last + BATCH_SECONDS)

    def after_change(self, now: float) -> "WriteLimit":
        """Return the limit after a change that has numbers worked on; many in a row do not delay the write."""
        is_shown = self.changed_at is None or now >= self.changed_at + WRITE_SECONDS
        return replace(self, changed_at=now) if is_shown else self

    def after_write(self, now: float) -> "WriteLimit":
        """Return the limit after a write, successful or not."""
        return WriteLimit(max(self.last + WRITE_SECONDS, now))


@dataclass(slots=True)
class KeyState:
    """The state of one object.

    Attributes:
        resource: The object as it was last read or written.
        key: The Secret's key or why there is none; `None` before its Secrets were read.
        numbers: By number, in the order of the spec.
        endpoint: The Flow endpoint; `None` if the spec has none.
        gate: Which numbers may be published to.
        inactive: It was suspended when its Secrets were last read, so its numbers may have changed.
    """

    resource: BusinessEncryptionKey
    key: PublicKey | Blocked | None = None
    numbers: dict[str, NumberState] = field(default_factory=dict)
    endpoint: EndpointState | None = None
    secrets: SecretsState = field(default_factory=SecretsState)
    gate: RolloutGate = OPEN
    write_limit: WriteLimit = WriteLimit()
    inactive: bool = False
    work: Work = field(default_factory=Work)

    @property
    def is_suspended(self) -> bool:
        """Return whether the object is suspended."""
        return isinstance(self.resource.spec, Spec) and self.resource.spec.suspend

    @property
    def is_at_rest(self) -> bool:
        """Return whether none of its numbers can be called: it is suspended, or has no usable key or spec."""
        return self.is_suspended or not (isinstance(self.key, PublicKey) and isinstance(self.resource.spec, Spec))

    @property
    def is_busy(self) -> bool:
        """Return whether any of its numbers is being worked on."""
        return self.work.unfinished > 0 and not self.is_at_rest

    @property
    def callees(self) -> list[NumberKey | EndpointKey]:
        """Return the keys of all that is called for the object."""
        ref = self.resource.ref
        endpoint = [EndpointKey(ref)] if self.endpoint else []
        return [*(NumberKey(ref, one) for one in self.numbers), *endpoint]

    @property
    def facts(self) -> dict[str, NumberFacts]:
        """Return the facts about each number."""
        return {number: state.facts for number, state in self.numbers.items()}

    @property
    def write_at(self) -> float:
        """Return the earliest instant of the next status write."""
        return self.write_limit.allows_at(-math.inf if self.is_at_rest else self.work.answered_at)

    def news_at(self, number: str, now: float) -> float:
        """Return when the object is due after a change of a number.

        At once if the rollout waits for the number, otherwise at the next status write.
        """
        return now if self.gate.canary == number else max(now, self.write_at)

    def shows_publish(self, facts: NumberFacts) -> bool:
        """Return whether the last written status shows a number's last publish."""
        if facts.published_at is None:
            return True
        row = self.resource.status.rows.get(facts.target.number)
        if row is None or row.published_at is None:
            return False
        return row.published_at >= int(facts.published_at) and row.publishes >= facts.publishes

    @property
    def earlier_keys(self) -> dict[str, str]:
        """Return the keys other than the Secret's that numbers hold as VALID: PEM by fingerprint, empty if unknown."""
        readings = (one.facts.reading for one in self.numbers.values() if has_another_key(one.facts))
        return {one.fingerprint: one.public_key for one in readings if one.fingerprint}

    @property
    def is_unproven(self) -> bool:
        """Return whether the Flow endpoint must open the key before numbers get it."""
        return self.endpoint is not None and self.endpoint.facts.holds_back

    def judge(self, now: float) -> RolloutGate:
        """Return the current rollout gate."""
        spec = self.resource.spec
        if self.is_at_rest or not isinstance(spec, Spec) or not spec.publish:
            return OPEN
        if self.endpoint and self.is_unproven:
            facts = (one.facts for one in self.numbers.values())
            return unproven_gate(facts, self.endpoint.facts.verdict.message)
        begun = {number: one.phase.since for number, one in self.numbers.items() if isinstance(one.phase, Running)}
        gate = rollout_gate(spec.rollout, self.facts, self.gate, begun, now)
        return replace(gate, lost=self.endpoint.facts.lost) if self.endpoint and gate.closed else gate

    def review_at(self, now: float) -> float:
        """Return when the rollout gate must be computed again without an event; infinite for never.

        The canary has some seconds to respond after it is due.
        """
        if self.is_at_rest:
            return math.inf
        if self.gate.review_at is not None:
            return self.gate.review_at
        canary = self.numbers.get(self.gate.canary or "")
        answer_due = due_at(canary.facts, now) + CANARY_SECONDS if canary else math.inf
        return answer_due if answer_due > now else math.inf
