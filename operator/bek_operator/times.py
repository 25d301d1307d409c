"""Instants: seconds since the epoch inside, RFC 3339 in UTC with whole seconds in a status."""

from datetime import UTC, datetime


def rfc3339(instant: float) -> str:
    """Write an instant as Kubernetes does, cut to the second."""
    return datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: object) -> float | None:
    """Read an RFC 3339 instant since the epoch; `None` for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo and moment.timestamp() >= 0 else None
