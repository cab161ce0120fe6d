"""The file of a journal: lines of JSON, appended by several processes in turn; half a line at its end is none."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from backend.config.paths import home
from backend.config.problems import UserError
from backend.editing.files import unwritable, write_all
from backend.runs.locks import take

WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.01

Entry = dict[str, Any]


def journal_path(folder: Path) -> Path:
    """Return where the journal of a folder of pictures is."""
    key = os.path.normcase(folder.resolve())
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return home() / "journals" / f"{name}.jsonl"


class Log:
    """Appends entries and reads those of others.

    An entry is a line: a JSON object. One with a field `bytes` is followed by a line of data of that length, over
    which readers leap: a long history is opened without reading what it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Up to here everything is read, and whole.
        self.offset = 0
        # Counts how often the file was taken away, so that all is to be read again.
        self.generation = 0
        self._thread_lock = threading.RLock()
        self._depth = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes out.

        Raises:
            UserError: `journal_busy` after a while; `file_unwritable`.
        """
        with self._thread_lock:
            if self._depth:
                yield
                return
            with _lock_file(self.path.with_suffix(".lock")) as file:
                _wait_for(file, self.path)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    def read_new(self) -> list[tuple[Entry, int]]:
        """Return what was appended since the last time: entries, and where the data of each begins."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset, self.generation = 0, self.generation + 1
                file.seek(self.offset)
                return list(self._entries(file))
        except FileNotFoundError:
            if self.offset:
                self.offset, self.generation = 0, self.generation + 1
            return []

    def _entries(self, file: BinaryIO) -> Iterator[tuple[Entry, int]]:
        size = os.fstat(file.fileno()).st_size
        while (line := file.readline()).endswith(b"\n"):
            entry = _parsed(line)
            start = file.tell()
            end = start + (int(entry["bytes"]) + 1 if "bytes" in entry else 0)
            if end > size:
                return
            file.seek(end)
            self.offset = end
            if entry:
                yield entry, start

    def append(self, lines: Sequence[bytes], *, flush: bool = True) -> int:
        """Append whole lines and wait until they are on the disk; what a killed writer left is cut off first.

        With `flush` off they outlive us, but not the power.

        Returns:
            Where the first of them begins.

        Raises:
            UserError: `no_space` or `file_unwritable`; then none of them is there.
        """
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b", buffering=0) as file:
                file.truncate(self.offset)
                start = file.seek(self.offset)
                try:
                    write_all(file.fileno(), b"".join(lines))
                    if flush:
                        os.fsync(file.fileno())
                except OSError:
                    file.truncate(start)
                    raise
                self.offset = file.tell()
        except OSError as error:
            raise unwritable(str(self.path), error) from error
        return start

    def data(self, start: int, num_bytes: int) -> Any:
        """Return what the data line at a place holds."""
        with self.path.open("rb") as file:
            file.seek(start)
            return json.loads(file.read(num_bytes))


def line(entry: Entry) -> bytes:
    """Return an entry as a line."""
    return encoded(entry) + b"\n"


def encoded(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parsed(data: bytes) -> Entry:
    """Return the entry of a line; an empty one of a line that is damaged."""
    try:
        entry = json.loads(data)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and "kind" in entry else {}


@contextmanager
def _lock_file(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise unwritable(str(path), error) from error
    with file:
        yield file


def _wait_for(file: BinaryIO, path: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not take(file):
        if time.monotonic() > until:
            raise UserError("journal_busy", value=str(path))
        time.sleep(LOOK_SECONDS)
