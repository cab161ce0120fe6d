"""Locks of the operating system on a file: they go with the process that holds them, however it ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO

from backend.config.problems import UserError

# Far behind the text, so that Windows lets others read who holds the lock.
LOCKED_BYTE = 1 << 30


def take(file: IO[bytes]) -> bool:
    """Lock an open file without waiting; False when somebody else holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def give_back(file: IO[bytes]) -> None:
    """Unlock an open file that was locked by `take`."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


class AppLock:
    """One GUI for one runs folder: a second one is told where the first is."""

    def __init__(self, runs_dir: Path) -> None:
        self.path = runs_dir / ".gui.lock"
        self._file: IO[bytes] | None = None

    def acquire(self, *, url: str) -> None:
        """Take the lock and leave our address for the next one.

        Raises:
            UserError: Another GUI has it, or the runs folder cannot be written to.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError("runs_dir_unwritable", value=str(self.path.parent), reason=reason) from error
        if not take(file):
            file.close()
            raise UserError("already_open", value=str(self.path.parent), url=self.holder())
        self._file = file
        self.announce(url)

    def announce(self, url: str) -> None:
        """Write our address into the lock that we hold."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), "url": url}).encode())
        self._file.flush()

    def holder(self) -> str:
        """Return the address of the GUI that holds the lock; empty when it left none."""
        try:
            return str(json.loads(self.path.read_bytes()).get("url", ""))
        except (OSError, ValueError):
            return ""

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
