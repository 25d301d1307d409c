"""Usage: how much of its limits a caller has used, as headers of the Cloud API tell it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bek_operator.http.retry_after import LONGEST_SECONDS

APP: Final = "x-app-usage"
BUSINESS: Final = "x-business-use-case-usage"

_LONGEST_HEADER = 8192
_LONGEST_ID = 64
_MOST_METERS = 32
_SHARES = ("call_count", "total_cputime", "total_time")
_KIND = re.compile(r"whatsapp[a-z_]{0,40}")
_FULL = 100.0
_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is used of one limit.

    Attributes:
        meter: Which limit it is.
        percent: The greatest of its shares: of calls, of computing time, of time.
        regain: Seconds until calls are answered again; 0 while they are.
    """

    meter: str
    percent: float
    regain: float = 0.0

    @property
    def is_used_up(self) -> bool:
        """Return whether calls are refused for this limit."""
        return self.percent >= _FULL or self.regain > 0


def usage_from(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    """Read the headers of an answer, by lower-case name; nonsense in them is left out."""
    found = [*_of_app(_document(headers.get(APP))), *_of_business(_document(headers.get(BUSINESS)))]
    return tuple(found[:_MOST_METERS])


def _document(text: str | None) -> Mapping[str, Any]:
    if not text or len(text) > _LONGEST_HEADER:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _of_app(document: Mapping[str, Any]) -> Iterator[Usage]:
    if (percent := _percent(document)) is not None:
        yield Usage(meter="app", percent=percent)


def _of_business(document: Mapping[str, Any]) -> Iterator[Usage]:
    for identity, entries in document.items():
        if len(identity) > _LONGEST_ID or not isinstance(entries, list):
            continue
        for entry in entries:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if not isinstance(kind, str) or not _KIND.fullmatch(kind) or (percent := _percent(entry)) is None:
                continue
            minutes = _number(entry.get("estimated_time_to_regain_access")) or 0.0
            yield Usage(meter=f"{identity}/{kind}", percent=percent, regain=min(minutes * _MINUTE, LONGEST_SECONDS))


def _percent(document: Mapping[str, Any]) -> float | None:
    """Return the greatest share; `None` where there is none."""
    shares = [share for name in _SHARES if (share := _number(document.get(name))) is not None]
    return min(max(shares), _FULL) if shares else None


def _number(value: object) -> float | None:
    """Return a number that is neither negative nor beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, LONGEST_SECONDS))
