"""The brake: how often one key, and how often any, may be published to one number, whoever keeps undoing it."""

from collections.abc import Sequence

SETTLING_SECONDS = 300.0
"""How long an accepted publish is given to become VALID before it is repeated."""

BACKOFF_RESET_SECONDS = 3600.0
"""A number that was still signed this long after our last publish starts counting anew."""

MOST_IN_AN_HOUR = 6
"""How often a number is published to within an hour, whatever the key."""

_HOUR = 3600.0
_FREE_PUBLISHES = 3
_FIRST_WAIT = 3600.0
_LONGEST_WAIT = 86400.0
_MOST_REMEMBERED = 11
"""So many are apart by the longest wait; more would change nothing."""


def holds(publishes: int) -> bool:
    """Tell whether further publishes are spaced out."""
    return publishes >= _FREE_PUBLISHES


def next_publish(publishes: int, published_at: float) -> float:
    """Return the earliest instant of the next publish: from the third on 1 h, 2 h, 4 h … 24 h apart."""
    if not holds(publishes):
        return published_at
    return published_at + _wait(publishes - _FREE_PUBLISHES)


def next_of_any_key(recent: Sequence[float]) -> float:
    """Return the earliest instant of the next publish, whatever its key: from the sixth in an hour on 1 h, 2 h … apart.

    `recent` is what `with_publish` returned: instants in seconds since the epoch, oldest first.
    """
    beyond = len(recent) - MOST_IN_AN_HOUR
    return 0.0 if beyond < 0 else recent[-1] + _wait(beyond)


def with_publish(recent: Sequence[float], now: float) -> tuple[float, ...]:
    """Return the publishes that count once there is one more: those of the last hour.

    Of a number that had to wait all of them go on counting, unless nothing was to be published for an hour after that.
    """
    waits = len(recent) >= MOST_IN_AN_HOUR and now < next_of_any_key(recent) + _HOUR
    counted = recent if waits else [at for at in recent if now - at < _HOUR]
    return (*counted, now)[-_MOST_REMEMBERED:]


def _wait(doublings: int) -> float:
    return min(_FIRST_WAIT * 2.0 ** min(doublings, 10), _LONGEST_WAIT)
