"""Reasons: why a number, or a whole object, is in the state it is in.

They are API: people match on them in alerts and health checks, so a published one keeps its name and meaning. The
object's Ready condition takes the most severe of its numbers.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final


class Reason(StrEnum):
    """Reasons of a single number."""

    SIGNED = "Signed"
    WAITING_FOR_ROLLOUT = "WaitingForRollout"
    WAITING_FOR_ENDPOINT = "WaitingForEndpoint"
    PENDING = "Pending"
    FOREIGN_KEY = "ForeignKey"
    STALE_SIGNATURE = "StaleSignature"
    NOT_PUBLISHED = "NotPublished"
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    INVALID_ANSWER = "InvalidAnswer"
    MAINTENANCE = "Maintenance"
    SERVICE_NOT_READY = "ServiceNotReady"
    RATE_LIMITED = "RateLimited"
    UNREACHABLE = "Unreachable"
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


HELD: Final = frozenset({Reason.WAITING_FOR_ROLLOUT, Reason.WAITING_FOR_ENDPOINT})
"""Reasons of numbers that must not be published to yet."""

AT_EASE: Final = HELD | {Reason.SIGNED}
"""Reasons of numbers that are signed or in progress: no user waits for their next check."""

LACKS_THE_KEY: Final = frozenset({Reason.FOREIGN_KEY, Reason.STALE_SIGNATURE, Reason.NOT_PUBLISHED})
"""Reasons that a reading can find; a publish repairs them."""

OF_THE_KEY: Final = frozenset({Reason.KEY_REJECTED, Reason.SIGNATURE_MISMATCH})
"""Reasons for which the key itself may be at fault."""


class ObjectReason(StrEnum):
    """Reasons of the Ready condition that are not a number's."""

    SUCCEEDED = "Succeeded"
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    INVALID_KEY = "InvalidKey"
    INVALID_SPEC = "InvalidSpec"
    TOO_MANY_NUMBERS = "TooManyNumbers"


class EndpointReason(StrEnum):
    """Reasons of the Flow endpoint."""

    HOLDS_KEY = "EndpointHoldsKey"
    PENDING = "EndpointPending"
    LACKS_OLD_KEY = "EndpointLacksOldKey"
    UNREACHABLE = "EndpointUnreachable"
    INVALID_ANSWER = "EndpointInvalidAnswer"
    SIGNATURE_REFUSED = "EndpointSignatureRefused"
    LACKS_KEY = "EndpointLacksKey"


class Severity(IntEnum):
    """How severe a reason is by itself; a higher one is more severe, whatever the ranks."""

    HEALTHY = 0
    IN_PROGRESS = 1
    TRANSIENT = 2
    USER_ACTION = 3


SEVERITY: Final[Mapping[Reason, tuple[Severity, int]]] = {
    Reason.SIGNED: (Severity.HEALTHY, 0),
    Reason.WAITING_FOR_ROLLOUT: (Severity.IN_PROGRESS, 1),
    Reason.WAITING_FOR_ENDPOINT: (Severity.IN_PROGRESS, 2),
    Reason.PENDING: (Severity.IN_PROGRESS, 3),
    Reason.FOREIGN_KEY: (Severity.TRANSIENT, 4),
    Reason.STALE_SIGNATURE: (Severity.TRANSIENT, 5),
    Reason.NOT_PUBLISHED: (Severity.TRANSIENT, 6),
    Reason.CREDENTIALS_NOT_FOUND: (Severity.TRANSIENT, 7),
    Reason.INVALID_ANSWER: (Severity.TRANSIENT, 8),
    Reason.MAINTENANCE: (Severity.TRANSIENT, 9),
    Reason.SERVICE_NOT_READY: (Severity.TRANSIENT, 10),
    Reason.RATE_LIMITED: (Severity.TRANSIENT, 11),
    Reason.UNREACHABLE: (Severity.TRANSIENT, 12),
    Reason.UNSUPPORTED: (Severity.USER_ACTION, 13),
    Reason.DUPLICATE_NUMBER: (Severity.USER_ACTION, 14),
    Reason.HOST_NOT_ALLOWED: (Severity.USER_ACTION, 15),
    Reason.INVALID_CREDENTIALS: (Severity.USER_ACTION, 16),
    Reason.CERTIFICATE_NOT_TRUSTED: (Severity.USER_ACTION, 17),
    Reason.KEY_CHANGES_TOO_OFTEN: (Severity.USER_ACTION, 18),
    Reason.CONTENDED: (Severity.USER_ACTION, 19),
    Reason.SIGNATURE_MISMATCH: (Severity.USER_ACTION, 20),
    Reason.KEY_REJECTED: (Severity.USER_ACTION, 21),
    Reason.NOT_ELIGIBLE: (Severity.USER_ACTION, 22),
    Reason.NUMBER_UNKNOWN: (Severity.USER_ACTION, 23),
    Reason.NOT_REGISTERED: (Severity.USER_ACTION, 24),
    Reason.PASSWORD_CHANGE_REQUIRED: (Severity.USER_ACTION, 25),
    Reason.APP_SECRET_PROOF_REQUIRED: (Severity.USER_ACTION, 26),
    Reason.TOKEN_EXPIRED: (Severity.USER_ACTION, 27),
    Reason.ACCESS_DENIED: (Severity.USER_ACTION, 28),
}
"""How severe each reason is, and its rank; of two for which the same must be done, the higher one is more severe."""
