"""Tell a waiting person what takes so long."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(message: str, out: TextIO | None = None) -> None:
    """Write one line about the kit's own doings, to standard error unless told otherwise."""
    stream = out or sys.stderr
    stream.write(f"kit: {message}\n")
    stream.flush()


@contextmanager
def progress(what: str, *, every: float = 15.0, out: TextIO | None = None) -> Iterator[None]:
    """Say what is being done, again every few seconds, and at its good end how long it took."""
    began = time.monotonic()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(every):
            say(f"{what}: {duration(time.monotonic() - began)} so far", out)

    ticker = threading.Thread(target=tick, name="kit-progress", daemon=True)
    say(f"{what} ...", out)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    say(f"{what}: done after {duration(time.monotonic() - began)}", out)


def duration(seconds: float) -> str:
    """Return seconds in the words of a person: "45 s", "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
