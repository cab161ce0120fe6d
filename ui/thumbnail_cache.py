"""Thumbnails kept on disk, up to a limit: those that nobody has looked at for longest go first."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from backend.config import paths

LIMIT = 2 * 1024**3
# What pruning leaves, so that it is not done again at once.
LEFT = 0.8
# After so many new bytes it is seen whether the limit is passed.
CHECKED = 64 * 1024**2
# A file that was looked at within this time need not be marked again.
FRESH_SECONDS = 24 * 3600
# A file that a crash left half written.
PARTIAL = ".partial"
PARTIAL_SECONDS = 3600


class ThumbnailCache:
    """Small files by name in one folder. Where it cannot be written, pictures only come more slowly."""

    def __init__(self, folder: Callable[[], Path], limit: int = LIMIT) -> None:
        """`folder` returns where the files are; `limit`: how many bytes they may take up together."""
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        # Of this process; at its first file it is seen what earlier ones left.
        self._unchecked = CHECKED

    def _place(self, name: str) -> Path:
        return self._folder() / name[:2] / f"{name[2:]}.webp"

    def get(self, name: str) -> bytes | None:
        """Return a file, and note that it was of use; None when it is not there."""
        place = self._place(name)
        with suppress(OSError):
            content = place.read_bytes()
            if time.time() - place.stat().st_mtime > FRESH_SECONDS:
                os.utime(place)
            return content
        return None

    def put(self, name: str, content: bytes) -> None:
        """Keep a file, and remove the oldest in a thread where that makes too many."""
        place = self._place(name)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
            fresh.write_bytes(content)
            fresh.replace(place)
        with self._lock:
            self._unchecked += len(content)
            if self._unchecked < CHECKED:
                return
            self._unchecked = 0
        threading.Thread(target=self.prune, daemon=True, name="thumbnails").start()

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """Yield when each file was looked at last, its size and its path."""
        with suppress(OSError), os.scandir(self._folder()) as folders:
            for folder in folders:
                with suppress(OSError), os.scandir(folder) as files:
                    for file in files:
                        status = file.stat()
                        yield status.st_mtime, status.st_size, file.path

    def total(self) -> tuple[int, int]:
        """Return how many files there are, and how many bytes."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def prune(self) -> None:
        """Remove what a crash left half written, and the oldest files where there are too many."""
        long_ago = time.time() - PARTIAL_SECONDS
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        limit = self._limit * LEFT if total > self._limit else total
        for modified, size, path in files:
            if total > limit or (path.endswith(PARTIAL) and modified < long_ago):
                total -= size
                _remove(path)

    def clear(self) -> None:
        """Remove all files."""
        for _, _, path in self._files():
            _remove(path)


def _remove(path: str) -> None:
    with suppress(OSError):  # another process was faster, or it is being read: it goes the next time
        os.unlink(path)  # noqa: PTH108


CACHE = ThumbnailCache(lambda: paths.cache_dir() / "thumbnails")
