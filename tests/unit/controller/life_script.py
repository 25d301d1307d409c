"""A script, the value that a random life is played from; its repr is its source, so that it can be shortened."""

from dataclasses import astuple, dataclass, replace

from bek_operator.crd.reasons import Reason
from bek_operator.numbers.answers import Pace, Retry
from support.builders import BROKEN, BUSY, LOST_ANSWER, UNREACHABLE, failure

FAILURES = {
    "no answer": UNREACHABLE,
    "lost answer": LOST_ANSWER,
    "busy": replace(BUSY, retry_after=900.0),
    "not understood": BROKEN,
    "maintenance": failure(Reason.MAINTENANCE, "under maintenance", pace=Pace.SLOW),
    "not registered": failure(Reason.NOT_REGISTERED, "not registered", retry=Retry.TERMINAL),
    "not eligible": failure(Reason.NOT_ELIGIBLE, "not eligible", retry=Retry.TERMINAL),
}
"""Failures of calls, by the names that scripts use."""


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One event.

    Attributes:
        pause: Seconds since the one before.
        act: The method of `RandomWorld` to call with `values`.
        amid: Wait for a call of this kind to be in progress, for a limited time; empty for none.
    """

    pause: float
    act: str
    values: tuple[object, ...] = ()
    amid: str = ""

    def __repr__(self) -> str:
        return f"Step{astuple(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole life.

    Attributes:
        seed: The seed of the operator's own jitter.
        count: How many numbers are listed at first.
        interval: How often they are checked.
        at_once: How many of them are worked on at once.
        call_seconds: How long calls to numbers take.
        settle_seconds: How long they take until a published key is VALID.
        answer_seconds: How long answers of the API server take.
        endpoint: Whether the object names a Flow endpoint.
    """

    seed: int
    count: int
    interval: int
    at_once: int
    call_seconds: float
    settle_seconds: float
    answer_seconds: float
    steps: tuple[Step, ...]
    endpoint: bool = False

    def __str__(self) -> str:
        return repr(self).replace("Step(", "\n  Step(")
