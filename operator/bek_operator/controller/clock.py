"""The clock: seconds since the epoch that never jump, however the machine's clock is set meanwhile."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


def steady_clock() -> Clock:
    """Return a clock that starts at the wall clock's time and runs with the monotonic one."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset
