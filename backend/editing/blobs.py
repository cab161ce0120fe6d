"""Contents of files that are no text, kept beside a journal under their hashes."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from backend.config.problems import UserError
from backend.data.filesystems import unreadable
from backend.editing.files import unwritable, write_bytes

# So long after a content was put it is in the journal, if anything needs it.
SETTLED_SECONDS = 86_400.0
NAME = re.compile("[0-9a-f]{64}")


class Blobs:
    """The contents that changes of a journal name.

    Args:
        folder: Where they are kept.
        alone: Keeps others out who might remove some.
    """

    def __init__(self, folder: Path, alone: Callable[[], AbstractContextManager[None]]) -> None:
        self.folder = folder
        self._alone = alone

    def put(self, data: bytes) -> str:
        """Keep a content and wait until it is on the disk.

        Returns:
            Its name: sha256 in hexadecimal.

        Raises:
            UserError: `no_space` or `file_unwritable`.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / name
        try:
            with self._alone():
                if _is_whole(path, len(data)):
                    os.utime(path)  # needed again: `old` no more
                    return name
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(str(self.folder), error) from error
        write_bytes(path, data, flush=True)
        return name

    def put_file(self, path: str | os.PathLike[str]) -> str | None:
        """Keep what is in a file; None where there is none.

        Raises:
            UserError: `file_unreadable`, or as `put`.
        """
        data = find_bytes(path)
        return None if data is None else self.put(data)

    def read(self, name: str) -> bytes:
        """Return a content.

        Raises:
            UserError: `content_lost`: it is not there any more, or damaged.
        """
        data = find_bytes(self.folder / name)
        if data is None or hashlib.sha256(data).hexdigest() != name:
            raise UserError("content_lost", value=str(self.folder / name))
        return data

    def old(self) -> set[str]:
        """Return the contents that were not put for a day: who has put one by now names it in the journal soon."""
        before = time.time() - SETTLED_SECONDS
        try:
            with os.scandir(self.folder) as entries:
                return {each.name for each in entries if NAME.fullmatch(each.name) and each.stat().st_mtime < before}
        except OSError:  # there is none yet, or they cannot be removed either
            return set()

    def remove(self, names: Iterable[str]) -> None:
        """Remove contents that nothing names any more; one that cannot be removed only takes space."""
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink()


def find_bytes(path: str | os.PathLike[str]) -> bytes | None:
    """Return what is in a file; None where there is none.

    Raises:
        UserError: `file_unreadable`.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(os.fspath(path), error) from error


def _is_whole(path: Path, num_bytes: int) -> bool:
    try:
        return path.stat().st_size == num_bytes
    except OSError:
        return False
