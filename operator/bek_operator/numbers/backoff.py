"""Back-off: how long to wait before a call is repeated, and how often one number may be published to."""

from collections.abc import Sequence
from dataclasses import replace

from bek_operator.numbers.answers import Failure, Pace, Retry

SETTLING_SECONDS = 300.0
"""How long an accepted publish is given to become VALID before it is repeated."""

BACKOFF_RESET_SECONDS = 3600.0
"""A number that was still signed this long after our last publish starts counting anew."""

MOST_IN_AN_HOUR = 6
"""How often a number is published to within an hour, whatever the key."""

LIMITED_TRIES = 5
"""How often in a row a failure that is not sure to pass is met before the user has to act."""

_HOUR = 3600.0
_FREE_PUBLISHES = 3
_FIRST_WAIT = 3600.0
_LONGEST_WAIT = 86400.0
_MOST_REMEMBERED = 11
"""So many are apart by the longest wait; more would change nothing."""

_FIRST_AND_LONGEST_DELAY = {Pace.SOON: (1.0, 30.0), Pace.NORMAL: (2.0, 300.0), Pace.SLOW: (30.0, 1800.0)}
_UNKNOWN_DELAYS = (30.0, SETTLING_SECONDS)
_LONGEST_REFUSAL_DELAY = 86400.0


def holds(publishes: int) -> bool:
    """Return whether further publishes are spaced out."""
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


def after_tries(retry: Retry, tries: int) -> Retry:
    """Return what makes a failure go away that was met so often in a row: `LIMITED` tries are used up at the fifth."""
    return Retry.TERMINAL if retry is Retry.LIMITED and tries >= LIMITED_TRIES else retry


def pause_after(failure: Failure, tries: int) -> float:
    """Return the seconds to wait after so many failed tries in a row.

    A server that says for how long it wants to be left alone is not left alone for longer, unless it says so again.
    """
    pause = _growing(failure.pace, tries)
    if failure.retry_after is None:
        return pause
    return min(pause, max(failure.retry_after, _growing(Pace.SOON, tries)))


def refusal_delay(refusal: Failure, refusals: int, interval: float) -> float:
    """Return the seconds to wait after so many publishes in a row were not accepted."""
    if refusal.unknown:
        return _UNKNOWN_DELAYS[min(refusals, len(_UNKNOWN_DELAYS)) - 1]
    if after_tries(refusal.retry, refusals) is not Retry.TERMINAL:
        # A publish is not repeated for ever as fast as a read may be.
        return pause_after(replace(refusal, pace=Pace.NORMAL) if refusal.pace is Pace.SOON else refusal, refusals)
    doublings = refusals - (1 if refusal.retry is Retry.TERMINAL else LIMITED_TRIES)
    return min(interval * 2.0 ** min(doublings, 20), _LONGEST_REFUSAL_DELAY)


def _growing(pace: Pace, tries: int) -> float:
    first, longest = _FIRST_AND_LONGEST_DELAY[pace]
    return min(first * 2.0 ** min(tries - 1, 20), longest)
