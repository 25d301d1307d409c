"""Signals that end the program, raised as an exception: once, and never inside `held`.

An exception may come between any two instructions, so also after a process has started and before its id is stored.
Code that makes something to be cleaned up makes it, and stores where it is, inside `held`.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal ends the program; the exit status names the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.strsignal(signum))
        self.exit_status = 128 + signum


class _Switch:
    """The handler's state; signals are handled in the main thread only, which alone uses it."""

    holds = 0
    pending: int | None = None


def expect() -> None:
    """Raise `Ended` for the first of the signals from now on, and ignore those that follow."""
    for signum in _SIGNALS:
        # With nohup a hang-up stays ignored.
        if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _handle)


def ignore() -> None:
    """Ignore the signals, so that clean-up is not interrupted; it is quick."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Defer signals to the end of the block.

    Raises:
        Ended: at the end of the block, for a deferred signal.
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
