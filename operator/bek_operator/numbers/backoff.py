"""Back-off: how long to wait before a retry, and how often to publish to one number."""

from collections.abc import Sequence
from dataclasses import replace

from bek_operator.numbers.answers import Failure, Pace, Retry

SETTLING_SECONDS = 300.0
"""How long to wait for VALID after an accepted publish before it is repeated."""

BACKOFF_RESET_SECONDS = 3600.0
"""If a number is still signed this long after our last publish, the count starts again."""

MOST_IN_AN_HOUR = 6
"""The maximum of publishes to a number in an hour, whatever the keys."""

LIMITED_TRIES = 5
"""After so many LIMITED failures in a row the user must act."""

_HOUR = 3600.0
_FREE_PUBLISHES = 3
_FIRST_WAIT = 3600.0
_LONGEST_WAIT = 86400.0
_MOST_REMEMBERED = 11
"""After so many the wait is the longest one; more would change nothing."""

_FIRST_AND_LONGEST_DELAY = {Pace.SOON: (1.0, 30.0), Pace.NORMAL: (2.0, 300.0), Pace.SLOW: (30.0, 1800.0)}
_FREE_REFUSALS = 2
_ROLLOUT_DELAYS = (2.0, 60.0)
_UNKNOWN_DELAYS = (30.0, SETTLING_SECONDS)
_LONGEST_REFUSAL_DELAY = 86400.0


def holds(publishes: int) -> bool:
    """Return whether the back-off applies to the next publish."""
    return publishes >= _FREE_PUBLISHES


def next_publish(publishes: int, published_at: float) -> float:
    """Return the earliest instant of the next publish: after the third 1 h, 2 h, 4 h … 24 h apart."""
    if not holds(publishes):
        return published_at
    return published_at + _wait(publishes - _FREE_PUBLISHES)


def next_of_any_key(recent: Sequence[float]) -> float:
    """Return the earliest instant of the next publish, whatever its key: after the sixth in an hour 1 h, 2 h … apart.

    `recent` comes from `with_publish`: instants in seconds since the epoch, oldest first.
    """
    beyond = len(recent) - MOST_IN_AN_HOUR
    return 0.0 if beyond < 0 else recent[-1] + _wait(beyond)


def with_publish(recent: Sequence[float], now: float) -> tuple[float, ...]:
    """Return the publishes that count after one more: those of the last hour.

    While the limit holds all of them count, until nothing was published for an hour after the wait.
    """
    waits = len(recent) >= MOST_IN_AN_HOUR and now < next_of_any_key(recent) + _HOUR
    counted = recent if waits else [at for at in recent if now - at < _HOUR]
    return latest([*counted, now])


def latest(publishes: Sequence[float]) -> tuple[float, ...]:
    """Return as many of the publishes as have to be remembered, oldest first as they are."""
    return tuple(publishes[-_MOST_REMEMBERED:])


def _wait(doublings: int) -> float:
    return min(_FIRST_WAIT * 2.0 ** min(doublings, 10), _LONGEST_WAIT)


def after_tries(retry: Retry, tries: int) -> Retry:
    """Return the kind of a failure after so many in a row: `LIMITED` becomes `TERMINAL` at the fifth."""
    return Retry.TERMINAL if retry is Retry.LIMITED and tries >= LIMITED_TRIES else retry


def pause_after(failure: Failure, tries: int) -> float:
    """Return the seconds to wait after so many failed tries in a row.

    Not longer than the server's Retry-After, if it sent one.
    """
    pause = _growing(failure.pace, tries)
    if failure.retry_after is None:
        return pause
    return min(pause, max(failure.retry_after, _growing(Pace.SOON, tries)))


def refusal_delay(refusal: Failure, refusals: int, interval: float) -> float:
    """Return the seconds to wait after so many publishes in a row that were not accepted."""
    if refusal.unknown:
        return _UNKNOWN_DELAYS[min(refusals, len(_UNKNOWN_DELAYS)) - 1]
    if after_tries(refusal.retry, refusals) is not Retry.TERMINAL:
        # Publishes are retried more slowly than reads.
        return pause_after(replace(refusal, pace=Pace.NORMAL) if refusal.pace is Pace.SOON else refusal, refusals)
    doublings = refusals - (1 if refusal.retry is Retry.TERMINAL else LIMITED_TRIES)
    return min(interval * 2.0 ** min(doublings, 20), _LONGEST_REFUSAL_DELAY)


def rollout_delay(refusals: int) -> float:
    """Return the seconds until a rollout publishes again after so many refused publishes, to whatever numbers.

    The first numbers may each have a reason of their own.
    """
    return _doubling(_ROLLOUT_DELAYS, refusals - _FREE_REFUSALS) if refusals > _FREE_REFUSALS else 0.0


def _growing(pace: Pace, tries: int) -> float:
    return _doubling(_FIRST_AND_LONGEST_DELAY[pace], tries)


def _doubling(first_and_longest: tuple[float, float], tries: int) -> float:
    first, longest = first_and_longest
    return min(first * 2.0 ** min(tries - 1, 20), longest)
