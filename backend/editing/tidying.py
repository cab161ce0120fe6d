"""What nothing needs any more of what is kept for undo, and what killed processes left: removed when a folder opens."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from backend.editing.actions import Change
from backend.editing.journal import Journal
from backend.editing.partials import clear_partials, is_left


def tidy(journal: Journal, copies: Path) -> None:
    """Remove contents that no change names that can be undone or done again, and half copies of killed processes.

    Safe while others have the folder open: what was kept or used within a day is left alone, and so is all that a
    living process is writing. What cannot be removed only takes space.

    Args:
        journal: Of the folder.
        copies: Where copies of pictures are written before they are moved to their places.
    """
    clear_partials([journal.blobs.folder])
    with journal.alone():
        old, left = journal.blobs.old(), _left(copies)
        if not old and not left:
            return
        try:
            changes = list(journal.file_changes())
        except ValueError:  # a damaged journal may name anything
            return
        needed = {name for change, is_needed in changes if is_needed for name in _contents(change)}
        places = {place for change, _ in changes if change.kind == "move" for place in (change.before, change.after)}
        journal.blobs.remove(old - needed)
        _remove(left, journal.folder, places)


def _contents(change: Change) -> Iterable[str]:
    return (name for name in (change.before, change.after) if name) if change.kind == "bytes" else ()


def _left(copies: Path) -> list[Path]:
    """Return the folders of copies whose processes are gone."""
    try:
        return [path for path in copies.iterdir() if is_left(path.name)]
    except OSError:
        return []


def _remove(folders: Iterable[Path], root: Path, places: set[str | None]) -> None:
    """Remove copies that no change names, and folders in which there is nothing."""
    for folder in folders:
        below = f"{folder.relative_to(root).as_posix()}/"
        with suppress(OSError):
            if any(place and place.startswith(below) for place in places):
                folder.rmdir()  # only when all are at their places
            else:
                shutil.rmtree(folder)
