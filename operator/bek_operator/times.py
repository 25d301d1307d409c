"""Time: seconds since the epoch, and RFC 3339 timestamps as Kubernetes has them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Returns seconds since the epoch."""


def steady_clock() -> Clock:
    """Return a clock that starts at the system time and never jumps: it runs with the monotonic clock."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


def rfc3339(instant: float) -> str:
    """Format an instant as Kubernetes does, truncated to the second."""
    return datetime.fromtimestamp(int(instant), UTC).isoformat().removesuffix("+00:00") + "Z"


def micro_time(moment: datetime) -> str:
    """Format a moment in UTC with microseconds, as the fields of type MicroTime have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: object) -> float | None:
    """Parse an RFC 3339 timestamp since the epoch; `None` for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo and moment.timestamp() >= 0 else None
