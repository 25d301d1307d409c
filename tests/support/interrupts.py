"""Signals that ask for the end raise an exception: once, and never between an act and the note of it.

An exception may come between any two instructions, so also after a process has started and before anybody knows
its id. Whoever makes something that has to be cleaned up does that, and writes down where it is, under `held`.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal asks for the end; the exit status tells which."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.strsignal(signum))
        self.exit_status = 128 + signum


class _Switch:
    """What the handler knows; signals are handled by the main thread alone, so nobody else touches it."""

    holds = 0
    pending: int | None = None


def expect() -> None:
    """From now on raise `Ended` for the first signal that asks for the end, and ignore those that follow it."""
    for signum in _SIGNALS:
        # A hang-up is ignored where somebody asked for that with nohup.
        if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _handle)


def ignore() -> None:
    """Let nothing interrupt the removal of what was started; it takes no time."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Have a signal wait for the end of the block.

    Raises:
        Ended: at the end of the block, for a signal that waited.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Switch.holds += 1
    try:
        yield
    finally:
        _Switch.holds -= 1
        if _Switch.pending is not None and not _Switch.holds:
            signum, _Switch.pending = _Switch.pending, None
            _end(signum)


def _handle(signum: int, _: FrameType | None) -> None:
    if _Switch.holds:
        _Switch.pending = signum
    else:
        _end(signum)


def _end(signum: int) -> None:
    ignore()
    raise Ended(signum)
