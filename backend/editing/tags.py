"""The tags of many captions as numbers, so that they can be counted and searched by the million."""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

NONE = -1
# Words that no row has any more are forgotten when there are this many times as many words as there were, and these.
GROWN, SPARE = 2, 10_000
# Tags that are faces: their underscores are parts of them.
KAOMOJI = frozenset("0_0 (o)_(o) +_+ +_- ._. <o>_<o> <|>_<|> =_= >_< 3_3 6_9 >_o @_@ ^_^ o_o u_u x_x |_| ||_||".split())

# Shorter ones are all faces, as T_T.
SHORTEST = 4
# Words that Pony models were trained with, underscores and all.
PONY = re.compile(r"score_\d(?:_up)?|source_(?:anime|cartoon|furry|pony)|rating_(?:safe|questionable|explicit)")
WEIGHTED = re.compile(r"\((?P<tag>.+)(?P<weight>:\d*\.?\d+\))")


def split_tags(text: str) -> list[str]:
    """Return the tags of a caption, of all its lines, in their order."""
    return [tag for piece in text.replace("\n", ",").split(",") if (tag := piece.strip())]


def join_tags(tags: Iterable[str]) -> str:
    """Return tags as a line of a caption."""
    return ", ".join(tags)


def with_spaces(tag: str) -> str:
    """Return a tag with blanks for its underscores; faces stay, and what models know with underscores, as score_9."""
    if "_" not in tag or len(tag) < SHORTEST or tag in KAOMOJI or PONY.fullmatch(tag):
        return tag
    weighted = WEIGHTED.fullmatch(tag)
    return f"({with_spaces(weighted['tag'])}{weighted['weight']}" if weighted else tag.replace("_", " ")


def same(tag: str) -> str:
    """Return the form in which two spellings of a tag are compared: small letters, blanks for underscores."""
    return " ".join(tag.casefold().replace("_", " ").split())


def typed_tags(text: str) -> list[str]:
    """Return the tags that a user typed; the commas of Chinese keyboards part them, too."""
    return split_tags(text.replace("\uff0c", ","))


class TagTable:
    """The tags of the rows of a library.

    Each tag has a number: `words[number]`. The tags of a row stand in `ids[offsets[row] : offsets[row + 1]]`, in their
    order; `is_first` is off for a tag that the row has had before. None of this changes, so that it can be read while
    captions are edited: `replaced` returns another table. Both share the words, of which new ones only come behind.
    """

    def __init__(self, words: list[str], ids: NDArray[np.int32], lengths: NDArray[np.int64], is_first: Mask) -> None:
        self.words = words
        self.ids, self.is_first = ids, is_first
        self.offsets = _offsets(lengths)
        self.numbers = {word: number for number, word in enumerate(words)}
        self._folding = threading.Lock()
        self._folded: list[str] = []
        self._by_folded: dict[str, list[int]] = {}
        self._rows: NDArray[np.int32] | None = None
        self._num_settled = len(words)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """Return the table of captions."""
        table = cls([], np.zeros(0, np.int32), np.zeros(len(texts), np.int64), np.zeros(0, bool))
        table.ids, lengths, table.is_first = table._encode(texts)
        table.offsets = _offsets(lengths)
        table._num_settled = len(table.words)
        return table

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tags of each row: int64 (num_rows,)."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.int32]:
        """The row of each place in `ids`: int32 (num_ids,)."""
        if self._rows is None:
            self._rows = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), self.lengths)
        return self._rows

    @property
    def folded(self) -> list[str]:
        """The words without large letters, by number."""
        with self._folding:  # each word once, however many threads ask
            for word in self.words[len(self._folded) :]:
                folded = word.casefold()
                self._by_folded.setdefault(folded, []).append(len(self._folded))
                self._folded.append(word if folded == word else folded)
            return self._folded

    def find(self, word: str) -> list[int]:
        """Return the numbers of the tags that are this one, in large or small letters."""
        return self._by_folded.get(word.casefold(), []) if self.folded else []

    def of(self, row: int) -> list[str]:
        """Return the tags of a row."""
        return [self.words[number] for number in self.ids[self.offsets[row] : self.offsets[row + 1]].tolist()]

    def with_any(self, numbers: Sequence[int] | NDArray[np.integer]) -> Mask:
        """Return which rows have at least one of some tags: bool (num_rows,)."""
        found = np.zeros(len(self.offsets) - 1, bool)
        if len(numbers) == 1:
            places = np.flatnonzero(self.ids == numbers[0])
        else:
            is_wanted = np.zeros(len(self.words) + 1, bool)
            is_wanted[numbers] = True
            places = np.flatnonzero(is_wanted[self.ids])
        found[self.rows[places]] = True
        return found

    def counts(self, mask: Mask | None = None) -> NDArray[np.int64]:
        """Return in how many rows each tag is, of all rows or those of a mask: int64 (num_words,)."""
        counted = self.is_first if mask is None else self.is_first & mask[self.rows]
        return np.bincount(self.ids[counted], minlength=len(self.words))

    def replaced(self, rows: Rows, texts: Sequence[str]) -> TagTable:
        """Return the table with new texts for some rows, which are sorted."""
        if not len(rows):
            return self
        ids, lengths, is_first = self._encode(texts)
        old = self.lengths
        new = old.copy()
        new[rows] = lengths
        is_new_row = np.zeros(len(new), bool)
        is_new_row[rows] = True
        is_old = np.repeat(~is_new_row, old)
        is_new = np.repeat(is_new_row, new)
        table = copy(self)
        table.ids = _merged(self.ids[is_old], ids, is_new)
        table.is_first = _merged(self.is_first[is_old], is_first, is_new)
        table.offsets = _offsets(new)
        table._rows = None
        return table if len(self.words) <= GROWN * self._num_settled + SPARE else table.settled()

    def settled(self) -> TagTable:
        """Return the table without words that no row has any more: of sentences every edit leaves some."""
        used = np.flatnonzero(np.bincount(self.ids, minlength=len(self.words)))
        number = np.zeros(len(self.words), np.int32)
        number[used] = np.arange(len(used))
        return TagTable([self.words[each] for each in used.tolist()], number[self.ids], self.lengths, self.is_first)

    def taken(self, rows: Rows) -> TagTable:
        """Return the table of other rows: of each the row that it was before, int64 (num_rows,); -1: without tags."""
        lengths = np.where(rows >= 0, self.lengths[rows], 0) if len(self.lengths) else np.zeros(len(rows), np.int64)
        starts = np.repeat(self.offsets[rows], lengths)
        places = starts + np.arange(len(starts)) - np.repeat(_offsets(lengths)[:-1], lengths)
        return TagTable(self.words, self.ids[places], lengths, self.is_first[places])

    def _encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], Mask]:
        """Return the tags of texts as numbers, how many each text has, and which are its first of their kind."""
        pieces = _Pieces(self.words, self.numbers)
        flat, lengths, repeated = array("i"), array("q"), []
        for text in texts:
            numbers = [pieces[piece] for piece in (text.replace("\n", ",") if "\n" in text else text).split(",")]
            if NONE in numbers:
                numbers = [number for number in numbers if number != NONE]
            if len(set(numbers)) < len(numbers):
                repeated += [len(flat) + place for place in _later_ones(numbers)]
            flat.extend(numbers)
            lengths.append(len(numbers))
        is_first = np.ones(len(flat), bool)
        is_first[repeated] = False
        return np.array(flat, np.int32), np.array(lengths, np.int64), is_first


class _Pieces(dict[str, int]):
    """What stands between commas, blanks and all, as the number of its tag; new tags get the next number."""

    def __init__(self, words: list[str], numbers: dict[str, int]) -> None:
        super().__init__()
        self.words = words
        self.numbers = numbers

    def __missing__(self, piece: str) -> int:
        word = piece.strip()
        number = self.numbers.get(word, NONE)
        if number == NONE and word:
            number = self.numbers[word] = len(self.words)
            self.words.append(word)
        self[piece] = number
        return number


def _later_ones(numbers: Sequence[int]) -> list[int]:
    """Return the places of numbers that were there before."""
    first = {number: place for place, number in reversed(list(enumerate(numbers)))}
    return [place for place, number in enumerate(numbers) if first[number] != place]


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _merged(old: NDArray, new: NDArray, is_new: Mask) -> NDArray:
    merged = np.empty(len(is_new), old.dtype)
    merged[is_new] = new
    merged[~is_new] = old
    return merged
