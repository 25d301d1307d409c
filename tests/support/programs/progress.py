"""Progress messages for steps that take minutes."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(message: str, out: TextIO | None = None) -> None:
    """Write one line, by default to standard error."""
    stream = out or sys.stderr
    stream.write(f"setup: {message}\n")
    stream.flush()


@contextmanager
def progress(what: str, *, every: float = 15.0, out: TextIO | None = None) -> Iterator[None]:
    """Report a step when it begins, every few seconds, and with its duration when it succeeds."""
    began = time.monotonic()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(every):
            say(f"{what}: {duration(time.monotonic() - began)} so far", out)

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    say(f"{what} ...", out)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    say(f"{what}: done after {duration(time.monotonic() - began)}", out)


def duration(seconds: float) -> str:
    """Return a duration as text: "45 s", "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
