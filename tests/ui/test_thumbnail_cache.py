"""Thumbnails on disk: kept, found, and the oldest removed when there are too many."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from ui.thumbnail_cache import ThumbnailCache

DAY = 24 * 3600


def aged(folder: Path, name: str, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(folder / name[:2] / f"{name[2:]}.webp", (then, then))


def has_pruned() -> None:
    """Wait for the thread in which a cache prunes by itself, at its first file."""
    for thread in threading.enumerate():
        if thread.name == "thumbnails":
            thread.join()


def test_what_nobody_looked_at_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ThumbnailCache(lambda: tmp_path, limit=1000)
    names = [f"{number:02}name" for number in range(12)]
    for number, name in enumerate(names):
        cache.put(name, bytes(100))
        has_pruned()
        aged(tmp_path, name, 20 - number)
    assert cache.get(names[0]) == bytes(100)
    cache.prune()
    assert cache.total() == (8, 800)
    assert cache.get(names[0]) is not None, "it was looked at just now"
    assert [cache.get(name) is None for name in names[1:6]] == [True, True, True, True, False]


def test_below_the_limit_only_half_written_files_go(tmp_path: Path) -> None:
    cache = ThumbnailCache(lambda: tmp_path, limit=1000)
    cache.put("aaname", bytes(100))
    partial = tmp_path / "aa" / ".name.webp.1.2.partial"
    partial.write_bytes(b"half")
    cache.prune()
    assert partial.is_file(), "somebody may be writing it"
    os.utime(partial, (1, 1))
    cache.prune()
    assert cache.total() == (1, 100)


def test_a_new_process_prunes_at_its_first_file(tmp_path: Path) -> None:
    old = ThumbnailCache(lambda: tmp_path, limit=10**9)
    for number in range(20):
        old.put(f"{number:02}name", bytes(100))
    ThumbnailCache(lambda: tmp_path, limit=1000).put("zzname", bytes(100))
    has_pruned()
    assert old.total()[1] <= 1000


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"no folder")
    cache = ThumbnailCache(lambda: place)
    cache.put("aaname", b"thumbnail")
    cache.prune()
    cache.clear()
    assert cache.get("aaname") is None and cache.total() == (0, 0) and place.read_bytes() == b"no folder"


def test_all_can_be_removed(tmp_path: Path) -> None:
    cache = ThumbnailCache(lambda: tmp_path)
    cache.put("aaname", b"thumbnail")
    cache.clear()
    assert cache.get("aaname") is None and cache.total() == (0, 0)
