"""The clocks of one process, moved from outside by Debian's libfaketime.

The library is taken from the system (`apt-get install libfaketime`), else downloaded once into the cache folder by
apt-get, which checks its signature and needs no privilege for that.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from support.programs.binaries import MissingBinaryError
from support.programs.cache import cache_root, make_once

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIBRARY = "lib*/**/faketime/libfaketime.so.1"

Clocks = Literal["wall clock", "all clocks"]


class MovedClock:
    """Clocks that a process started with `env` sees.

    Args:
        file: Where their distance from the real ones is kept.
        clocks: The wall clock alone is moved by an administrator or by NTP; all of them go on while a process is
            stopped, which cannot tell that from a jump.
    """

    def __init__(self, file: Path, clocks: Clocks) -> None:
        self._file = file
        self._seconds = 0.0
        self.env = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1" if clocks == "wall clock" else "0",
        }
        self.move(0)

    def move(self, seconds: float) -> None:
        """Move the clocks forward, or back by negative seconds."""
        self._seconds += seconds
        # Replaced at once: a reader of an empty file would see the real time.
        new = self._file.with_suffix(".new")
        new.write_text(f"{self._seconds:+g}\n", encoding="ascii")
        new.rename(self._file)


def library(env: Mapping[str, str] = os.environ) -> Path:
    """Return libfaketime.

    Raises:
        MissingBinaryError: it is not installed, and apt-get cannot download it.
    """
    installed = next(Path("/usr").glob(_LIBRARY), None)
    if installed:
        return installed
    folder = cache_root(env) / "libfaketime"
    try:
        make_once(folder, _download)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingBinaryError(f"install libfaketime; apt-get could not download it ({error})") from error
    return next(folder.glob(f"usr/{_LIBRARY}"))


def _download(into: Path) -> None:
    subprocess.run(["apt-get", "--quiet", "download", "libfaketime"], cwd=into, check=True, capture_output=True)
    (package,) = into.glob("*.deb")
    subprocess.run(["dpkg", "--extract", package, into], check=True)
    package.unlink()
