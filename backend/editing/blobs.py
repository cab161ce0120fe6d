"""Contents of files that are no text, kept beside a journal under their hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from backend.config.problems import UserError
from backend.data.filesystems import unreadable
from backend.editing.files import unwritable, write_bytes


class Blobs:
    """The contents that changes of a journal name. None is ever removed: undo needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep a content and wait until it is on the disk.

        Returns:
            Its name: sha256 in hexadecimal.

        Raises:
            UserError: `no_space` or `file_unwritable`.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / name
        if not _is_whole(path, len(data)):
            try:
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

    def lost(self, names: Iterable[str | None]) -> set[str]:
        """Return which of some contents are not there any more."""
        return {name for name in names if name is not None and not (self.folder / name).exists()}


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
