"""One process at a time: between looking what is in a file and writing it, no other that uses the journal is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backend.config.problems import UserError
from backend.editing.files import unwritable
from backend.runs.locks import give_back, take

# Longer than the largest picture takes to another disk.
WAIT_SECONDS = 300.0
LOOK_SECONDS = 0.0005


class Turns:
    """A lock that all have who use a journal; for one thread of each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep others out.

        Raises:
            UserError: `journal_busy` after a while; `file_unwritable`.
        """
        file = self._file = self._file or self._opened()
        until = time.monotonic() + WAIT_SECONDS
        while not take(file):
            if time.monotonic() > until:
                raise UserError("journal_busy", value=str(self._path))
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            give_back(file)

    def close(self) -> None:
        """Need it no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("a+b")
        except OSError as error:
            raise unwritable(str(self._path), error) from error
