"""What a status says, read back: the operator's only memory across a restart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bek_operator.model.answers import SignatureStatus
from bek_operator.model.reasons import Reason
from bek_operator.model.times import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number's row of a status."""

    number: str
    api: str
    status: SignatureStatus | None
    reason: Reason
    message: str
    fingerprint: str | None
    published_at: float | None
    publishes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A status in values; rows that this version does not understand are left out.

    Attributes:
        generation: The generation that the status speaks of; -1 before the first one.
        fingerprint: The key that the rows speak of.
        stalled: Whether a person was asked to act.
    """

    generation: int
    fingerprint: str | None
    stalled: bool
    request: str
    rows: Mapping[str, Row]


def read_status(status: Mapping[str, Any]) -> Recorded:
    """Read a status of this or an older version; what is not understood counts as not there."""
    rows = (_read_row(entry) for entry in status.get("phoneNumbers") or ())
    return Recorded(
        generation=status.get("observedGeneration", -1),
        fingerprint=status.get("publicKeyFingerprint"),
        stalled=any(
            condition.get("type") == "Stalled" and condition.get("status") == "True"
            for condition in status.get("conditions") or ()
        ),
        request=status.get("lastHandledReconcileAt", ""),
        rows={row.number: row for row in rows if row},
    )


def _read_row(entry: Mapping[str, Any]) -> Row | None:
    word = entry.get("signatureStatus")
    try:
        return Row(
            number=entry["phoneNumber"],
            api=entry.get("api", ""),
            status=SignatureStatus(word) if word else None,
            reason=Reason(entry["reason"]),
            message=entry.get("message", ""),
            fingerprint=entry.get("observedFingerprint"),
            published_at=instant(entry.get("lastPublishTime")),
            publishes=entry.get("publishes", 0),
        )
    except (KeyError, ValueError):
        return None
