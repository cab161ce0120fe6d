"""The rows of a folder in memory: names, sizes, captions, and what can be told from them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.data.index import Index
from backend.data.picture_edits import EDIT_SUFFIX, NO_EDIT, PictureEdit, Size, stamped
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of
from backend.editing.edited import Edited
from backend.editing.likeness import Likeness, known_likeness
from backend.editing.outcomes import Renumbered
from backend.editing.pictures import Pictures
from backend.editing.tags import Mask, TagTable
from backend.editing.token_counts import UNKNOWN, Counts, Tags, counted_by_tags
from backend.families.tokens import TokenCounter

# Captions whose words are in memory at a time while tokens are counted.
NUM_COUNTED = 1000
WARM_PAUSE = 0.005


class Rows:
    """What a library knows of its pictures. Nothing here touches the pictures or captions on disk."""

    def __init__(self, root: Path, cache_dir: Path) -> None:
        self.root = root
        self.cache_dir = cache_dir
        self.generation = self.version = 0
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._asking = threading.Lock()
        self._expected = threading.local()
        # Made when they are first asked for.
        self._folded: list[str] = []
        self._folded_names: list[str] = []
        self._likeness: Likeness | None = None
        # How often it was forgotten.
        self._likeness_round = 0
        self._duplicates: Mask | None = None
        self._take(Pictures())

    @contextmanager
    def at(self, generation: int) -> Iterator[None]:
        """Let this thread change nothing once rows have other numbers than in a generation.

        Raises:
            Renumbered: They have; inside of it, too, in place of a change.
        """
        self._expected.generation = generation
        try:
            self.check_generation()
            yield
        finally:
            del self._expected.generation

    def check_generation(self) -> None:
        """See that rows have the numbers that this thread expects; waits for whoever numbers them anew.

        Raises:
            Renumbered: They have not.
        """
        with self._lock:
            if getattr(self._expected, "generation", self.generation) != self.generation:
                raise Renumbered

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> list[str]:
        """The pictures, by their paths below the folder with /."""
        return self._pictures.names

    @property
    def texts(self) -> list[str]:
        """The captions, as in their files; several lines are several captions. Empty: none, or an empty file."""
        return self._pictures.texts

    @property
    def widths(self) -> NDArray[np.int32]:
        """Pixels as shown, turned and cut: int32 (num_rows,); 0 where a picture cannot be read."""
        return self._edited.widths

    @property
    def heights(self) -> NDArray[np.int32]:
        """As `widths`."""
        return self._edited.heights

    @property
    def edits(self) -> dict[int, PictureEdit]:
        """How pictures are turned, cut and rated, by row; only of those with a file that says so."""
        return self._edited.edits

    @property
    def ratings(self) -> NDArray[np.int8]:
        """1 to 5, 0 where there is none: int8 (num_rows,)."""
        return self._edited.ratings

    @property
    def masks(self) -> dict[int, str]:
        """What changes with the content of each mask, by row; only of those with a mask."""
        return self._pictures.masks

    @property
    def has_mask(self) -> Mask:
        """Which pictures have a mask beside them: bool (num_rows,)."""
        found = np.zeros(len(self), bool)
        found[list(self.masks)] = True
        return found

    def edited_rows(self, is_meant: Callable[[PictureEdit], bool]) -> Mask:
        """Return which pictures have an edit that is meant: bool (num_rows,)."""
        found = np.zeros(len(self), bool)
        found[[row for row, edit in self.edits.items() if is_meant(edit)]] = True
        return found

    def edit(self, row: int) -> PictureEdit:
        """Return how a picture is turned, cut and rated."""
        return self.edits.get(row, NO_EDIT)

    def full_size(self, row: int) -> Size:
        """Return the size (width, height) of a picture as it is without an edit, upright; zeros: it cannot be read."""
        return int(self._pictures.widths[row]), int(self._pictures.heights[row])

    def edit_name(self, row: int) -> str:
        """Return the file of a picture's edit, below the folder with /; it may not be there."""
        return self.names[row] + EDIT_SUFFIX

    def mask_name(self, row: int) -> str:
        """Return the mask of a picture, below the folder with /; it may not be there."""
        return stem_of(self.names[row]) + MASK_SUFFIX

    @property
    def stamps(self) -> list[str]:
        """What changes with the content of each picture."""
        return self._pictures.stamps

    def shown_stamps(self) -> list[str]:
        """Return what changes whenever a picture looks different: with its content, and as it is turned and cut."""
        stamps = list(self.stamps)
        for row, edit in self.edits.items():
            stamps[row] = stamped(stamps[row], edit)
        return stamps

    def path(self, row: int) -> Path:
        """Return where a picture is."""
        return self.root / self.names[row]

    def caption_name(self, row: int) -> str:
        """Return the caption file of a picture, below the folder with /; it may not be there yet."""
        return self._pictures.captions[row]

    def row(self, name: str) -> int | None:
        """Return the row of a picture; None when it is not there."""
        return self._row_of.get(name)

    def folded_texts(self) -> list[str]:
        """Return the captions without large letters, by row."""
        while True:
            with self._lock:
                if len(self._folded) == len(self):
                    return self._folded
                version, texts = self.version, list(self.texts)
            folded = list(map(_folded, texts))  # nobody has to wait for it
            with self._lock:
                if self.version == version:
                    self._folded = folded

    def folded_names(self) -> list[str]:
        """Return the names without large letters, by row."""
        with self._lock:
            if not self._folded_names:
                self._folded_names = [_folded(name) for name in self.names]
            return self._folded_names

    def token_counts(self, counter: TokenCounter) -> NDArray[np.int32]:
        """Return the tokens of each caption, of the longest line where it has several: int32 (num_rows,)."""
        while True:
            with self._counting:  # nobody counts what another thread counts already
                if (counts := self._count_some(counter)) is not None:
                    return counts

    def _count_some(self, counter: TokenCounter) -> NDArray[np.int32] | None:
        """Count the tokens of some captions; return those of all when they are known. Others may go on meanwhile."""
        with self._lock:
            counts = self._tokens.setdefault(counter.name, np.full(len(self), UNKNOWN, np.int32))
            tags, version = Tags(self.tags), self.version
            is_by_tags = counter.is_by_word and tags.repeat and np.count_nonzero(counts == UNKNOWN) > NUM_COUNTED
            rows = np.flatnonzero(counts == UNKNOWN) if is_by_tags else np.flatnonzero(counts < 0)[:NUM_COUNTED]
            texts = list(self.texts) if is_by_tags else [self.texts[row] for row in rows.tolist()]
        if not texts:
            return counts
        found = counted_by_tags(tags, texts, counter)[rows] if is_by_tags else _counted_by_lines(texts, counter)
        with self._lock:
            if self.version == version and self._tokens.get(counter.name) is counts:
                counts[rows] = found
        return None

    def warm(self, counter: TokenCounter | None = None) -> None:
        """Make what filters would make when they are first asked: for a thread, once the folder is shown."""
        self.folded_names()
        self.tags.find("")
        # Those who ask for something meanwhile come first.
        is_done = counter is None
        while counter is not None and not is_done:
            time.sleep(WARM_PAUSE)
            with self._counting:
                is_done = self._count_some(counter) is not None
        self.folded_texts()
        self.likeness()

    def likeness(self) -> Likeness:
        """Return what looking told of the pictures, as far as the index knows it."""
        with self._asking:  # nobody asks what another thread asks already, and nobody else has to wait for it
            while True:
                with self._lock:
                    if self._likeness is not None:
                        return self._likeness
                    round_, names, stamps, shown = self._likeness_round, self.names, self.stamps, self.shown_stamps()
                with Index(self.cache_dir) as index:
                    found = known_likeness(index, self.root, names, stamps, shown)
                with self._lock:
                    if self._likeness_round == round_:
                        self._likeness = found

    def duplicates(self) -> Mask:
        """Return which pictures are there twice or look the same, of those that were looked at: bool (num_rows,)."""
        likeness = self.likeness()
        with self._lock:
            if self._duplicates is None or likeness is not self._likeness:
                self._duplicates = likeness.duplicates()
            return self._duplicates

    def forget_likeness(self) -> None:
        """Ask the index again: somebody has looked at the pictures, or scored them."""
        with self._lock:
            self._likeness = None
            self._duplicates = None
            self._likeness_round += 1

    def _take(
        self,
        pictures: Pictures,
        known: Pictures | None = None,
        tags: TagTable | None = None,
        tokens: Mapping[str, Counts] | None = None,
    ) -> None:
        """Take rows that are numbered anew; `tags` and `tokens` of `known` save time where that is the same."""
        self._pictures = pictures
        self._edited = Edited(pictures)
        self._row_of = {name: row for row, name in enumerate(pictures.names)}
        self._first_of = {caption: row for row, caption in reversed(list(enumerate(pictures.captions)))}
        self._shared: dict[str, list[int]] = {}
        if len(self._first_of) < len(pictures.names):
            for row, caption in enumerate(pictures.captions):
                if self._first_of[caption] != row:
                    self._shared.setdefault(caption, [self._first_of[caption]]).append(row)
        self.has_caption: Mask = np.array([stamp != "" for stamp in pictures.caption_stamps], bool)
        if known is None or tags is None:
            known, tags, tokens = Pictures(), TagTable.of_texts([]), None
        self.tags, self._tokens = _carried(pictures, known, tags, tokens or {})
        self._folded = []
        self._folded_names = []
        self.forget_likeness()
        # The rows of actions of the journal, by their id and size.
        self._changed_by: dict[tuple[int, int], NDArray[np.int64]] = {}
        self.version += 1

    def _rows(self, caption: str) -> list[int]:
        """Return the rows of a caption file: usually one, none when its picture is gone."""
        if caption in self._shared:
            return self._shared[caption]
        return [self._first_of[caption]] if caption in self._first_of else []

    def _set(self, texts: Mapping[str, str | None]) -> tuple[int, ...]:
        """Take new texts by caption file, in memory; return the rows."""
        by_row = {row: text for caption, text in texts.items() for row in self._rows(caption)}
        for row, text in by_row.items():
            self.has_caption[row] = text is not None
        self._put({row: text or "" for row, text in by_row.items()})
        return tuple(by_row)

    def _put(self, by_row: Mapping[int, str]) -> None:
        rows = np.array(sorted(by_row), np.int64)
        for row, text in by_row.items():
            self.texts[row] = text
            if self._folded:
                self._folded[row] = _folded(text)
        self.tags = self.tags.replaced(rows, [by_row[row] for row in rows.tolist()])
        for counts in self._tokens.values():
            counts[rows] = UNKNOWN
        self.version += 1


def _carried(
    pictures: Pictures, known: Pictures, tags: TagTable, tokens: Mapping[str, Counts]
) -> tuple[TagTable, dict[str, Counts]]:
    """Return tags and tokens of rows; those of captions that are known already need not be read again."""
    if known.names == pictures.names:
        origin: Sequence[int] = range(len(known.names))
        carried = {name: counts.copy() for name, counts in tokens.items()}
    else:
        before = {name: row for row, name in enumerate(known.names)}
        origin = [before.get(name, -1) for name in pictures.names]
        places = np.array(origin, np.int64)
        tags = tags.taken(places)
        carried = {name: np.append(counts, np.int32(UNKNOWN))[places] for name, counts in tokens.items()}
    pairs = enumerate(zip(pictures.texts, origin, strict=True))
    new = [row for row, (text, old) in pairs if text != (known.texts[old] if old >= 0 else "")]
    tags = tags.replaced(np.array(new, np.int64), [pictures.texts[row] for row in new])
    for counts in carried.values():
        counts[new] = UNKNOWN
    return tags, carried


def _counted_by_lines(texts: Sequence[str], counter: TokenCounter) -> list[int]:
    """Return the tokens of captions, of the longest line where they have several."""
    lines = [text.split("\n") for text in texts]
    numbers = iter(counter.counts([line for some in lines for line in some]))
    return [max(next(numbers) for _ in some) for some in lines]


def _folded(text: str) -> str:
    folded = text.casefold()
    return text if folded == text else folded
