"""What an API said about one number, as values: a backend returns these and never raises.

Nothing in here was written by a remote server but codes, times and fingerprints; texts are our own words, so
they may be shown in a status, an event or a log.
"""

from dataclasses import dataclass
from enum import StrEnum

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import SignatureStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A well-formed answer to "which key do you hold?".

    `fingerprint` is `sha256:<hex>` of the key's DER SubjectPublicKeyInfo, or of the text where that is no key; `None`
    when the API holds none. An API that documents "nothing there" as an error is a `Reading` without key as well.
    VALID comes with a key that could be read: an answer that says otherwise contradicts itself, and is a `Failure`.
    """

    status: SignatureStatus | None
    fingerprint: str | None

    def __post_init__(self) -> None:
        if self.status is SignatureStatus.VALID and self.fingerprint is None:
            raise ValueError("VALID comes with a key; what says otherwise is not to be acted upon")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API took the key; only a later `Reading` tells whether it is signed."""


class Retry(StrEnum):
    """What makes a failure go away."""

    TRANSIENT = "time"
    """Trying again, for as long as it takes."""
    LIMITED = "bounded"
    """Trying again a few times; after that a person has to look."""
    TERMINAL = "person"
    """Somebody changing something; trying again only finds out whether they did."""


class Pace(StrEnum):
    """How soon a failed call is worth repeating."""

    SOON = "soon"
    """Seconds: a failover, a restart."""
    NORMAL = "normal"
    """Seconds growing to minutes."""
    SLOW = "slow"
    """Half a minute growing to many: a server that asked for less, or is under repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that told nothing about the number's key, or a publish that was refused.

    Attributes:
        reason: What to show.
        message: Our own words, at most 200 characters, the same for the same failure (no times, no counts).
        cure: What makes it go away.
        pace: How soon to try again.
        retry_after: Seconds that the server asked us to wait, already bounded; `None` when it did not ask.
        code: The API's own error code, for the log and the message.
        trace: The API's id of the call, checked for form, for its support.
        unknown: For a publish: it may have been carried out all the same.
        shared: It is a limit on calls, which every call with the same credentials meets.
    """

    reason: Reason
    message: str
    retry: Retry = Retry.TRANSIENT
    pace: Pace = Pace.NORMAL
    retry_after: float | None = None
    code: int | None = None
    trace: str | None = None
    unknown: bool = False
    shared: bool = False
