"""What a status says, read back: the operator's only memory across a restart.

The CRD's schema has checked it, but not always this version of it: what is not understood counts as not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bek_operator.crd.fields import objects, typed
from bek_operator.crd.reasons import ObjectReason, Reason
from bek_operator.crd.types import SignatureStatus
from bek_operator.times import instant

_MOST_EARLIER_PUBLISHES = 16
_COMPLETE = [ObjectReason.SUCCEEDED, *Reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number's row of a status; `recent` are the publishes that count, whatever their key, oldest first."""

    number: str
    api: str
    status: SignatureStatus | None
    reason: Reason
    message: str
    fingerprint: str | None
    published_at: float | None
    publishes: int
    recent: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A status in values.

    Attributes:
        generation: The generation that the status speaks of; -1 before the first one.
        fingerprint: The key that the rows speak of.
        settled: Whether every number had been tried for that generation, and for that key.
        stalled: The reason that a person was asked to act for; empty when nobody was.
        request: The last `requested-at` that every number was tried for.
    """

    generation: int
    fingerprint: str | None
    complete: bool
    stalled: str
    request: str
    rows: Mapping[str, Row]


class _Rows(Mapping[str, Row]):
    """Rows by number, each read when it is asked for: of a thousand that are written few ever are."""

    def __init__(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        self._written = written

    def __getitem__(self, number: str) -> Row:
        row = _read_row(number, self._written[number])
        if row is None:
            raise KeyError(number)
        return row

    def __iter__(self) -> Iterator[str]:
        return (number for number, row in self._written.items() if _read_row(number, row))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def read_status(status: Mapping[str, Any]) -> Recorded:
    """Read a status of this or another version."""
    generation = typed(status.get("observedGeneration"), int)
    stalled = condition_of(status, "Stalled")
    return Recorded(
        generation=-1 if generation is None else generation,
        fingerprint=typed(status.get("publicKeyFingerprint"), str),
        complete=condition_of(status, "Ready").get("reason") in _COMPLETE,
        stalled=typed(stalled.get("reason"), str) or "" if stalled.get("status") == "True" else "",
        request=typed(status.get("lastHandledReconcileAt"), str) or "",
        rows=_Rows(rows_of(status)),
    )


def rows_of(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a status by number, as they are written."""
    return {
        number: row
        for row in objects(status.get("phoneNumbers"))
        if (number := typed(row.get("phoneNumber"), str)) is not None
    }


def condition_of(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of a status as it is written, empty where there is none."""
    return next((one for one in objects(status.get("conditions")) if one.get("type") == kind), {})


def _read_row(number: str, row: Mapping[str, Any]) -> Row | None:
    word, published_at = row.get("signatureStatus"), instant(row.get("lastPublishTime"))
    try:
        return Row(
            number=number,
            api=typed(row.get("api"), str) or "",
            status=None if word is None else SignatureStatus(word),
            reason=Reason(typed(row.get("reason"), str) or ""),
            message=typed(row.get("message"), str) or "",
            fingerprint=typed(row.get("observedFingerprint"), str),
            published_at=published_at,
            publishes=max(typed(row.get("publishes"), int) or 0, 0),
            recent=() if published_at is None else (*_before(published_at, row.get("earlierPublishes")), published_at),
        )
    except ValueError:
        return None


def _before(last: float, seconds: object) -> list[float]:
    """Return the instants that are so many seconds before the last one, oldest first."""
    found = seconds[:_MOST_EARLIER_PUBLISHES] if isinstance(seconds, list) else ()
    return sorted(last - one for one in found if type(one) is int and one >= 0)
