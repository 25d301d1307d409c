"""Parsing of the headers by which the Cloud API reports how much of its rate limits is used."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bek_operator.http.retry_after import LONGEST_SECONDS

APP: Final = "x-app-usage"
BUSINESS: Final = "x-business-use-case-usage"

_MAX_HEADER_LENGTH = 8192
_MAX_ID_LENGTH = 64
_MAX_METERS = 32
_PERCENTAGES = ("call_count", "total_cputime", "total_time")
_KIND = re.compile(r"whatsapp[a-z_]{0,40}")
_FULL = 100.0
_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The usage of one rate limit.

    Attributes:
        meter: The limit's name.
        percent: The highest of its percentages: of calls, of CPU time, of total time.
        regain_seconds: Seconds until calls are allowed again; 0 while they are.
    """

    meter: str
    percent: float
    regain_seconds: float = 0.0

    @property
    def is_reached(self) -> bool:
        """Return whether calls are refused because of this limit."""
        return self.percent >= _FULL or self.regain_seconds > 0


def parse_usage(headers: Mapping[str, str]) -> tuple[Usage, ...]:
    """Return the usage in a response's headers (by lower-case name); whatever is malformed is left out."""
    found = [*_of_app(_document(headers.get(APP))), *_of_business(_document(headers.get(BUSINESS)))]
    return tuple(found[:_MAX_METERS])


def _document(text: str | None) -> Mapping[str, Any]:
    if not text or len(text) > _MAX_HEADER_LENGTH:
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
        if len(identity) > _MAX_ID_LENGTH or not isinstance(entries, list):
            continue
        for entry in entries:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if not isinstance(kind, str) or not _KIND.fullmatch(kind) or (percent := _percent(entry)) is None:
                continue
            minutes = _number(entry.get("estimated_time_to_regain_access")) or 0.0
            yield Usage(
                meter=f"{identity}/{kind}", percent=percent, regain_seconds=min(minutes * _MINUTE, LONGEST_SECONDS)
            )


def _percent(document: Mapping[str, Any]) -> float | None:
    """Return the highest percentage; `None` without any."""
    found = [percent for name in _PERCENTAGES if (percent := _number(document.get(name))) is not None]
    return min(max(found), _FULL) if found else None


def _number(value: object) -> float | None:
    """Return a number between 0 and `LONGEST_SECONDS`; `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, LONGEST_SECONDS))
