"""The folders that are open on the caption page: one library each, shared by all tabs."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from backend.config import paths
from backend.config.problems import UserError
from backend.data.picture_edits import stamped
from backend.editing.files import is_same_text
from backend.editing.library import Applied, Conflict, Library, Reloaded
from backend.families.tokens import TokenCounter
from ui.background import Cancelled, Job, Progress, Slot
from ui.captions_masks import FoundMask
from ui.captions_pictures import FoundPicture

NUM_OPEN = 4
# An edit comes back when its file is written, unless so many others are before it.
NUM_WAITED = 100
# A tab that has not asked for so long is closed.
TAB_SECONDS = 15.0
# Looking for changes from outside must not keep the disk of a large folder busy.
LOOK_SECONDS = 3.0
LOOK_SHARE = 20
SORTS = (
    "name", "tags_most", "tags_fewest", "size_most", "size_fewest", "aspect", "caption", "rating", "score", "unusual",
)  # fmt: skip
DIGITS = re.compile(r"\d+")
# Longer numbers in names are none that somebody counts with.
NUM_DIGITS = 20
Ids = np.ndarray[Any, np.dtype[np.int32]]
Found = np.ndarray[Any, np.dtype[np.bool_]] | None


@dataclass(frozen=True, slots=True)
class Edit:
    """A caption as a page wants it, and as the page knew it."""

    row: int
    text: str
    before: str


@dataclass
class Desk:
    """One open folder. Its methods may be called from several threads."""

    key: str
    library: Library
    # Differs with every opening, so that a page of before a restart is noticed.
    first_generation: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    lock: threading.RLock = field(default_factory=threading.RLock)
    looking: threading.Lock = field(default_factory=threading.Lock)
    # Captions that were changed here and elsewhere, by the names of their pictures: to be decided by the user.
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    tabs: dict[str, float] = field(default_factory=dict)
    is_warm: bool = False
    # What filters found last, by their text: the tag pane and a batch ask for the same as the grid.
    found: dict[str, tuple[object, Found]] = field(default_factory=dict)
    # The rows by name, and when they were numbered so.
    named: tuple[int, Ids] | None = None
    looked: float = 0.0
    look_seconds: float = 0.0

    @property
    def generation(self) -> int:
        """How often the rows were numbered anew. Another opening of the folder counts on."""
        return self.first_generation + self.library.generation

    @property
    def version(self) -> str:
        """What changes with every change of a caption."""
        return f"{self.generation}.{self.library.version}"

    def order(self, mask: np.ndarray[Any, np.dtype[np.bool_]] | None, sort: str) -> Ids:
        """Return the rows of a mask, or all, in an order of `SORTS`: int32 (num_rows,)."""
        library, named = self.library, self._by_name()
        rows = named if mask is None else named[mask[named]]
        kind, _, end = sort.partition("_")
        if kind == "caption":
            texts = library.texts
            return np.array(sorted(rows.tolist(), key=lambda row: (not texts[row], texts[row])), np.int32)
        values = {
            "tags": lambda: library.tags.lengths,
            "size": lambda: library.widths.astype(np.int64) * library.heights,
            "aspect": lambda: library.widths / np.maximum(1, library.heights),
            # The best first; what nobody has scored comes last.
            "rating": lambda: -library.ratings.astype(np.int64),
            "score": lambda: -np.nan_to_num(library.likeness().scores, nan=-np.inf),
            "unusual": lambda: -np.nan_to_num(library.likeness().unusual(), nan=-np.inf),
        }
        if kind not in values:
            return rows.astype(np.int32)
        found = values[kind]()[rows]
        return rows[np.argsort(-found if end == "most" else found, kind="stable")].astype(np.int32)

    def _by_name(self) -> Ids:
        """Return the rows as a file manager lists them, 2.png before 10.png: int32 (num_rows,)."""
        generation, names = self.generation, self.library.names
        if self.named is None or self.named[0] != generation or len(self.named[1]) != len(names):
            self.named = (generation, np.array(natural_order(names), np.int32))
        return self.named[1]

    def edit(self, name: str, edits: Sequence[Edit]) -> Applied:
        """Change captions as typed, unless another tab or program has changed them since they were shown.

        Raises:
            UserError: Nothing can be saved.
        """
        with self.lock:
            texts, found, wanted = self.library.texts, [], {}
            for each in edits:
                now = texts[each.row]
                if is_same_text(now, each.before) or is_same_text(now, each.text):
                    wanted[each.row] = each.text
                else:
                    found.append(Conflict(each.row, self.library.names[each.row], each.text, now))
            # Behind a large batch the files are waited for by whoever asks how far saving is.
            is_short = self.library.journal.num_pending < NUM_WAITED
            applied = self.library.apply(name, wanted, wait=is_short)
            for row in wanted:
                self.conflicts.pop(self.library.names[row], None)
            self.take(found)
            self.take(applied.conflicts)
            return applied

    def apply(self, name: str, edits: Mapping[int, str], before: Sequence[str]) -> Applied:
        """Change many captions; the files are written in the background.

        Args:
            name: What the history calls it.
            edits: New captions by row.
            before: All captions as they were when the edits were worked out: what changed meanwhile is left alone.

        Raises:
            UserError: Nothing can be saved.
        """
        with self.lock:
            texts = self.library.texts
            applied = self.library.apply(name, {row: new for row, new in edits.items() if texts[row] == before[row]})
            self.take(applied.conflicts)
            return applied

    def take(self, conflicts: Sequence[Conflict]) -> None:
        """Keep conflicts until the user has decided."""
        self.conflicts |= {each.name: each for each in conflicts}

    def open_conflicts(self) -> list[Conflict]:
        """Return what the user has to decide, of the pictures that are there, with their rows as they are now."""
        rows = [(self.library.row(name), each) for name, each in list(self.conflicts.items())]
        return [replace(each, row=row) for row, each in rows if row is not None]

    def look(self, seen: Sequence[int] = ()) -> Reloaded | None:
        """Take over what others changed in the folder; None when it is too early to look again.

        Rows that somebody has `seen` are looked at each time, also in a large folder.

        Raises:
            UserError: The folder is gone or cannot be read.
        """
        began = time.monotonic()
        if began - self.looked < max(LOOK_SECONDS, LOOK_SHARE * self.look_seconds):
            return None
        # Edits need not wait for a look at a large folder.
        if not self.looking.acquire(blocking=False):
            return None
        try:
            found = self.library.reload_changed(at_a_glance=True, seen=seen)
            self.looked = time.monotonic()
            self.look_seconds = self.looked - began
        finally:
            self.looking.release()
        with self.lock:
            self.take(found.conflicts)
        return found

    def remembered(self, text: str, key: object, find: Callable[[], Found]) -> Found:
        """Return what a filter finds, from the last time where `key` is the same."""
        known = self.found.get(text)
        if known is not None and known[0] == key:
            return known[1]
        found = find()
        self.found = {text: (key, found)}
        return found

    def is_needed(self) -> bool:
        """Tell whether it has captions that are nowhere else."""
        return bool(self.conflicts) or self.library.has_unsaved

    def warm(self, counter: TokenCounter) -> None:
        """Make in a thread what filters need, once: the first filter need not wait for it then."""
        with self.lock:
            if self.is_warm:
                return
            self.is_warm = True
        threading.Thread(target=self.library.warm, args=(counter,), daemon=True, name="warm").start()

    def num_tabs(self, tab: str) -> int:
        """Take note of a tab, and return how many have the folder open."""
        now = time.monotonic()
        with self.lock:
            self.tabs[tab] = now
            self.tabs = {each: seen for each, seen in self.tabs.items() if now - seen < TAB_SECONDS}
            return len(self.tabs)

    def picture(self, row: int) -> FoundPicture | None:
        """Return where a picture is, and how it is shown."""
        library = self.library
        if not 0 <= row < len(library):
            return None
        marks = (self.stamp(row), self.original_stamp(row))
        return FoundPicture(library.path(row), library.stamps[row], library.edit(row), marks)

    def mask(self, row: int) -> FoundMask | None:
        """Return where the mask of a picture is, and how it is shown; None where there is none."""
        library = self.library
        if not 0 <= row < len(library) or row not in library.masks:
            return None
        path = library.root / library.mask_name(row)
        mark = f"{self.stamp(row)}-{library.masks[row]}"
        return FoundMask(path, library.edit(row), library.full_size(row), mark)

    def stamp(self, row: int) -> str:
        """Return a short text that changes with the picture of a row as it is shown."""
        return self._short(row, stamped(self.library.stamps[row], self.library.edit(row)))

    def original_stamp(self, row: int) -> str:
        """Return a short text that changes with the picture of a row as its file has it."""
        return self._short(row, self.library.stamps[row])

    def _short(self, row: int, stamp: str) -> str:
        return f"{zlib.crc32(f'{self.library.names[row]}|{stamp}'.encode('utf-8', 'surrogatepass')):x}"


def natural_order(names: Sequence[str]) -> list[int]:
    """Return the places of names, folder by folder, in the order of the numbers in them; large letters are as small."""

    def numbered(text: str) -> str:
        return DIGITS.sub(lambda found: found[0].zfill(NUM_DIGITS), text.casefold())

    folder_of = cache(numbered)
    keys = [(folder_of(folder), numbered(file)) for folder, _, file in (name.rpartition("/") for name in names)]
    return sorted(range(len(names)), key=keys.__getitem__)


def key_of(root: Path) -> str:
    """Return a short name of a folder, for addresses."""
    return hashlib.sha256(str(root).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Desks:
    """The folders that are open; the one that was not asked for longest is closed when there are too many.

    One with captions that are only here, because they could not be written or are in a conflict, stays open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[str, Slot[Desk]] = {}
        self._open: dict[str, Desk] = {}

    def open(self, folder: str, *, again: bool = False, wait: float = 1.0) -> Desk | Progress | Cancelled:
        """Return a folder's desk, or how far opening it is.

        Raises:
            UserError: `file_not_found`, `file_unreadable`, or the journal cannot be written.
        """
        root = paths.resolve(folder).resolve()
        key = key_of(root)
        if not again and (known := self._open.get(key)):
            self._used(known)
            return known
        _check(root)
        with self._lock:
            slot = self._slots.setdefault(key, Slot())
        if again:
            self.close(key)
            slot.forget()

        def work(job: Job) -> Desk:
            return Desk(key, Library(root, progress=job.tell))

        found = slot.get(key, work, wait=wait)
        if isinstance(found, Desk):
            self._used(found)
        return found

    def get(self, folder: str) -> Desk:
        """Return a folder's desk, however long opening it takes.

        Raises:
            UserError: As `open`.
        """
        while True:
            found = self.open(folder, wait=60)
            if isinstance(found, Desk):
                return found

    def _used(self, desk: Desk) -> None:
        with self._lock:
            self._open.pop(desk.key, None)
            self._open[desk.key] = desk
            old = [key for key in list(self._open)[:-NUM_OPEN] if not self._open[key].is_needed()]
        for key in old:
            self.close(key)
            self._slots[key].forget()

    def close(self, key: str) -> None:
        """Close a folder: what is not written yet is."""
        with self._lock:
            desk = self._open.pop(key, None)
        if desk is not None:
            desk.library.close()

    def num_pending(self) -> int:
        """Return how many files have yet to be written."""
        return sum(desk.library.journal.num_pending for desk in self._open.values())

    def close_all(self) -> None:
        """Close all folders: what is not written yet is, and what is known of them kept for the next time."""
        for key in list(self._open):
            self.close(key)

    def picture(self, key: str, row: int) -> FoundPicture | None:
        """Return where a picture of an open folder is, and how it is shown."""
        desk = self._open.get(key)
        return desk.picture(row) if desk else None

    def mask(self, key: str, row: int) -> FoundMask | None:
        """Return where a mask of an open folder is, and how it is shown."""
        desk = self._open.get(key)
        return desk.mask(row) if desk else None


def _check(root: Path) -> None:
    """See that a folder can be opened.

    Raises:
        UserError: It is not there, it is a file, or nobody may look.
    """
    try:
        if root.is_dir():
            return
        exists = root.exists()
    except OSError as error:
        raise UserError("file_unreadable", value=str(root), reason=error.strerror or str(error)) from error
    raise UserError("caption_folder_is_file" if exists else "caption_folder_missing", value=str(root))
