"""The files of a folder of shards, which other runs may write, join and remove at any time."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from pathlib import Path

# What no live writer would still be at: small shards that are not joined yet, and half-written ones.
LEFT_BEHIND_SECONDS = 600.0


def files_in(folder: Path) -> list[Path]:
    """Return what is in a folder; nothing where there is none."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def find_partials(folder: Path) -> list[Path]:
    """Return what writers that were killed left half-written."""
    before = time.time() - LEFT_BEHIND_SECONDS
    return [path for path in files_in(folder) if path.suffix == ".partial" and written_at(path) < before]


def touch(path: Path) -> None:
    """Note that a shard was used now: in its time of access, so that its own time stays."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def last_use(path: Path) -> float:
    """Return when a shard was written or touched, in seconds since the epoch; never, for one that is gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return math.inf
    return max(stat.st_atime, stat.st_mtime)


def stamp_of(path: Path) -> list[int]:
    """Return what changes with a file's content: its size and time; empty for one that is gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:  # another run joined it with others
        return []
    return [stat.st_size, stat.st_mtime_ns]


def written_at(path: Path) -> float:
    """Return when a file was written, in seconds since the epoch; never, for one that is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 for one that is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def remove(path: Path) -> None:
    """Remove a file if that is possible."""
    with suppress(OSError):  # Windows keeps a file that another run has open; a later cleaning removes it
        path.unlink(missing_ok=True)
