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
            raise ValueError("a reading that is VALID must have a key")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API took the key; only a later `Reading` says whether it is signed."""


_REFUSALS_OF_THE_KEY = frozenset({Reason.KEY_REJECTED, Reason.NOT_ELIGIBLE})
_OF_ALL_NUMBERS = frozenset({Reason.KEY_REJECTED, Reason.UNSUPPORTED})


class Retry(StrEnum):
    """What makes a failure go away, and so who must act."""

    TRANSIENT = "transient"
    """Trying again, for as long as it takes."""
    LIMITED = "limited"
    """Trying again a few times; after that the user must act."""
    TERMINAL = "terminal"
    """The user changing something; trying again only finds out whether they did."""


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
    """A call that said nothing about the number's key, or a publish that was refused.

    Attributes:
        reason: What to show.
        message: Our own words, at most 200 characters, the same for the same failure (no times, no counts).
        retry: What makes it go away.
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


def is_of_the_key(refusal: Failure) -> bool:
    """Return whether a publish was refused for the key itself, rather than for who published it or when."""
    return refusal.reason in _REFUSALS_OF_THE_KEY


def may_be_for_the_key(refusal: Failure) -> bool:
    """Return whether a refused publish may say something about the key, so that others had better not meet it, too.

    That is not so for what passes by itself, for what the API names as a fault of the number or the caller, and for
    errors that are not understood: those that name the key have a reason that says so.
    """
    if refusal.reason is Reason.ACCESS_DENIED:
        # By the HTTP status alone: a firewall that dislikes the body, for all that anybody knows.
        return refusal.code is None
    failed_over_it = refusal.unknown and refusal.retry is Retry.LIMITED and refusal.reason is Reason.SERVICE_NOT_READY
    return failed_over_it or refusal.reason in _OF_ALL_NUMBERS
