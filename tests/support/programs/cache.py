"""Keep what is slow to make or to fetch in this machine's cache folder, made once and complete."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from support.programs.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def cache_root(env: Mapping[str, str]) -> Path:
    """Return where this user's cache of ours is, by the XDG Base Directory Specification."""
    chosen = Path(env.get("XDG_CACHE_HOME", ""))
    # The specification tells to ignore a relative path.
    root = chosen if chosen.is_absolute() else Path(env.get("HOME") or Path.home()) / ".cache"
    return root / "bek-operator"


def make_once(folder: Path, make: Callable[[Path], None], is_complete: Callable[[Path], bool] = Path.is_dir) -> None:
    """Let a folder appear at once and complete, whoever else is making the same one."""
    if is_complete(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The kernel drops the lock with its process, so nobody waits for a maker that was killed.
    with folder.with_name(f"{folder.name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress(f"waiting for another process that makes {folder.name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(folder):
            return
        for leftover in folder.parent.glob(f"{folder.name}.part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.part-", dir=folder.parent) as part:
            new = Path(part) / "new"
            new.mkdir()
            make(new)
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
