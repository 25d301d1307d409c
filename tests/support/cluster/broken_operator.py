"""The operator's command line in a process that breaks on a signal.

broken_operator.py TASK [FLAG ...]

SIGUSR1: the event loop stands still until SIGUSR2. SIGHUP: the task of this name is cancelled.
The limits of `/healthz` are shorter than in production.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial

from bek_operator import app, command_line

LIMITS = app.Limits(silence_seconds=12.0, away_seconds=5.0)


def main() -> int:
    """Run the operator; return its exit status."""
    doomed = sys.argv.pop(1)
    # Blocked in every thread, so that only `sigwait` takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    signal.signal(signal.SIGUSR1, lambda *_: signal.sigwait({signal.SIGUSR2}))
    signal.signal(signal.SIGHUP, lambda *_: _cancel(doomed))
    return command_line.run(partial(app.run, limits=LIMITS))


def _cancel(name: str) -> None:
    # The event loop runs in this thread, and its signal handlers wake it up.
    for task in asyncio.all_tasks():
        if task.get_name() == name:
            task.cancel()


if __name__ == "__main__":
    sys.exit(main())
