"""Reasons: why a number, or a whole object, is in the state it is in.

They are API: people match on them in alerts and health checks, so a published one keeps its name and meaning.
Within a group the graver ones come later; the object's Ready condition takes the gravest of its numbers.
"""

from enum import IntEnum, StrEnum
from typing import Final


class Group(IntEnum):
    """Who must act before a number comes right; a higher one is graver."""

    DONE = 0
    NOBODY = 1
    TIME = 2
    PERSON = 3


class Reason(StrEnum):
    """Reasons of a single number, gravest last within its group."""

    # Nobody must act.
    SIGNED = "Signed"
    WAITING_FOR_ROLLOUT = "WaitingForRollout"
    PENDING = "Pending"

    # Time heals.
    FOREIGN_KEY = "ForeignKey"
    STALE_SIGNATURE = "StaleSignature"
    NOT_PUBLISHED = "NotPublished"
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    INVALID_ANSWER = "InvalidAnswer"
    MAINTENANCE = "Maintenance"
    SERVICE_NOT_READY = "ServiceNotReady"
    RATE_LIMITED = "RateLimited"
    UNREACHABLE = "Unreachable"

    # A person must act.
    UNSUPPORTED = "Unsupported"
    DUPLICATE_NUMBER = "DuplicateNumber"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    INVALID_CREDENTIALS = "InvalidCredentials"
    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    KEY_CHANGES_TOO_OFTEN = "KeyChangesTooOften"
    CONTENDED = "Contended"
    SIGNATURE_MISMATCH = "SignatureMismatch"
    KEY_REJECTED = "KeyRejected"
    NOT_ELIGIBLE = "NotEligible"
    NUMBER_UNKNOWN = "NumberUnknown"
    NOT_REGISTERED = "NotRegistered"
    PASSWORD_CHANGE_REQUIRED = "PasswordChangeRequired"  # noqa: S105 - a reason, not a password
    APP_SECRET_PROOF_REQUIRED = "AppSecretProofRequired"  # noqa: S105 - a reason, not a secret
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - a reason, not a token
    ACCESS_DENIED = "AccessDenied"


AT_EASE: Final = frozenset({Reason.SIGNED, Reason.WAITING_FOR_ROLLOUT})
"""Reasons of numbers that nobody needs to hurry for: one more look at them is nothing that anybody waits for."""

LACKS_THE_KEY: Final = frozenset({Reason.FOREIGN_KEY, Reason.STALE_SIGNATURE, Reason.NOT_PUBLISHED})
"""What an answer can find wrong with a number; a publish mends it."""

OF_THE_KEY: Final = frozenset({Reason.KEY_REJECTED, Reason.SIGNATURE_MISMATCH})
"""What a number that was published to has against the key."""


class ObjectReason(StrEnum):
    """Reasons of the Ready condition that are not a number's."""

    SUCCEEDED = "Succeeded"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    INVALID_KEY = "InvalidKey"
    INVALID_SPEC = "InvalidSpec"


_ORDER = list(Reason)
_FIRST_TIME = _ORDER.index(Reason.FOREIGN_KEY)
_FIRST_PERSON = _ORDER.index(Reason.UNSUPPORTED)


def group_of(reason: Reason) -> Group:
    """Tell who must act, going by the reason alone."""
    position = _ORDER.index(reason)
    if position >= _FIRST_PERSON:
        return Group.PERSON
    if position >= _FIRST_TIME:
        return Group.TIME
    return Group.DONE if reason is Reason.SIGNED else Group.NOBODY


def severity(reason: Reason) -> int:
    """Return the reason's place in the order, for picking the gravest within a group."""
    return _ORDER.index(reason)
