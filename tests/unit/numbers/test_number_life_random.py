"""A number's life at the mercy of chance: whatever happens, in whatever order, the promises hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Accepted, Failure, Reading, Retry, is_of_the_key
from bek_operator.numbers.backoff import MOST_IN_AN_HOUR
from bek_operator.numbers.next_action import FRESH_SECONDS
from support.builders import (
    BROKEN,
    BUSY,
    DENIED,
    LOST_ANSWER,
    PASSWORD,
    REJECTED,
    UNREACHABLE,
    failure,
    on_premises,
    public_key,
)
from unit.numbers.rehearsal import Rehearsal

if TYPE_CHECKING:
    from unit.numbers.rehearsal import Call

HOUR = 3600.0

faults = st.sampled_from([None, None, UNREACHABLE, BUSY, BROKEN, DENIED, replace(BUSY, retry_after=900.0)])
refusals = faults | st.sampled_from(
    [REJECTED, LOST_ANSWER, failure(Reason.NOT_ELIGIBLE, retry=Retry.TERMINAL), replace(BROKEN, unknown=True)]
)
keys = st.sampled_from(["ours", "new", "somebody else's"])


class NumberLife(RuleBasedStateMachine):
    """Faults, rivals, rotations, edits, requests, restarts and an API server that takes no writes, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Rehearsal()
        self.begun = 0
        """From which call on a user's act, or another address, has the back-off count anew."""
        self.lifted = 0
        """From which call on a request, another address, or a process that does not know of them has all count anew."""
        self.moved = 0
        """From which call on they go to the address of now."""
        self.process = 0
        """From which call on this process has made them."""
        self.last_request = 0

    @initialize(interval=st.sampled_from([10, 600, 7200]), jitter=st.floats(0, 1))
    def begin(self, interval: int, jitter: float) -> None:
        """Have a life of any pace."""
        self.life = Rehearsal(jitter=jitter, intervalSeconds=interval)

    @rule(seconds=st.sampled_from([0.0, 1.0, 70.0, 301.0, 1300.0, 3601.0, 20000.0]))
    def time_passes(self, seconds: float) -> None:
        """Let the operator work."""
        # A short interval makes many checks; what matters of it is over within minutes.
        self.life.run(min(seconds, 360 * self.life.seen.target.interval))

    @rule(fault=faults)
    def reads_are_answered(self, fault: Failure | None) -> None:
        """Have reads fail, or work again."""
        self.life.api.read_fault = fault

    @rule(fault=refusals, carries_out=st.booleans(), settles=st.sampled_from([0.0, 0.0, 60.0, None]))
    def publishes_are_answered(self, fault: Failure | None, *, carries_out: bool, settles: float | None) -> None:
        """Have publishes fail, or work again."""
        self.life.api.publish_fault, self.life.api.carries_out, self.life.api.settles = fault, carries_out, settles

    @rule(every=st.sampled_from([None, 60.0, 4000.0]))
    def somebody_else_publishes(self, every: float | None) -> None:
        """Have a rival, or be rid of it."""
        self.life.api.overwritten = every

    @rule(key=st.none() | keys, valid=st.booleans())
    def the_number_is_registered_anew(self, key: str | None, *, valid: bool) -> None:
        """Have the number hold anything."""
        self.life.api.hold(public_key(key) if key else None, self.life.now, valid=valid)

    @rule(key=keys)
    def the_secret_changes(self, key: str) -> None:
        """Rotate the key, back and forth."""
        if self.life.key != public_key(key):
            self.begun = len(self.life.api.calls)
        self.life.rotate(key)

    @rule(password=st.sampled_from(["", PASSWORD, "new"]))
    def the_login_changes(self, password: str) -> None:
        """Change the password, or lose it for a while."""
        self.life.change_password(password)

    @rule(path=st.sampled_from(["", "/a"]), name=st.sampled_from(["x", "y"]))
    def the_api_changes(self, path: str, name: str) -> None:
        """Edit where the number is."""
        before = self.life.seen.target.address
        self.life.edit(apis=[on_premises(url=f"https://whatsapp-{{digits}}{path}", tls={"serverName": name})])
        if self.life.seen.target.address != before:
            self.begun = self.moved = self.lifted = len(self.life.api.calls)

    @rule(policy=st.sampled_from(["IfNeeded", "IfNeeded", "Never"]))
    def the_policy_changes(self, policy: str) -> None:
        """Edit whether anything is published."""
        self.life.edit(publishPolicy=policy)

    @rule()
    def a_check_is_asked_for(self) -> None:
        """Set the annotation to a new value."""
        self.last_request += 1
        self.begun = self.lifted = len(self.life.api.calls)
        self.life.request(f"request {self.last_request}")

    @rule()
    def the_process_ends(self) -> None:
        """Begin anew with what the status remembers, which says the same again if it spoke of a number checked."""
        before, looked_at = self.life.status, self.life.resource.status.complete and self.life.seen.observed
        self.process = len(self.life.api.calls)
        if not self.life.recorded or not self.life.is_request_met:
            self.lifted = self.process
        self.life.restart()
        if looked_at and self.life.writable:
            assert self.life.status == before

    @rule(writable=st.booleans())
    def the_api_server_takes_writes(self, *, writable: bool) -> None:
        """Have writes of the status fail, or work again."""
        self.life.writable = writable
        self.life.report()

    @invariant()
    def a_publish_follows_an_answer_that_asked_for_it(self) -> None:
        """The call before each publish is a read of this process, understood, fresh, and not of our key as VALID."""
        calls = self.life.api.calls[self.process :]
        assert not (calls and calls[0].publishes)
        for before, call in pairwise(calls):
            if call.publishes:
                assert isinstance(before.answer, Reading)
                assert call.at - before.at < FRESH_SECONDS

    @invariant()
    def nobody_is_called_who_asked_not_to_be(self) -> None:
        """After a Retry-After the next call of this process is as late as was asked, at the same address."""
        for before, call in pairwise(self.life.api.calls[max(self.process, self.moved) :]):
            if isinstance(before.answer, Failure) and before.answer.retry_after:
                assert call.at >= before.at + before.answer.retry_after

    @invariant()
    def the_back_off_holds(self) -> None:
        """No hour sees more than three publishes of a key, and one more for each crash that went unrecorded."""
        counted = [call.at for call in self.life.api.calls[self.begun :] if call.publishes and counts(call)]
        for first in counted:
            within = [at for at in counted if first <= at < first + HOUR]
            assert len(within) <= 3 + self.life.restarts_unseen

    @invariant()
    def whatever_the_key_six_publishes_an_hour_are_enough(self) -> None:
        """No hour sees more of them; a status knows no parts of a second."""
        counted = [call.at for call in self.life.api.calls[self.lifted :] if call.publishes and counts(call)]
        assert all(later - first > HOUR - 1 for first, later in zip(counted, counted[MOST_IN_AN_HOUR:], strict=False))

    @invariant()
    def a_problem_that_is_certain_is_shown(self) -> None:
        """The row names it at once, and nobody is called."""
        problem = self.life.seen.target.problem
        if problem and self.life.writable:
            assert self.life.row["reason"] == problem.reason

    @invariant()
    def a_signed_number_was_seen_to_be(self) -> None:
        """The row says Signed only while the last understood answer is our key, VALID."""
        if self.life.seen.reason is Reason.SIGNED:
            assert self.life.seen.finding is Reason.SIGNED

    @invariant()
    def ready_is_claimed_only_of_what_was_looked_at(self) -> None:
        """An object is Ready only with its number tried since the last change."""
        if self.life.writable and self.life.ready[0] == "True":
            assert self.life.seen.observed
            assert self.life.status["observedGeneration"] == self.life.resource.generation


def counts(call: Call) -> bool:
    """Return whether the key may have arrived, or was itself refused."""
    answer = call.answer
    return isinstance(answer, Accepted) or (isinstance(answer, Failure) and (answer.unknown or is_of_the_key(answer)))


TestNumberLife = NumberLife.TestCase
TestNumberLife.settings = settings(max_examples=60, stateful_step_count=25)
