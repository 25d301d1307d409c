"""The brake: how often one key may be published to one number, whoever keeps undoing it."""

SETTLING_SECONDS = 300.0
"""How long an accepted publish is given to become VALID before it is repeated."""

FORGIVEN_SECONDS = 3600.0
"""A number that was still signed this long after our last publish starts counting anew."""

_FREE_PUBLISHES = 3
_FIRST_WAIT = 3600.0
_LONGEST_WAIT = 86400.0


def holds(publishes: int) -> bool:
    """Tell whether further publishes are spaced out."""
    return publishes >= _FREE_PUBLISHES


def next_publish(publishes: int, published_at: float) -> float:
    """Return the earliest instant of the next publish: from the third on 1 h, 2 h, 4 h … 24 h apart."""
    if not holds(publishes):
        return published_at
    doublings = min(publishes - _FREE_PUBLISHES, 10)
    return published_at + min(_FIRST_WAIT * 2.0**doublings, _LONGEST_WAIT)
