"""Whether a large folder is as it was known, found out without looking at every file each time.

Files that come, go or are put in another's place change the time of their folder. Those that are written over in place
do not: of these a part is looked at each time, and all of them once in a while.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from backend.config.problems import UserError
from backend.data.filesystems import LocalFiles
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of
from backend.editing.pictures import Listed, Pictures, folder_time

# Folders of so many pictures are listed whole: that is as fast.
NUM_LISTED = 5000
# Pictures whose files are looked at each time.
NUM_GLANCED = 5000
THOROUGH_SECONDS = 300.0


class Glance:
    """Remembers how far the files of a folder were looked at."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._next_row = 0
        self._thorough_at = 0.0

    def recalled(self, known: Pictures) -> Listed | None:
        """Return what a folder was the last time where that is likely what it is; None: it has to be listed.

        What was written over in place since is found as soon as somebody looks for changes.
        """
        if not self._is_likely(known):
            return None
        return Listed(
            known.names,
            known.stamps,
            known.captions,
            known.caption_stamps,
            {row: stamp for row, (stamp, _) in known.edits.items()},
            known.masks,
            folders=known.folders,
        )

    def listed(self) -> None:
        """Take note that all files were looked at."""
        self._next_row, self._thorough_at = 0, time.monotonic() + THOROUGH_SECONDS

    def changed(self, known: Pictures, first: Sequence[int] = ()) -> dict[str, str] | None:
        """Return the files that others have written over, as far as a glance shows, with their stamps.

        Args:
            known: What the folder was.
            first: The rows that are looked at each time, such as those that somebody sees.

        Returns:
            None: something came or went, or it is time to look at all: the folder has to be listed.
        """
        if time.monotonic() > self._thorough_at or not self._is_likely(known):
            return None
        last = min(len(known.names), self._next_row + NUM_GLANCED)
        rows = [*(row for row in first if row < len(known.names)), *range(self._next_row, last)]
        self._next_row = last % len(known.names)
        stamps = ((name, stamp, self._stamp(name)) for name, stamp in _files(known, rows))
        found = {name: now for name, stamp, now in stamps if now != stamp}
        return found if all(found.values()) else None

    def _is_likely(self, known: Pictures) -> bool:
        """Tell whether a folder is so large that a glance pays off, and no file came or went in it."""
        times: Mapping[str, int] = known.folders
        if len(known.names) <= NUM_LISTED or not times or not all(times.values()):
            return False
        return all(folder_time(f"{self._root}{os.sep}{prefix}") == then for prefix, then in times.items())

    def _stamp(self, name: str) -> str:
        try:
            return LocalFiles().stamp(f"{self._root}{os.sep}{name}")
        except UserError:  # gone, or not readable any more: the listing tells
            return ""


def is_same(listed: Listed, known: Pictures) -> bool:
    """Tell whether a listing has nothing new: no need to load it."""
    edits = {row: stamp for row, (stamp, _) in known.edits.items()}
    return (listed.names, listed.stamps, listed.captions, listed.caption_stamps, listed.edits, listed.masks) == (
        known.names,
        known.stamps,
        known.captions,
        known.caption_stamps,
        edits,
        known.masks,
    )


def _files(known: Pictures, rows: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield the files of some rows with the stamps that they had."""
    for row in rows:
        yield known.names[row], known.stamps[row]
        if known.caption_stamps[row]:
            yield known.captions[row], known.caption_stamps[row]
        if row in known.edits:
            yield known.names[row] + EDIT_SUFFIX, known.edits[row][0]
        if row in known.masks:
            yield stem_of(known.names[row]) + MASK_SUFFIX, known.masks[row]
