"""The outcomes of API calls as values: a backend returns these and never raises.

Only codes, times and fingerprints come from a remote server. Messages are our own, so they can be shown in a status,
an event or a log.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bek_operator.crd.reasons import Reason
from bek_operator.crd.types import SignatureStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A well-formed answer to "which key do you hold?".

    `fingerprint` is `sha256:<hex>` of the key's DER SubjectPublicKeyInfo, or of the text if that is not a key; `None`
    if the API holds none. `public_key` is the text of the key. A documented error that means "no key" is a `Reading`
    without key as well. VALID comes with a readable key: a response that says otherwise contradicts itself, and is a
    `Failure`.
    """

    status: SignatureStatus | None
    fingerprint: str | None
    public_key: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.status is SignatureStatus.VALID and self.fingerprint is None:
            raise ValueError("a reading that is VALID must have a key")

    def compared_with(self, fingerprint: str) -> Reason:
        """Return how the key that the API holds compares with the one of that fingerprint."""
        if self.fingerprint is None:
            return Reason.NOT_PUBLISHED
        if self.fingerprint != fingerprint:
            return Reason.FOREIGN_KEY
        return Reason.SIGNED if self.status is SignatureStatus.VALID else Reason.STALE_SIGNATURE


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API accepted the key; only a later `Reading` says whether it is signed."""


_REFUSALS_OF_THE_KEY = frozenset({Reason.KEY_REJECTED, Reason.NOT_ELIGIBLE})
_OF_ALL_NUMBERS = frozenset({Reason.KEY_REJECTED, Reason.UNSUPPORTED})


class Retry(StrEnum):
    """Whether retrying helps, and so who must act."""

    TRANSIENT = "transient"
    """Retried until it passes."""
    LIMITED = "limited"
    """Retried a few times; after that the user must act."""
    TERMINAL = "terminal"
    """The user must act; retries only detect that they did."""


class Pace(StrEnum):
    """How soon a failed call is retried."""

    SOON = "soon"
    """Seconds: a failover, a restart."""
    NORMAL = "normal"
    """Seconds growing to minutes."""
    SLOW = "slow"
    """Half a minute growing to half an hour: a rate limit, or maintenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A check without a usable response, or a publish that was not accepted.

    Attributes:
        reason: The reason for the row.
        message: At most 200 characters, the same for the same failure (no times, no counts).
        retry: Whether retrying helps.
        pace: How soon to retry.
        retry_after: Seconds of the server's Retry-After, already bounded; `None` without one.
        code: The API's own error code, for the log and the message.
        trace: The API's id of the call, for its support; its form was checked.
        unknown: For a publish: it may have been carried out.
        sent: For a publish: its request may have been sent; not after a login that failed, for example.
        shared: It is a rate limit that applies to all calls with the same credentials.
    """

    reason: Reason
    message: str
    retry: Retry = Retry.TRANSIENT
    pace: Pace = Pace.NORMAL
    retry_after: float | None = None
    code: int | None = None
    trace: str | None = None
    unknown: bool = False
    sent: bool = True
    shared: bool = False


def is_of_the_key(refusal: Failure) -> bool:
    """Return whether a publish was refused because of the key itself."""
    return refusal.reason in _REFUSALS_OF_THE_KEY


def may_be_for_the_key(refusal: Failure) -> bool:
    """Return whether a refused publish may be the key's fault, so that other numbers must not get that key.

    Not for transient failures, for errors that the API attributes to the number or the caller, and for undocumented
    errors: those that mention the key have a reason of their own.
    """
    if refusal.reason is Reason.ACCESS_DENIED:
        # By the HTTP status alone: it may come from a firewall that rejects the body.
        return refusal.code is None
    failed_over_it = refusal.unknown and refusal.retry is Retry.LIMITED and refusal.reason is Reason.SERVICE_NOT_READY
    return failed_over_it or refusal.reason in _OF_ALL_NUMBERS
