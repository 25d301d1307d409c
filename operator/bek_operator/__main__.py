"""The entry point: `bek-operator`, also `python -m bek_operator`. It hears signals before anything is imported."""

import gc
import signal
import sys
from types import FrameType

_GC_THRESHOLD = 10_000
"""New objects before the garbage collector runs; with Python's 700 it takes a seventh of the CPU of a rotation."""


class _EarlySignal(SystemExit):
    """A signal arrived before the event loop could handle it."""

    def __init__(self, name: str) -> None:
        super().__init__(0)
        self.name = name


def main() -> None:
    """Run the operator; exit with 0 after a signal, 1 after an error, 2 for invalid settings."""
    gc.set_threshold(_GC_THRESHOLD)
    # A container's first process has no default signal handlers, and the imports below take a second.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _exit_early)
    try:
        from bek_operator.command_line import run  # noqa: PLC0415

        status = run()
    except _EarlySignal as early:
        status = _stopped(early.name)
    sys.exit(status)


def _exit_early(number: int, _: FrameType | None) -> None:
    raise _EarlySignal(signal.Signals(number).name)


def _stopped(name: str) -> int:
    """Say which signal it was, in the log if it is set up."""
    import logging  # noqa: PLC0415

    if logging.getLogger().hasHandlers():
        logging.getLogger("bek_operator").info("stopped: %s", name)
    else:
        print(f"bek-operator: stopped: {name}", file=sys.stderr)  # noqa: T201 - nobody has set up the log yet
    return 0


if __name__ == "__main__":
    main()
