"""Leader election as values: what is known of the Lease, and what follows from that at an instant.

The rules are those of client-go's `tools/leaderelection`. Clocks of other machines are never compared: a Lease has
expired when its record has not *changed* for as long as it is valid, by the clock of who looks at it; and a leader is
one for a time that counts from before its last renewal was sent. So two processes cannot be leaders at one instant, as
long as a second is as long for both.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Self

from bek_operator.cluster.lease import LeaseRecord

LEASE_SECONDS: Final = 12
"""A Lease that is not renewed for so long can be taken over: with `LOOK_SECONDS`, less than 15 s after a crash."""

RENEW_SECONDS: Final = 8.0
"""A leader that could not renew its Lease for so long is none any more."""

RETRY_SECONDS: Final = 2.0
"""The time between two renewals."""

LOOK_SECONDS: Final = 1.0
"""The time between two looks of a standby, so that it takes over within two seconds after a Lease was released."""

AGAIN_SECONDS: Final = 1.0
"""The time until a failed renewal is repeated: with one request that hangs a leader still renews in time."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Write our name into the Lease."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Write the time into our Lease."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Another process is the leader, at least until then."""

    until: float


@dataclass(frozen=True, slots=True)
class Lost:
    """We are not the leader any more."""

    reason: str


Step = Acquire | Renew | Wait | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Election:
    """What a process knows; times are of its own clock, which never goes back.

    Attributes:
        identity: The process's own name, which no other process ever had.
        record: What the Lease last said; `None` before it was ever seen.
        unchanged_since: When that was first seen.
        valid_until: For a leader: until when it is one unless it renews the Lease.
    """

    identity: str
    record: LeaseRecord | None = None
    unchanged_since: float = -math.inf
    valid_until: float = -math.inf

    @property
    def holder(self) -> str:
        """The identity of the leader; empty when there is none, as far as is known."""
        return self.record.holder if self.record else ""

    def is_leader(self, now: float) -> bool:
        """Return whether no other process can be the leader."""
        return self.holder == self.identity and now < self.valid_until

    def saw(self, record: LeaseRecord | None, now: float) -> Self:
        """Return what is known after the Lease was read.

        One that was deleted (`None`) counts until it would have expired: its holder may not know yet.
        """
        if record is None or record == self.record:
            return self
        return replace(self, record=record, unchanged_since=now)

    def wrote(self, record: LeaseRecord, started: float) -> Self:
        """Return what is known after our write of the Lease, begun at `started`, has succeeded."""
        return replace(self, record=record, unchanged_since=started, valid_until=started + RENEW_SECONDS)

    def resigned(self) -> Self:
        """Return what is known by a process that is not the leader any more, whatever the Lease says."""
        return replace(self, valid_until=-math.inf)

    def next_step(self, now: float) -> Step:
        """Return what to do now."""
        was_leader = self.valid_until > -math.inf
        if was_leader and self.holder != self.identity:
            return Lost(f"it is held by {self.holder or 'nobody'}")
        if was_leader and now >= self.valid_until:
            return Lost(f"it could not be renewed for {RENEW_SECONDS:g} s")
        if was_leader:
            return Renew()
        if self.record is None or self.holder in {"", self.identity}:
            return Acquire()
        expires = self.unchanged_since + (self.record.seconds or LEASE_SECONDS)
        return Acquire() if now >= expires else Wait(expires)

    def claim(self, at: str) -> LeaseRecord:
        """Return what to write to acquire or renew the Lease; `at` is the time, for people."""
        if self.record and self.holder == self.identity:
            return replace(self.record, seconds=LEASE_SECONDS, renewed=at)
        transitions = self.record.transitions + 1 if self.record else 0
        return LeaseRecord(
            holder=self.identity, seconds=LEASE_SECONDS, acquired=at, renewed=at, transitions=transitions
        )

    def release(self, at: str) -> LeaseRecord | None:
        """Return what to write so that another process can acquire the Lease at once; `None` if it is not ours."""
        if self.record is None or self.holder != self.identity:
            return None
        return replace(self.record, holder="", seconds=1, acquired=at, renewed=at)
