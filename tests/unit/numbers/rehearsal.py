"""One number's life by the pure rules alone: no cluster, no calls, and time as an argument.

What the reconcilers do between two awaits is done here in a few lines, so that hours of competing writers,
failures and restarts take milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bek_operator.crd.parse import REQUESTED_AT, BusinessEncryptionKey, parse_object
from bek_operator.crd.status import render_status
from bek_operator.crd.types import SignatureStatus
from bek_operator.numbers.answers import Accepted, Failure, Reading
from bek_operator.numbers.carry_over import restore_from_status, with_target
from bek_operator.numbers.endpoints import Missing
from bek_operator.numbers.facts import NumberFacts
from bek_operator.numbers.next_action import Publish, Read, Reuse, Wait, next_action
from bek_operator.numbers.target import targets_of
from bek_operator.numbers.transitions import after_failure, after_publish, after_read, after_reuse
from bek_operator.status.compute import status_of
from support.builders import LOGIN_SECRET, NOW, NUMBER, body, egress, public_key, secrets, spec_body, spec_of
from support.cluster.conditions import faults_of
from support.cluster.schema import status_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bek_operator.keys.public_key import PublicKey
    from bek_operator.numbers.target import Target

MOST_CALLS_AT_ONCE = 4
"""Read, publish, read again, wait: more than that at one time would go on for ever."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call and its result."""

    at: float
    publishes: bool
    answer: Reading | Accepted | Failure


@dataclass(kw_only=True)
class VirtualApi:
    """The API of one number.

    Attributes:
        settles: Seconds from an accepted publish until it is VALID; `None` for never.
        overwritten: Seconds between two publishes of another client's key; `None` for never.
        read_fault: The result of every read instead.
        publish_fault: The same for publishes; one of an unknown outcome is carried out where `carries_out`.
    """

    held: PublicKey | None = None
    valid_from: float | None = None
    settles: float | None = 0.0
    overwritten: float | None = None
    read_fault: Failure | None = None
    publish_fault: Failure | None = None
    carries_out: bool = False
    calls: list[Call] = field(default_factory=list)
    _held_since: float = NOW

    def hold(self, key: PublicKey | None, now: float, *, valid: bool = True) -> None:
        """Hold a key, whoever published it."""
        self.held, self.valid_from, self._held_since = key, now if valid else None, now

    def read(self, now: float) -> Reading | Failure:
        """Answer a read."""
        self._be_overwritten(now)
        valid = self.held is not None and self.valid_from is not None and now >= self.valid_from
        status = SignatureStatus.VALID if valid else SignatureStatus.MISMATCH
        reading = Reading(status=status, fingerprint=self.held.fingerprint if self.held else None)
        answer = self.read_fault or reading
        self.calls.append(Call(now, publishes=False, answer=answer))
        return answer

    def publish(self, key: PublicKey, now: float) -> Accepted | Failure:
        """Answer a publish."""
        self._be_overwritten(now)
        answer = self.publish_fault or Accepted()
        if self.publish_fault is None or (self.publish_fault.unknown and self.carries_out):
            self.hold(key, now)
            self.valid_from = None if self.settles is None else now + self.settles
        self.calls.append(Call(now, publishes=True, answer=answer))
        return answer

    @property
    def publishes(self) -> list[float]:
        """The times of publishes, in seconds since the start."""
        return [call.at - NOW for call in self.calls if call.publishes]

    @property
    def reads(self) -> list[float]:
        """The times of reads, in seconds since the start."""
        return [call.at - NOW for call in self.calls if not call.publishes]

    def _be_overwritten(self, now: float) -> None:
        if self.overwritten is not None:
            last = NOW + (now - NOW) // self.overwritten * self.overwritten
            if last > self._held_since:
                self.hold(public_key("somebody else's"), last)


class Rehearsal:
    """An object with one number, its API, and the operator's rules for them."""

    def __init__(self, api: VirtualApi | None = None, *, jitter: float = 0.5, **spec: Any) -> None:
        self.api = api or VirtualApi()
        self.now = NOW
        self.key = public_key()
        self.jitter = jitter
        self.writable = True
        self.writes = 0
        self.restarts_unseen = 0
        self._body = body(spec_body(**spec))
        self._secrets = secrets()
        self._resource = parse_object(self._body)
        self._seen: NumberFacts | None = None
        self.plan()

    @property
    def seen(self) -> NumberFacts:
        """Return what is known of the number."""
        if self._seen is None:
            raise LookupError(NUMBER)
        return self._seen

    @property
    def resource(self) -> BusinessEncryptionKey:
        """Return the object as it was read or written last."""
        return self._resource

    @property
    def status(self) -> Mapping[str, Any]:
        """Return the status that the API server holds."""
        status: Mapping[str, Any] = self._body["status"]
        return status

    @property
    def row(self) -> Mapping[str, Any]:
        """Return the number's row of that status."""
        row: Mapping[str, Any] = self.status["phoneNumbers"][0]
        return row

    @property
    def ready(self) -> tuple[str, str, str]:
        """Return status and reason of the Ready condition, and the type of the abnormal one beside it."""
        ready, *abnormal = self.status["conditions"]
        return ready["status"], ready["reason"], abnormal[0]["type"] if abnormal else ""

    @property
    def recorded(self) -> bool:
        """Whether the stored status shows the last publish."""
        row = self._resource.status.rows.get(NUMBER)
        shown = row.published_at if row else None
        return self.seen.published_at is None or (shown is not None and shown >= int(self.seen.published_at))

    @property
    def is_request_met(self) -> bool:
        """Whether the status shows that the last request for a check was handled, if there was one."""
        return self._resource.request in {"", self._resource.status.request}

    def plan(self) -> None:
        """Read the object, and set the number's target."""
        self._resource = parse_object(self._body)
        aim = self._target()
        before = self._seen
        if before is None:
            due = self.now + aim.interval * self.jitter
            recorded, generation = self._resource.status, self._resource.generation
            self._seen = restore_from_status(aim, recorded, generation, now=self.now, due=due)
        else:
            self._seen = with_target(before, aim, self.now)
        self.report()

    def _target(self) -> Target:
        found = self._resource
        [aim] = targets_of(found, spec_of(found), self.key, self._secrets, egress(), {})
        return aim

    def work(self) -> float | None:
        """Do what is due now; return when more is due, `None`: once the status is written."""
        for _ in range(MOST_CALLS_AT_ONCE):
            aim = self.seen.target
            if aim.problem:
                return self.seen.due
            match next_action(self.seen, self.now, recorded=self.recorded):
                case Wait(until):
                    return until
                case Reuse():
                    self._seen = after_reuse(self.seen, self.now)
                case Read():
                    self._read()
                case Reuse():
                    self._seen = after_reuse(self.seen, self.now)
                case Publish():
                    self._seen = after_publish(self.seen, self.api.publish(aim.key, self.now), self.now)
        raise AssertionError(f"calls do not end at one time: {self.api.calls[-MOST_CALLS_AT_ONCE:]}")

    def _read(self) -> None:
        answer = self.api.read(self.now)
        if isinstance(answer, Failure):
            self._seen = after_failure(self.seen, answer, self.now, self.jitter)
        else:
            self._seen = after_read(self.seen, answer, self.now, self.jitter)

    def report(self) -> None:
        """Write the status if it differs, and check that the API server would accept it."""
        status = status_of(self._resource, self.key, {NUMBER: self.seen}, self.now)
        if status == self._resource.status:
            return
        written = render_status(status)
        faults = status_faults(written) + faults_of(written, self._resource.generation)
        if faults:
            raise AssertionError(faults)
        if self.writable:
            self._body["status"] = written
            self._resource = parse_object(self._body)
            self.writes += 1

    def run(self, seconds: float = 0.0) -> Rehearsal:
        """Let time pass, and do what becomes due."""
        end = self.now + seconds
        while True:
            until = self.work()
            self.report()
            if until is None and self.recorded:
                continue
            if until is None or until > end:
                self.now = end
                return self
            self.now = max(until, self.now)

    def restart(self) -> Rehearsal:
        """Restart with what the status holds."""
        self.restarts_unseen += not self.recorded
        self._seen = None
        self.plan()
        return self

    def rotate(self, name: str) -> Rehearsal:
        """Put another key into the Secret."""
        self.key = public_key(name)
        self.plan()
        return self

    def request(self, value: str) -> Rehearsal:
        """Ask for a check, as the user does with the annotation."""
        self._body["metadata"]["annotations"][REQUESTED_AT] = value
        self.plan()
        return self

    def edit(self, **spec: Any) -> Rehearsal:
        """Change members of the spec."""
        self._body["spec"].update(spec)
        self._body["metadata"]["generation"] += 1
        self.plan()
        return self

    def change_password(self, password: str) -> Rehearsal:
        """Put another password into the Secret with the credentials, or take that Secret away when empty."""
        entries = {"username": b"admin", "password": password.encode()}
        self._secrets[LOGIN_SECRET] = entries if password else Missing.ABSENT
        self.plan()
        return self
